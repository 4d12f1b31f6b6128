"""One step: the gradient of the sum of all losses over all processes, divided by what the whole step holds."""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from valenza.errors import NonFiniteError
from valenza.features.batch import Batch
from valenza.objectives.task import Losses
from valenza.recipe import Training
from valenza.training.engines.engine import Engine
from valenza.training.optimizer import set_rates
from valenza.training.runtime import Machine, reseed


@dataclass
class Stepper:
    """Takes the steps of a run; what it knows of earlier ones is how many in a row were not finite."""

    machine: Machine
    engine: Engine
    counter: nn.Module
    """The plain task: it tells what the losses of a pass are divided by."""
    settings: Training
    seed: int
    _failed: int = 0

    @property
    def accelerator(self) -> Accelerator:
        """The processes that train."""
        return self.machine.accelerator

    def count(self, held: list[Batch]) -> float:
        """Return what the losses of these passes, which this process holds, are divided by."""
        return float(sum(self.counter.count(batch) for batch in held))  # type: ignore[operator]

    def __call__(self, held: list[Batch], step: int, total: float) -> dict[str, Any]:
        """Do a step (0-based), with `total` the count of all processes' passes; returns what there is to record.

        Where any process's loss or gradient is not finite, none takes the step. Raises `NonFiniteError` on all of them
        when that happens `training.non_finite_steps` times in a row, or in the last step.
        """
        began = time.perf_counter()
        rate = set_rates(self.engine.optimizer, step, self.settings)
        reseed(self.seed, step, self.accelerator.process_index)
        self.engine.task.progress = step / self.settings.steps  # type: ignore[assignment]
        # Processes average their gradients; the loss is a sum over all of them.
        scale = self.accelerator.num_processes / max(total, 1.0)
        sums: dict[str, Tensor] = {}
        ready = began
        for i, batch in enumerate(held):
            last = i == len(held) - 1
            self.machine.watch.beat(step, "step")  # one of many passes may take long
            with self.engine.passing(last=last):
                losses = self.engine.forward(batch.to(self.accelerator.device))
                _note(sums, losses)
                loss = losses.total * scale
                if last:
                    ready = time.perf_counter()
                    loss = loss * self._agreed(sums)
                self.engine.backward(loss)
        norm = self.engine.step()
        means = {name: float(value) / max(total, 1.0) for name, value in sums.items()}
        self._judge(means["loss"], norm, held, step)
        return {**means, "lr": rate, "gradient_norm": norm, "ready": ready - began}

    def _agreed(self, sums: dict[str, Tensor]) -> Tensor:
        """Add the losses up over all processes; returns 1, or NaN where they are not finite.

        That times the last loss leaves no process a finite gradient, so every engine on every process refuses the step.
        """
        names = sorted(sums)
        held = torch.stack([sums[name] for name in names])
        if self.accelerator.num_processes > 1:
            torch.distributed.all_reduce(held)
        sums.update(zip(names, held, strict=True))
        one = torch.ones((), device=held.device)
        return torch.where(sums["loss"].isfinite(), one, one * torch.nan)

    def _judge(self, loss: float, norm: float, held: list[Batch], step: int) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            self._failed = 0
            return
        self._failed += 1
        if self.accelerator.scaler is not None and math.isfinite(loss):
            return  # a loss scale that was too large; the scaler lowers it
        # A run does not end well on a step that was not taken.
        if self._failed >= self.settings.non_finite_steps or step + 1 == self.settings.steps:
            clips = sorted({int(row) for batch in held for row in batch.rows})
            raise NonFiniteError(
                f"step {step + 1}: loss {loss}, gradient norm {norm}; {self._failed} steps in a row were not finite, "
                f"and none of them changed the weights. Process {self.accelerator.process_index} held the clips "
                f"{clips[:8]} … ({len(clips)})"
            )


def _note(sums: dict[str, Tensor], losses: Losses) -> None:
    """Add the losses of a pass to what the step has, in float64."""
    for name, value in {"loss": losses.total, **losses.named}.items():
        told = value.detach().double()
        sums[name] = sums[name] + told if name in sums else told
