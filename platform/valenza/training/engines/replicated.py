"""Every process holds all weights: one process alone, or DDP."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import isfinite

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from valenza.features.batch import Batch
from valenza.objectives.task import Losses
from valenza.recipe import Training
from valenza.training.average import averaged
from valenza.training.engines.engine import MOMENTS, STEP
from valenza.training.optimizer import build_optimizer, trained


class Replicated:
    """A task as it is, wrapped by Accelerate."""

    def __init__(self, accelerator: Accelerator, task: nn.Module, settings: Training) -> None:
        self.accelerator, self.task, self.settings = accelerator, task, settings
        network: nn.Module = task.network  # type: ignore[assignment]
        self.average = averaged(network, settings)
        self._plain = build_optimizer(task, network, settings)
        self._called = accelerator.prepare(task) if trained(task.parameters()) else task
        self.optimizer: torch.optim.Optimizer = accelerator.prepare(self._plain)

    def passing(self, *, last: bool) -> AbstractContextManager[None]:
        """Exchange no gradients before the last pass."""
        return nullcontext() if last else self.accelerator.no_sync(self._called)

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of a pass."""
        self._called.train()
        return self._called(batch)  # type: ignore[no-any-return]

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss."""
        self.accelerator.backward(loss)

    def step(self) -> float:
        """Clip and take the step unless the gradient is not finite."""
        found = self.accelerator.clip_grad_norm_(trained(self._called.parameters()), self.settings.clip_norm)
        norm = float(found) if found is not None else 0.0
        if isfinite(norm) or self.accelerator.scaler is not None:  # a scaler looks for itself, and learns from it
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the task have the running mean for a while."""
        with nullcontext() if self.average is None else self.average.used():
            yield

    def whole(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the task's weights and their mean."""
        return self.task.state_dict(), {} if self.average is None else self.average.weights()

    def moments(self) -> dict[str, Tensor]:
        """Return the optimizer's state by parameter."""
        found = {}
        for name, parameter in self.task.named_parameters():
            for key, value in self._plain.state.get(parameter, {}).items():
                found[f"{name}.{key}"] = value
        return found

    def restore(self, moments: dict[str, Tensor], mean: dict[str, Tensor]) -> None:
        """Go on from what `moments` and `whole` returned."""
        if self.average is not None:
            self.average.load(mean)
        for name, parameter in self.task.named_parameters():
            if f"{name}.{STEP}" in moments:
                state = {key: moments[f"{name}.{key}"].to(parameter.device) for key in MOMENTS}
                self._plain.state[parameter] = state | {STEP: moments[f"{name}.{STEP}"]}
