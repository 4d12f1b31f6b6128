"""Files that are there whole or not at all, and what is kept of each finished shard so that a build can resume."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from valenza.config import Settings
from valenza.errors import WriteError
from valenza.shards import tar
from valenza.shards.index import SCHEMA, Cut, LeftOut, ShardFile, sha256, with_frames

FOLDER = ".records"


class Made(Settings):
    """How a shard was made."""

    fingerprint: str
    file: ShardFile
    cut: tuple[Cut, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Record:
    """A finished shard: how it was made, and its rows of the index."""

    made: Made
    rows: pa.Table


def read(folder: Path, shard: str) -> Record | None:
    """Return the record of a shard that lies finished in a folder; nothing where either is missing or damaged."""
    try:
        digest, made, rows = (folder / FOLDER / f"{shard}.record").read_bytes().split(b"\n", 2)
        if digest.decode("latin-1") != sha256(made + b"\n" + rows):
            return None
        record = Record(Made.model_validate_json(made), with_frames(pq.read_table(io.BytesIO(rows))).cast(SCHEMA))
        whole = (folder / shard).stat().st_size == record.made.file.bytes
    except (OSError, ValueError, ValidationError, pa.ArrowException):
        return None
    return record if whole else None


def save(folder: Path, record: Record) -> None:
    """Write a shard's record, after the shard itself; raises `WriteError`."""
    body = json.dumps(record.made.model_dump(mode="json")).encode() + b"\n" + parquet(record.rows)
    put(folder / FOLDER / f"{record.made.file.name}.record", sha256(body).encode() + b"\n" + body)


def forget(folder: Path, shard: str) -> None:
    """Remove a shard's record, before the shard is written anew."""
    path = folder / FOLDER / f"{shard}.record"
    with writing(path):
        path.unlink(missing_ok=True)


def parquet(rows: pa.Table) -> bytes:
    """Return a table as a Parquet file, the same bytes every time."""
    out = io.BytesIO()
    pq.write_table(rows, out, compression="zstd")
    return out.getvalue()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into a `WriteError` that names the path."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from None


def put(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, even after a power cut; raises `WriteError`."""
    part = path.with_name(f"{path.name}.part")
    with writing(path):
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class TarFile:
    """A tar that has its name only once it is whole; raises `WriteError` that names it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f"{path.name}.part")
        self._digest = hashlib.sha256()
        self._size = 0
        with writing(path):
            self._file = self._part.open("wb")

    def add(self, name: str, data: bytes) -> int:
        """Append a member and return the offset of its first byte."""
        head = tar.header(name, len(data))
        offset = self._size + len(head)
        self._write(head + data + bytes(tar.padding(len(data))))
        return offset

    def finish(self) -> tuple[int, str]:
        """Close and name the tar; return its bytes and SHA-256."""
        self._write(tar.END)
        with writing(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self.path)
            sync(self.path.parent)
        return self._size, self._digest.hexdigest()

    def abandon(self) -> None:
        """Remove what was written, unless it is finished."""
        with suppress(OSError):  # a full disk refuses what is still in the buffer, and it is not wanted
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        with writing(self.path):
            self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
