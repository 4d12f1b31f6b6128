"""What a recipe says of its training: steps, rates, averages and checkpoints."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, PositiveFloat, PositiveInt, Tag

from valenza.config import Problem, Settings


class Average(Settings):
    """A running mean of the weights, which is what is validated and used."""

    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay a step of an exponential mean; over the first 1 / (1 − decay) steps it is the plain mean."""
    last: Annotated[float, Field(gt=0, le=1)] | None = None
    """The plain mean over this last share of the steps; before, the weights as they are."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if (raw.get("ema") is None) == (raw.get("last") is None):
            yield (), "give either `ema` (a decay) or `last` (a share of the steps)"


Growing = Annotated[
    Annotated[PositiveInt, Tag("[number]")] | Annotated[tuple[PositiveInt, PositiveInt], Tag("[from, to]")],
    Discriminator(lambda value: "[from, to]" if isinstance(value, list | tuple) else "[number]"),
]
"""One number, or the first and the last of a number that grows."""


class Training(Settings):
    """How the loop runs; no setting here depends on the machine."""

    steps: PositiveInt
    windows_per_step: Growing = 16
    """Over all processes and accumulated passes together; [from, to] doubles them at equal distances."""
    windows_per_pass: PositiveInt = 4
    """The most that one process puts through the network at once; changes memory, not the result,
    but for what is drawn pass by pass: dropout, and augmentation that is `drawn: batch`."""
    peak_lr: PositiveFloat = 2e-5
    head_lr: PositiveFloat | None = None
    """Peak learning rate of what is new (heads and layer mixture); the encoder's where absent."""
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the steps in which the one-cycle schedule rises."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Each block of the encoder learns at this share of the rate of the block above it."""
    weight_decay: NonNegativeFloat = 0.01
    average: Annotated[
        Annotated[Literal["none"], Tag("[none]")] | Annotated[Average, Tag("[average]")],
        Discriminator(lambda value: "[none]" if isinstance(value, str) else "[average]"),
    ] = "none"
    clip_norm: PositiveFloat = 1.0
    non_finite_steps: PositiveInt = 3
    """So many steps in a row whose loss or gradient is not finite end the run, as the last step alone does; none of
    them changes a weight."""
    validate_every: PositiveInt = 200
    checkpoint_every: PositiveInt = 200
    keep_checkpoints: PositiveInt = 2
    tracker: Literal["none", "tensorboard", "wandb"] = "none"

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        windows = raw.get("windows_per_step")
        if isinstance(windows, list) and len(windows) == 2 and all(isinstance(w, int) for w in windows):
            first, last = windows
            if first > last:
                yield ("windows_per_step",), f"windows grow from the first number to the second, but {first} > {last}"
