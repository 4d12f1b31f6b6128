"""What the loop asks of an engine, whoever holds the weights."""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from valenza.features.batch import Batch
from valenza.objectives.task import Losses
from valenza.recipe import Training
from valenza.training.average import WeightAverage
from valenza.training.engines.choice import Choice

MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW keeps of each parameter, beside how often it was stepped."""
STEP = "step"


@runtime_checkable
class Engine(Protocol):
    """A task and its optimizer, on this process and in step with the others.

    Weights and moments come out whole and by the names that they have in the plain task, whatever held them: a run may
    go on under another engine, or on another number of processes.
    """

    task: nn.Module
    """The task as it is trained: what is set on it counts."""
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None

    def passing(self, *, last: bool) -> AbstractContextManager[None]:
        """Surround forward and backward of a pass; gradients are exchanged in the `last` of a step."""
        ...

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of a pass."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss, which is averaged over the processes."""
        ...

    def step(self) -> float:
        """Clip and take the step unless the gradient is not finite; returns its norm before clipping."""
        ...

    def shown(self) -> AbstractContextManager[None]:
        """Let the plain task have the weights that are used, their running mean where there is one, for a while."""
        ...

    def whole(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the task's weights and the mean of its network's, all whole; every process must ask."""
        ...

    def moments(self) -> dict[str, Tensor]:
        """Return the optimizer's state as `name.exp_avg`, `name.exp_avg_sq`, `name.step`; every process must ask."""
        ...

    def restore(self, moments: dict[str, Tensor], mean: dict[str, Tensor]) -> None:
        """Go on from what `moments` returned, and from the running mean that `whole` did, where one is kept."""
        ...


def build(choice: Choice, accelerator: Accelerator, task: nn.Module, settings: Training) -> Engine:
    """Return the engine that a launch chose, over the weights that the task has now."""
    if choice.engine == "fsdp2":
        from valenza.training.engines.sharded import Sharded

        return Sharded(choice, accelerator, task, settings)
    if choice.engine == "deepspeed":
        from valenza.training.engines.zero import Zero

        return Zero(choice, accelerator, task, settings)
    from valenza.training.engines.replicated import Replicated

    return Replicated(accelerator, task, settings)
