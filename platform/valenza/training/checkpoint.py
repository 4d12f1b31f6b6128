"""Checkpoints that are whole or absent, and the choice of the one to go on from."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from valenza.errors import ShardError, UsageError, WriteError
from valenza.mixture.stream import Position
from valenza.terminal import say

COMPLETE = "COMPLETE"
"""Written last: the sha256 of every other file. A folder without it, or that differs from it, is not a checkpoint."""

BESIDE = "training.safetensors"
"""What only training goes on from; absent where the model's own weights are all."""

OPTIMIZER = "optimizer.safetensors"
"""What AdamW keeps, whole and by the names of the parameters, whichever engine held it."""

_ROOM = 1 << 20
"""Bytes that a checkpoint takes beside its tensors, and more."""


@dataclass(frozen=True)
class State:
    """Where a run is; with the weights and the optimizer all that a run is made of."""

    step: int
    """Steps done."""
    position: Position
    fingerprint: dict[str, str]
    validated: bool = True
    """Whether the validation that is due after this step has been done."""


def save(
    folder: Path,
    weights: dict[str, Tensor],
    optimizer: dict[str, Tensor],
    state: State,
    *,
    keep: int,
    beside: dict[str, Tensor] | None = None,
) -> Path:
    """Write `folder/step-00001000`, verify it, and only then delete the oldest beyond `keep`.

    `weights` are what the model is used with. `beside` is what only training goes on from: the weights themselves where
    those used are their mean, and what learns beside the network.
    Raises `WriteError` naming the folder and the reason; whatever was there before stays as it was.
    """
    final = folder / f"step-{state.step:08d}"
    partial = folder / f".{final.name}.partial"
    files = {"model.safetensors": weights, BESIDE: beside or {}, OPTIMIZER: optimizer}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        _see_to_room(folder, files)
        for name, tensors in files.items():
            if tensors or name != BESIDE:
                save_file({key: value.contiguous() for key, value in tensors.items()}, partial / name)
        (partial / "state.json").write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
        digests = {file.name: _digest(file) for file in sorted(partial.iterdir())}
        for file in partial.iterdir():
            _sync(file)
        (partial / COMPLETE).write_text(json.dumps(digests, indent=1), encoding="utf-8")
        _sync(partial / COMPLETE)
        if final.exists():  # an earlier, damaged attempt at the same step
            shutil.rmtree(final)
        partial.rename(final)
        _sync(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk is any of these to torch and safetensors
        shutil.rmtree(partial, ignore_errors=True)
        raise WriteError(f"{final}: the checkpoint cannot be written: {_reason(error)}") from None
    if why := fault(final):
        say(f"{final}: does not hold what was written ({why}); the earlier ones are kept")
        return final
    # A later, damaged one that this run did not go on from must not push out the one just written.
    for old in [c for c in checkpoints(folder) if c.name <= final.name][:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest first, whole or not."""
    return sorted(p for p in folder.glob("step-*") if p.is_dir())


def fault(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None."""
    try:
        digests = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
        for name, digest in digests.items():
            if _digest(checkpoint / name) != digest:
                return f"{name} is not what was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, AttributeError) as error:
        return f"{COMPLETE} cannot be read: {error}"
    return None


def newest(folder: Path) -> Path | None:
    """Return the newest checkpoint that verifies, saying which were passed over; None if there never was one.

    Raises `ShardError` when there are checkpoints but none verifies: starting over would bury them.
    """
    found = checkpoints(folder)
    for checkpoint in reversed(found):
        why = fault(checkpoint)
        if why is None:
            return checkpoint
        say(f"{checkpoint}: passed over, {why}")
    if found:
        raise ShardError(f"{folder}: none of {len(found)} checkpoints verifies; `--resume never` starts over")
    return None


def load_weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint that verifies; raises `UsageError` otherwise."""
    if why := fault(checkpoint):
        raise UsageError(f"{checkpoint}: not a usable checkpoint: {why}")
    return load_file(checkpoint / "model.safetensors")


def load_beside(checkpoint: Path) -> dict[str, Tensor]:
    """Return what a checkpoint holds for training alone; the files must have been verified before."""
    file = checkpoint / BESIDE
    return load_file(file) if file.exists() else {}


def load_state(checkpoint: Path) -> tuple[State, dict[str, Tensor]]:
    """Return the state and the optimizer's; the files must have been verified before.

    Raises `UsageError` for a checkpoint of a version that kept them in another form.
    """
    raw = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    state = State(raw["step"], Position(**raw["position"]), raw["fingerprint"], raw.get("validated", True))
    if not (checkpoint / OPTIMIZER).exists():
        raise UsageError(f"{checkpoint}: was written by an earlier version, and training cannot go on from it")
    try:
        return state, load_file(checkpoint / OPTIMIZER)
    except SafetensorError:
        raise ShardError(f"{checkpoint}: {OPTIMIZER} holds something other than tensors and was not read") from None


def _see_to_room(folder: Path, files: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Raise `OSError` before a byte is written where the disk has no room for all."""
    needed = _ROOM + sum(t.numel() * t.element_size() for tensors in files.values() for t in tensors.values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {needed:,} bytes are needed, {free:,} are free")


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that a crash cannot leave a name without its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error.strerror})" if ":" in (error.strerror or "") else "the disk is full"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
