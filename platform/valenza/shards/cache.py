"""Copies of remote files on this machine's disk, shared by its processes and bounded in size.

A copy is named by the SHA-256 of its bytes, so it is right for every address and for ever, and it has that name only
once its bytes were found to be those. What is on its way is a `.part`, locked by the process that fetches it. Who has a
copy open holds a shared lock on it: such copies are removed last, and those who have them mapped read on.
"""

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from valenza.errors import ShardError, UsageError, WriteError
from valenza.place import Remote
from valenza.shards import remote

FOLDER, SIZE = "VALENZA_SHARD_CACHE", "VALENZA_SHARD_CACHE_GB"
_GB = 50.0


@dataclass(frozen=True)
class Item:
    """A remote file that is wanted."""

    place: Remote
    sha256: str
    bytes: int | None = None
    """Nothing where only its checksum is known."""

    def __str__(self) -> str:
        return str(self.place)

    @property
    def part(self) -> str:
        """What it is called while it arrives; the room that is kept for it is part of the name."""
        return f"{self.sha256}.{self.bytes or 0}.part"


def _nothing() -> None:
    """Let go of nothing."""


@dataclass(frozen=True)
class Cache:
    """A folder of copies."""

    folder: Path
    limit: int
    """Bytes of all copies and of what is on its way; what a removed copy's readers still map comes on top."""

    @classmethod
    def here(cls) -> "Cache":
        """Return the cache that the environment names; raises `UsageError` for a size that is none."""
        home = Path(os.environ.get("VALENZA_CACHE", Path.home() / ".cache" / "valenza"))
        size = os.environ.get(SIZE, "")
        try:
            limit = int(float(size or _GB) * 1e9)
        except (ValueError, OverflowError):
            limit = 0
        if limit <= 0:
            raise UsageError(f"${SIZE} is {size!r}, which is no number of gigabytes above 0")
        return cls(Path(os.environ.get(FOLDER) or home / "shards"), limit)

    def open(self, item: Item, let_go: Callable[[], None] = _nothing) -> BinaryIO:
        """Return a file's copy, open and locked against removal; fetches it first where no process has.

        `let_go` is called where the room is short, for the caller to close what it has open. Raises what
        `remote.blocks` does, `ShardError` that names address and file where the bytes that arrive are not those that
        were written, `WriteError` for a full disk, and `UsageError` where the cache is smaller than the file.
        """
        if item.bytes is not None and item.bytes > self.limit:
            raise UsageError(
                f"{item.place}: {item.bytes / 1e9:.3f} GB do not fit into a cache of {self.limit / 1e9:g} GB; "
                f"raise ${SIZE}"
            )
        while True:
            copy = self._stored(item)
            if copy is not None:
                return copy
            with _disk(self.folder):
                part = self._claim(item, let_go)
            if part is not None:
                with _disk(self.folder), part:  # closing writes what a full disk refused before
                    self._fetch(item, part)
                if item.bytes is None:  # room was kept for nothing
                    with _disk(self.folder), self._alone():
                        self._room(0, let_go)

    def read(self, item: Item) -> bytes:
        """Return a small file's bytes; raises as `open` does."""
        with self.open(item) as file:
            return file.read()

    def path(self, item: Item) -> Path:
        """Return where a file's copy is, or would be."""
        return self.folder / item.sha256

    def _stored(self, item: Item) -> BinaryIO | None:
        try:
            file = self.path(item).open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ShardError(f"{self.path(item)}: cannot be read: {error.strerror}") from None
        with suppress(OSError):  # a disk without locks; the copy may then be removed while it is read
            fcntl.flock(file, fcntl.LOCK_SH)
        if item.bytes is not None and os.fstat(file.fileno()).st_size != item.bytes:
            file.close()
            self.path(item).unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(file.fileno())  # least recently used goes first
        return file

    def _claim(self, item: Item, let_go: Callable[[], None]) -> BinaryIO | None:
        """Return the locked `.part` of a file, or nothing where it is time to look again."""
        path = self.folder / item.part
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if self.path(item).exists():
                return None
            if path.exists() or self._room(item.bytes or 0, let_go):
                part = _held(path)
                if part is not None:
                    return part
        time.sleep(0.05)  # another process fetches it, or others that will have arrived, and can then be removed
        return None

    def _fetch(self, item: Item, part: BinaryIO) -> None:
        """Fill a `.part`, from where it ends, and give it its name."""
        path = self.folder / item.part
        try:
            for _ in range(remote.PATIENCE.wholes):
                if self._filled(item, part):
                    with _disk(self.folder):
                        os.fsync(part.fileno())
                        with self._alone():  # or who counts the room could see it under neither name
                            path.rename(self.path(item))
                    return
                part.seek(0)
                part.truncate()
        except WriteError:
            path.unlink(missing_ok=True)  # a full disk needs the room
            raise
        path.unlink(missing_ok=True)
        raise ShardError(
            f"{item.place}: what the server gives is not the file that was written (SHA-256), "
            f"fetched {remote.PATIENCE.wholes} times"
        )

    def _filled(self, item: Item, part: BinaryIO) -> bool:
        """Fetch what a `.part` lacks; returns whether it then is the file that was written."""
        part.seek(0)
        digest = hashlib.sha256()
        while block := part.read(1 << 20):
            digest.update(block)
        have = part.tell()
        if have and (item.bytes is None or have > item.bytes):  # where it ends is not known, so it may be whole
            part.seek(0)
            part.truncate()
            digest, have = hashlib.sha256(), 0
        for data in remote.blocks(item.place, have, item.bytes):
            with _disk(self.folder):
                part.write(data)
                part.flush()
            digest.update(data)
            if part.tell() > self.limit:
                return False
        return digest.hexdigest() == item.sha256

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from making room, claiming it and naming what arrived."""
        with (self.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _room(self, wanted: int, let_go: Callable[[], None]) -> bool:
        """Remove copies until `wanted` bytes more fit, the least recently used first, those in use last."""
        for may in (_unused, _unused, lambda path: not path.name.endswith(".part")):
            found = sorted(self._files(), key=lambda one: one[0])
            over = sum(size for _, size, _ in found) + wanted - self.limit
            for _, size, path in found:
                if over <= 0:
                    return True
                if may(path):
                    path.unlink(missing_ok=True)
                    over -= size
            if over <= 0:
                return True
            let_go()
        return False

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each copy and `.part` was last used, its bytes, and its path."""
        for entry in os.scandir(self.folder):
            if entry.name.startswith("."):
                continue
            with suppress(FileNotFoundError):
                told = entry.stat()
                kept = int(entry.name.split(".")[1]) if entry.name.endswith(".part") else 0
                yield told.st_mtime, max(kept, told.st_size), Path(entry.path)


def _held(path: Path) -> BinaryIO | None:
    """Return a `.part`, locked and made where it is not there; nothing while another process holds it."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    with suppress(BlockingIOError, FileNotFoundError):
        # Never waited for: what has arrived is locked by its readers for as long as they have it open.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    file.close()
    return None


def _unused(path: Path) -> bool:
    """Whether no process has a file open: none maps a copy, and none fetches a `.part`."""
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        hint = f"; lower ${SIZE}, or name another disk in ${FOLDER}" if full else ""
        raise WriteError(f"{folder}: cannot be written: {error.strerror or error}{hint}") from None
