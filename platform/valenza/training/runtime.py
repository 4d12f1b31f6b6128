"""The processes of a run: how many, on what, and that they are what the user asked for."""

import hashlib
import importlib.metadata
import json
import os
import platform as machine
import sys
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from valenza import __version__
from valenza.errors import PeerError, UsageError
from valenza.recipe import Recipe


def start(precision: str | None = None) -> Accelerator:
    """Join the processes that torchrun or Accelerate launched; alone, be one process.

    `precision` is `no`, `bf16` or `fp16`; the launcher's `ACCELERATE_MIXED_PRECISION` where absent. Raises `PeerError`
    when fewer processes meet than were launched: two models that never exchange a gradient would otherwise train side
    by side in silence. Raises `UsageError` for a precision that the machine lacks.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if not torch.cuda.is_available() and "ACCELERATE_USE_DEEPSPEED" not in os.environ:
        os.environ["ACCELERATE_USE_CPU"] = "true"  # without it, Accelerate leaves CPU processes apart
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    handlers = [InitProcessGroupKwargs(backend="gloo")] if launched > 1 and not torch.cuda.is_available() else []
    try:
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
    "data": {"shards", "zero_shot", "claim"},
    "training": {"windows_per_pass", "validate_every", "checkpoint_every", "keep_checkpoints", "tracker"},
}
"""Settings that may change when a run is resumed: no step depends on them, but for what is drawn pass by pass (dropout,
and augmentation that is `drawn: batch`)."""


def fingerprint(recipe: Recipe, index_digest: str, processes: int) -> dict[str, str]:
    """Return what must be equal on all processes, and in a resumed run: name → digest or value."""
    settings = json.dumps(recipe.model_dump(mode="json", exclude=_BYSTANDERS), sort_keys=True)
    return {
        "recipe": hashlib.sha256(settings.encode()).hexdigest(),
        "index": index_digest,
        "version": __version__,
        "processes": str(processes),
    }


def agree(accelerator: Accelerator, mark: dict[str, str]) -> None:
    """Raise `PeerError`, naming what differs, unless all processes hold the same fingerprint."""
    if accelerator.num_processes == 1:
        return
    marks: list[Any] = [None] * accelerator.num_processes
    torch.distributed.all_gather_object(marks, mark)
    for name, value in mark.items():
        different = [rank for rank, other in enumerate(marks) if other[name] != value]
        if different:
            raise PeerError(f"process {accelerator.process_index} and {different} started with different {name}")


def lost_peer(error: RuntimeError) -> bool:
    """Return whether an exchange with the other processes failed, rather than this process."""
    return isinstance(error, torch.distributed.DistError) or any(name in str(error) for name in ("gloo", "NCCL"))


def add_up(accelerator: Accelerator, values: list[float]) -> list[float]:
    """Return the sums of these numbers over all processes, exact to float64."""
    if accelerator.num_processes == 1:
        return values
    held = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    torch.distributed.all_reduce(held)
    return [float(v) for v in held.tolist()]


def reseed(seed: int, *keys: int) -> None:
    """Set torch's generators from numbers, so that no generator's state has to be stored."""
    digest = hashlib.sha256(repr((seed, *keys)).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def environment(accelerator: Accelerator) -> dict[str, Any]:
    """Return what the run ran on, for `environment.json`."""
    packages = ("torch", "transformers", "accelerate", "numpy", "soundfile", "soxr", "pyarrow")
    return {
        "valenza": __version__,
        "python": sys.version.split()[0],
        "system": machine.platform(),
        "processor": machine.processor() or machine.machine(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processes": accelerator.num_processes,
        "engine": str(accelerator.distributed_type),
        "precision": accelerator.mixed_precision,
        "threads": torch.get_num_threads(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }
