"""Where a run is, written as one checkpoint by the first process whoever holds the weights, and found again."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from valenza.errors import NonFiniteError, UsageError, ValenzaError, WriteError
from valenza.mixture.stream import Position
from valenza.training import checkpoint
from valenza.training.engines.engine import Engine
from valenza.training.peers import first_of

_NETWORK = "network."
"""How the names of the network's weights begin in its task."""


@dataclass(frozen=True)
class Place:
    """How far a run has come."""

    step: int = 0
    position: Position = field(default_factory=Position)
    validated: bool = True
    """Whether the validation that is due after this step has been done."""


def save(
    folder: Path, engine: Engine, place: Place, fingerprint: dict[str, str], accelerator: Accelerator, keep: int
) -> Path:
    """Write a checkpoint and return it; every process must ask.

    Raises `WriteError`, or `NonFiniteError` where a weight is not finite, on all processes alike.
    """
    whole, mean = engine.whole()
    moments = engine.moments()
    failure: ValenzaError | None = None
    if accelerator.is_main_process:
        used = {n.removeprefix(_NETWORK): v for n, v in whole.items() if n.startswith(_NETWORK)}
        beside = {n: v for n, v in whole.items() if mean or not n.startswith(_NETWORK)}
        state = checkpoint.State(place.step, place.position, fingerprint, place.validated)
        try:
            _see_that_finite(place.step, {**whole, **moments})
            checkpoint.save(folder, mean or used, moments, state, keep=keep, beside=beside)
        except (WriteError, NonFiniteError) as error:
            failure = error
    told = first_of(accelerator, failure and (failure.code, str(failure)))
    if told is not None:
        raise (WriteError if told[0] == WriteError.code else NonFiniteError)(told[1])
    return folder / f"step-{place.step:08d}"


@dataclass(frozen=True)
class Restored:
    """A checkpoint that a run goes on from."""

    place: Place = field(default_factory=Place)
    moments: dict[str, Tensor] | None = None
    """What the optimizer kept; nothing at the beginning of a run."""
    weights: dict[str, Tensor] = field(default_factory=dict)
    """The network's that are used: their running mean, where one is kept."""


def restore(source: Path, task: nn.Module, fingerprint: dict[str, str]) -> Restored:
    """Give the plain task the weights of a checkpoint that it goes on from; returns the rest.

    Raises `UsageError` where the run was another one.
    """
    state, moments = checkpoint.load_state(source)
    for name, value in fingerprint.items():
        if state.fingerprint.get(name) != value:
            raise UsageError(f"{source} belongs to another {name}; use another --out, or --resume never")
    weights = checkpoint.load_weights(source)
    task.load_state_dict({_NETWORK + n: v for n, v in weights.items()} | checkpoint.load_beside(source))
    return Restored(Place(state.step, state.position, state.validated), moments, weights)


def _see_that_finite(step: int, tensors: dict[str, Tensor]) -> None:
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise NonFiniteError(f"step {step}: {name} is not finite, and no checkpoint was written of it")
