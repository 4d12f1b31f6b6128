"""Reads single clips out of shards through the index, checked, in any order and from any process."""

import mmap
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Int16, Int64

from valenza.corpora.frames import FrameLabelsError
from valenza.errors import ClipError, ShardError
from valenza.place import Place, Remote
from valenza.shards import audio, frames
from valenza.shards.cache import Cache, Item
from valenza.shards.index import local
from valenza.shards.stored import read_description

_MOST_OPEN = 128


def _items(folder: Remote) -> dict[str, Item]:
    """Return shard → what to fetch, of a corpus on a server."""
    return {s.name: Item(folder / s.name, s.sha256, s.bytes) for s in read_description(folder).shards}


def _members(column: pa.ChunkedArray) -> Int64[np.ndarray, "clips 3"] | None:
    """Return offset, size and CRC-32 of each clip's frame labels, zeros where it has none; nothing if no clip does."""
    if column.null_count == len(column):
        return None
    parts = (pc.fill_null(pc.struct_field(column, name), 0).to_numpy() for name in ("offset", "size", "crc32"))
    return np.stack([part.astype(np.int64) for part in parts], axis=1)


class Reader:
    """The audio of an index's clips.

    Shards are mapped into memory when they are first needed, so a reader can be pickled, sent to spawned processes or
    inherited by forked ones. Those of a server are fetched into the cache first. The tar's own headers are never read.
    """

    def __init__(self, shards: Place, index: pa.Table) -> None:
        corpora = index["corpus"].combine_chunks().dictionary_encode()
        names = index["shard"].combine_chunks().dictionary_encode()
        known, which = names.dictionary.to_pylist(), names.indices.to_numpy(zero_copy_only=False)
        of_shard = np.zeros(len(known), np.int64)
        of_shard[which] = corpora.indices.to_numpy(zero_copy_only=False)
        folders = corpora.dictionary.to_pylist()
        # A shard's name begins with its corpus, so it lies in one folder only.
        lying = [(folders[c], name) for c, name in zip(of_shard, known, strict=True)]
        self._files: list[Path] | list[Item]
        if isinstance(shards, Remote):
            there = {corpus: _items(shards / corpus) for corpus in folders}
            self._files = [there[corpus][name] for corpus, name in lying]
        else:
            self._files = [local(shards) / corpus / name for corpus, name in lying]
        self._shard = which.astype(np.int32)
        self._offset, self._size, self._crc, self._samples = (
            index[name].to_numpy() for name in ("offset", "size", "crc32", "samples")
        )
        self._ids = index["id"]
        self._frames = _members(index["frames"])
        self._open: OrderedDict[int, mmap.mmap] = OrderedDict()

    def __len__(self) -> int:
        return len(self._shard)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def flac(self, row: int) -> bytes:
        """Return a clip's FLAC file; raises `ClipError` that names shard and clip where its CRC-32 is another."""
        shard, offset, size = int(self._shard[row]), int(self._offset[row]), int(self._size[row])
        data = self._map(shard, row)[offset : offset + size]
        if zlib.crc32(data) != self._crc[row]:
            raise self._damaged(row, "its bytes are not the ones that were written (CRC-32)")
        return data

    @property
    def has_frames(self) -> Bool[np.ndarray, " clips"]:
        """Which clips have frame labels."""
        return np.zeros(len(self), dtype=bool) if self._frames is None else np.asarray(self._frames[:, 1] > 0)

    def frames(self, row: int) -> Float32[np.ndarray, "frames classes"]:
        """Return what is heard in each 20 ms of a clip; each row sums to 1, and the columns are the taxonomy's.

        Raises `ClipError` that names shard and clip where the clip has no frame labels or they are damaged.
        """
        if self._frames is None or not self._frames[row, 1]:
            raise self._damaged(row, "has no frame labels")
        offset, size, crc = (int(number) for number in self._frames[row])
        data = self._map(int(self._shard[row]), row)[offset : offset + size]
        if zlib.crc32(data) != crc:
            raise self._damaged(row, "the bytes of its frame labels are not the ones that were written (CRC-32)")
        try:
            return frames.decode(data, int(self._samples[row]))
        except FrameLabelsError as error:
            raise self._damaged(row, f"its file of frame labels {error}") from None

    def checksum(self, row: int) -> int:
        """Return the CRC-32 of a clip's FLAC file, as the index has it."""
        return int(self._crc[row])

    def samples(self, row: int) -> int:
        """Return how many samples a clip has, as the index has it."""
        return int(self._samples[row])

    def audio(self, row: int) -> Int16[np.ndarray, " samples"]:
        """Return a clip as 16 kHz mono; raises `ClipError` that names shard and clip where it is damaged."""
        try:
            return audio.decode(self.flac(row), int(self._samples[row]))
        except audio.AudioError as error:
            raise self._damaged(row, str(error)) from None

    def _map(self, shard: int, row: int) -> mmap.mmap:
        mapped = self._open.get(shard)
        if mapped is not None:
            return mapped
        try:
            with self._opened(shard) as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            name = self._ids[row].as_py()
            raise ShardError(f"{self._files[shard]}: {name}: the shard cannot be read: {error}") from None
        while len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)  # closed when its last reader lets go
        self._open[shard] = mapped
        return mapped

    def _opened(self, shard: int) -> BinaryIO:
        file = self._files[shard]
        # A mapping keeps the lock of the file that it was made from, so the cache knows what is in use.
        return file.open("rb") if isinstance(file, Path) else Cache.here().open(file, self._open.clear)

    def _damaged(self, row: int, why: str) -> ClipError:
        path = self._files[int(self._shard[row])]
        if isinstance(path, Item):
            return ClipError(f"{path}: {self._ids[row].as_py()}: {why}; its copy is {Cache.here().path(path)}")
        return ClipError(
            f"{path}: {self._ids[row].as_py()}: {why}; `valenza shards verify {path.parent.name}` tells more"
        )
