"""The hidden folder in which a build grows, and the moment in which it takes the earlier one's place."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from valenza.errors import UsageError, WriteError
from valenza.shards import record
from valenza.shards.index import CARD, DESCRIPTION, INDEX, PROVENANCE


def refuse_strangers(folder: Path) -> None:
    """Refuse a folder that a finished build would replace together with what does not belong to it."""
    beside = "|".join(map(re.escape, (INDEX, DESCRIPTION, CARD, *PROVENANCE)))
    ours = re.compile(rf"{re.escape(folder.name)}-\d{{6,}}\.tar|{beside}|\..*|.*\.part")
    try:
        strangers = sorted(p.name for p in folder.iterdir() if not ours.fullmatch(p.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written: {error.strerror}") from None
    if strangers:
        raise UsageError(f"{folder}: holds {strangers[0]!r}, which is not a shard; move it, or build elsewhere")


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """Lend the hidden folder in which a build grows; it outlives a failure with the shards that are finished."""
    staging = folder.with_name(f".{folder.name}.building")
    with record.writing(staging):
        (staging / record.FOLDER).mkdir(parents=True, exist_ok=True)
        lock = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not staging.exists() or not os.path.samestat(os.fstat(lock), staging.stat()):
            raise BlockingIOError
    except OSError:
        os.close(lock)
        raise UsageError(f"{folder}: another process is building these shards") from None
    try:
        yield staging
    finally:
        if staging.exists() and not any(staging.glob("*.tar")):
            shutil.rmtree(staging, ignore_errors=True)
        os.close(lock)


def swap(staging: Path, folder: Path) -> None:
    """Put a finished build in the place of the earlier one, whose open files stay readable."""
    old = folder.with_name(f".{folder.name}.old")
    with record.writing(folder):
        if old.exists():
            shutil.rmtree(old)
        with suppress(FileNotFoundError):
            folder.rename(old)
        staging.rename(folder)
        record.sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
