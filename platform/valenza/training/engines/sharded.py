"""Each process holds a part of every weight and gathers one block at a time: FSDP2."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from math import isfinite
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from valenza.errors import PeerError, UsageError
from valenza.features.batch import Batch
from valenza.objectives.task import Losses
from valenza.recipe import Training
from valenza.training.average import averaged
from valenza.training.engines.choice import Choice
from valenza.training.engines.engine import MOMENTS, STEP
from valenza.training.optimizer import build_optimizer, trained


class Returned(nn.Module):
    """A task whose losses come as a tuple: engines look for tensors there, and do not look into `Losses`."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total and the named losses of a pass."""
        losses: Losses = self.task(batch)
        return losses.total, losses.named


class Sharded:
    """A copy of a task, block by block under `fully_shard`; the plain task is what validation sees.

    The plain one costs a whole copy of the weights without gradients or moments, for the largest Whisper 2.5 GB.
    """

    def __init__(self, choice: Choice, accelerator: Accelerator, task: nn.Module, settings: Training) -> None:
        if accelerator.scaler is not None:
            raise UsageError("--precision fp16: loss scaling is for DDP alone; bf16 needs none")
        self.accelerator, self.plain, self.settings = accelerator, task, settings
        self.task = deepcopy(task)
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        reshard = bool(choice.settings["reshard_after_forward"])
        network: nn.Module = self.task.network  # type: ignore[assignment]
        for module in blocks(network):
            fully_shard(module, mesh=mesh, reshard_after_forward=reshard)
        self._called: Any = fully_shard(Returned(self.task), mesh=mesh)
        if not all(isinstance(p, DTensor) for p in self.task.parameters()):
            raise PeerError("FSDP2 was asked for, but some weights are whole on every process")
        self.average = averaged(network, settings)
        self.optimizer: torch.optim.Optimizer = build_optimizer(self.task, network, settings)

    @contextmanager
    def passing(self, *, last: bool) -> Iterator[None]:
        """Exchange no gradients before the last pass."""
        self._called.set_requires_gradient_sync(last)
        yield

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of a pass."""
        self._called.train()
        with self.accelerator.autocast():
            return Losses(*self._called(batch))

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> float:
        """Clip and take the step unless the gradient is not finite."""
        found = torch.nn.utils.clip_grad_norm_(trained(self.task.parameters()), self.settings.clip_norm)
        norm = float(found.full_tensor() if isinstance(found, DTensor) else found)
        if isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Fill the plain task; it is not trained, so it may keep what it has."""
        weights, mean = self.whole()
        self.plain.load_state_dict(weights | {f"network.{name}": value for name, value in mean.items()})
        yield

    def whole(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Gather the task's weights and their mean."""
        mean = {} if self.average is None else self.average.weights()
        return gathered(self.task.state_dict()), gathered(mean)

    def moments(self) -> dict[str, Tensor]:
        """Gather the optimizer's state by parameter."""
        found = {}
        for name, parameter in self.task.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                found[f"{name}.{key}"] = value
        return gathered(found)

    def restore(self, moments: dict[str, Tensor], mean: dict[str, Tensor]) -> None:
        """Go on from what `moments` and `whole` returned."""
        if self.average is not None:
            self.average.load({name: self._part(mean[name], like) for name, like in self.average.means.items()})
        for name, parameter in self.task.named_parameters():
            if f"{name}.{STEP}" in moments:
                state = {key: self._part(moments[f"{name}.{key}"], parameter) for key in MOMENTS}
                self.optimizer.state[parameter] = state | {STEP: moments[f"{name}.{STEP}"]}

    def _part(self, whole: Tensor, like: Tensor) -> Tensor:
        """Return this process's part of a tensor that every process holds."""
        held: Any = like  # a DTensor, which was seen to when the engine was built
        return distribute_tensor(whole.to(self.accelerator.device), held.device_mesh, held.placements)


def blocks(network: nn.Module) -> list[nn.Module]:
    """Return the encoder's blocks, of which one at a time is gathered."""
    parts: Mapping[str, list[nn.Module]] = network.encoder.parts()  # type: ignore[operator, union-attr]
    return [module for name, modules in parts.items() if name.startswith("blocks.") for module in modules]


def gathered(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors whole and on the CPU; every process must ask, in the same order."""
    return {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).detach().cpu()
        for name, value in values.items()
    }
