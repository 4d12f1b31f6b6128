"""The processes of a run: how many, on what, and that they are what the user asked for."""

import hashlib
import importlib.metadata
import json
import os
import platform as machine
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from valenza.errors import PeerError, UsageError
from valenza.recipe import Recipe
from valenza.training.engines.choice import Choice
from valenza.training.watch import Watch, patience
from valenza.version import __version__


@dataclass(frozen=True)
class Machine:
    """What a run runs on: nothing of it is in a recipe."""

    accelerator: Accelerator
    choice: Choice
    watch: Watch
    workers: int
    """Processes that prepare data, for each that trains."""


_MEETING = 1800.0
"""Seconds that processes wait for each other where one of them may have much more to read or to hear."""


def start(precision: str | None, watch: Watch) -> Accelerator:
    """Join the processes that torchrun or Accelerate launched; alone, be one process.

    `precision` is `no`, `bf16` or `fp16`; the launcher's `ACCELERATE_MIXED_PRECISION` where absent. Raises `PeerError`
    when fewer processes meet than were launched: two models that never exchange a gradient would otherwise train side
    by side in silence. Raises `UsageError` for a precision that the machine lacks, and where Accelerate's launcher has
    dropped the processes that it was asked for.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if (
        "ACCELERATE_DYNAMO_BACKEND" in os.environ
        and "WORLD_SIZE" not in os.environ
        and not torch.accelerator.is_available()
    ):
        raise UsageError(
            "accelerate launch --cpu starts one plain process, however many it is asked for; use torchrun, "
            "or no launcher for one process"
        )
    if not torch.cuda.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"  # without it, Accelerate leaves CPU processes apart
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    backend = None if torch.cuda.is_available() else "gloo"
    # The watch is the one to notice a wait without end; this is for where it does not look.
    longest = timedelta(seconds=max(_MEETING, patience() + 30))
    handlers = [InitProcessGroupKwargs(backend=backend, timeout=longest)] if launched > 1 else []
    try:
        with watch.guarded("meeting the other processes"):
            accelerator = Accelerator(mixed_precision=precision, kwargs_handlers=handlers)
    except (ValueError, RuntimeError) as error:  # how Accelerate and torch say it
        reason = str(error).splitlines()[0]
        if launched > 1:
            raise PeerError(f"the {launched} processes that were launched cannot meet: {reason}") from None
        raise UsageError(f"--precision: {reason}") from None
    if accelerator.num_processes != launched:
        raise PeerError(
            f"{launched} processes were launched, but this one sees {accelerator.num_processes} "
            f"({accelerator.distributed_type})"
        )
    return accelerator


_BYSTANDERS: Any = {
    "evaluation": True,
    "data": {"shards", "zero_shot", "claim", "bad_clips"},
    "training": {"windows_per_pass", "validate_every", "checkpoint_every", "keep_checkpoints", "tracker"},
}
"""Settings that may change when a run is resumed: no step depends on them, but for what is drawn pass by pass (dropout,
and augmentation that is `drawn: batch`)."""


def fingerprint(recipe: Recipe, index_digest: str) -> dict[str, str]:
    """Return what must be equal in a resumed run, and on all processes: name → digest or value."""
    settings = json.dumps(recipe.model_dump(mode="json", exclude=_BYSTANDERS), sort_keys=True)
    return {
        "recipe": hashlib.sha256(settings.encode()).hexdigest(),
        "index": index_digest,
        "version": __version__,
    }


def mark(recipe: Recipe, index_digest: str, machine: Machine) -> dict[str, str]:
    """Return all that the processes of a run must have in common, setting by setting."""
    settings = {f"recipe, {name}": value for name, value in _leaves(recipe.model_dump(mode="json"))}
    return (
        settings
        | {name: value for name, value in fingerprint(recipe, index_digest).items() if name != "recipe"}
        | {
            "code": _digest_of_code(),
            "number of processes": str(machine.accelerator.num_processes),
            "engine": machine.choice.name,
            "precision": str(machine.accelerator.mixed_precision),
        }
    )


def _leaves(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(values, dict):
        yield name, json.dumps(values)
        return
    for key, value in values.items():
        yield from _leaves(value, f"{name}.{key}".lstrip("."))


def _digest_of_code() -> str:
    """Return a digest of this package's modules: two nodes may hold the same version and other code."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def reseed(seed: int, *keys: int) -> None:
    """Set torch's generators from numbers, so that no generator's state has to be stored."""
    digest = hashlib.sha256(repr((seed, *keys)).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def environment(accelerator: Accelerator, choice: Choice) -> dict[str, Any]:
    """Return what the run ran on, for `environment.json`."""
    packages = ("torch", "transformers", "accelerate", "numpy", "soundfile", "soxr", "pyarrow")
    return {
        "valenza": __version__,
        "python": sys.version.split()[0],
        "system": machine.platform(),
        "processor": machine.processor() or machine.machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processes": accelerator.num_processes,
        "engine": choice.name,
        "precision": accelerator.mixed_precision,
        "threads": torch.get_num_threads(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }
