"""What the processes of a run tell each other."""

from typing import Any

import torch
from accelerate import Accelerator

from valenza.errors import PeerError


def add_up(accelerator: Accelerator, values: list[float]) -> list[float]:
    """Return the sums of these numbers over all processes, exact to float64."""
    if accelerator.num_processes == 1:
        return values
    held = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    torch.distributed.all_reduce(held)
    return [float(v) for v in held.tolist()]


def gather(accelerator: Accelerator, value: Any) -> list[Any]:
    """Return what every process holds, in their order."""
    if accelerator.num_processes == 1:
        return [value]
    values: list[Any] = [None] * accelerator.num_processes
    torch.distributed.all_gather_object(values, value)
    return values


def agree(accelerator: Accelerator, mark: dict[str, str]) -> None:
    """Raise `PeerError`, naming what differs, unless all processes hold the same."""
    marks = gather(accelerator, mark)
    for name in sorted({name for each in marks for name in each}):
        mine = mark.get(name)
        different = [rank for rank, other in enumerate(marks) if other.get(name) != mine]
        if different:
            theirs = marks[different[0]].get(name)
            told = "" if len(f"{mine}{theirs}") > 80 else f": {mine} here, {theirs} there"
            raise PeerError(f"process {accelerator.process_index} and {different} started with different {name}{told}")


def first_of(accelerator: Accelerator, value: Any) -> Any:
    """Return what the first process holds."""
    if accelerator.num_processes == 1:
        return value
    held = [value]
    torch.distributed.broadcast_object_list(held, src=0, device=accelerator.device)
    return held[0]


def lost_peer(error: RuntimeError) -> bool:
    """Return whether an exchange with the other processes failed, rather than this process."""
    return isinstance(error, torch.distributed.DistError) or any(name in str(error) for name in ("gloo", "NCCL"))
