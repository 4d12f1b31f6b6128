"""Holds every byte of a corpus's shards against index and description, and says what is damaged."""

import hashlib
import json
import stat
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.compute as pc

from valenza.corpora.frames import FrameLabelsError
from valenza.errors import ShardError
from valenza.shards import audio, frames, tar
from valenza.shards.index import CARD, ID, ShardFile, local, said, sha256
from valenza.shards.stored import read_description, read_rows

_MOST_FINDINGS = 20
_LARGEST_JSON = 1 << 24


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was written."""

    path: str
    member: str | None
    """The file inside the tar, or nothing where the whole is meant."""
    problem: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.path, self.member, self.problem) if part)


def verify(folder: Path, jobs: int = 1) -> list[Finding]:
    """Check the shards of one corpus and return what is wrong; nothing where all is well.

    Every shard: present, size, SHA-256; every member in its place with the header that was written, CRC-32, decodable
    to the stated number of samples, with a JSON that agrees with the index and the frame labels that it states; nothing
    else in between or after.
    """
    try:
        description = read_description(local(folder))
        rows = read_rows(folder, description)
    except ShardError as error:
        return [Finding(*_split(str(error)))]
    findings: list[Finding] = []
    try:
        card = sha256((folder / CARD).read_bytes())
    except OSError as error:
        card = error.strerror or "unreadable"
    if card != description.card_sha256:
        findings.append(Finding(str(folder / CARD), None, "is not the manifest that the shards were built with"))
    if description.corpus != folder.resolve().name:
        findings.append(Finding(str(folder), None, f"holds the shards of {description.corpus!r}"))
    findings += _check_index(folder, rows["id"].to_pylist())
    named = {s.name for s in description.shards}
    for path in sorted(folder.glob("*.tar")):
        if path.name not in named:
            findings.append(Finding(str(path), None, "is not in shards.json"))
    work = [(folder / s.name, s, rows.filter(pc.equal(rows["shard"], s.name)).to_pylist()) for s in description.shards]
    if jobs <= 1 or len(work) == 1:
        return findings + [f for args in work for f in _check_shard(*args)]
    with ProcessPoolExecutor(min(jobs, len(work)), mp_context=get_context("spawn")) as pool:
        return findings + [f for found in pool.map(_check_shard, *zip(*work, strict=True)) for f in found]


def _split(message: str) -> tuple[str, None, str]:
    path, _, problem = message.partition(": ")
    return path, None, problem


def _check_index(folder: Path, ids: Sequence[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            yield Finding(str(folder), name, "is in the index twice")
        if not ID.fullmatch(name):
            yield Finding(str(folder), repr(name), "is not a possible id")
        seen.add(name)


def _check_shard(path: Path, shard: ShardFile, rows: list[dict[str, Any]]) -> list[Finding]:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return [Finding(str(path), None, "is not a regular file")]
        with path.open("rb") as file, audio.quiet():
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            problems = list(_check_members(_Bytes(file), rows))
            size = file.seek(0, SEEK_END)
    except OSError as error:
        return [Finding(str(path), None, f"cannot be read: {error.strerror or error}")]
    if size != shard.bytes:
        problems.insert(0, (None, f"{size:,} bytes where {shard.bytes:,} were written"))
    elif digest != shard.sha256:
        problems.insert(0, (None, "is not the file that was written (SHA-256)"))
    if problems:
        problems[0] = (problems[0][0], f"{problems[0][1]}; delete this shard and build again, which makes only it anew")
    if len(problems) > _MOST_FINDINGS:
        problems[_MOST_FINDINGS:] = [(None, f"and {len(problems) - _MOST_FINDINGS} more findings")]
    return [Finding(str(path), member, problem) for member, problem in problems]


class _Bytes:
    """Slices of a file, which end where it ends; nothing stays in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, SEEK_END)

    def read(self, start: int, count: int) -> bytes:
        if not 0 <= start <= self.size or count < 0:
            return b""
        self._file.seek(start)
        return self._file.read(min(count, self.size - start))


def _check_members(data: _Bytes, rows: list[dict[str, Any]]) -> Iterator[tuple[str | None, str]]:
    """Walk a tar as the index describes it, so that one damaged header hides nothing behind it."""
    position: int | None = 0
    for row in sorted(rows, key=lambda r: int(r["offset"])):
        name, offset, size = f"{row['id']}.flac", row["offset"], row["size"]
        if not ID.fullmatch(row["id"]) or not 0 <= size <= data.size:
            yield name, f"cannot be in this shard ({size:,} bytes)"
            position = None
            continue
        start = offset - tar.header_length(name)
        if position is not None and position != start:
            yield name, f"begins at byte {start:,} by the index, but the member before it ends at {position:,}"
        head = tar.header(name, size)
        found = data.read(start, len(head))
        if found != head:
            yield name, tar.explain(found, name)
        yield from ((name, p) for p in _check_audio(data.read(offset, size), row))
        end = offset + size
        yield from ((name, p) for p in _check_padding(data, end))
        json_name = f"{row['id']}.json"
        position, problems = _check_json(data, end + tar.padding(end), json_name, row)
        yield from ((json_name, p) for p in problems)
        if row["frames"] is not None:
            position, problems = _check_frames(data, position, row)
            yield from ((f"{row['id']}.npy", p) for p in problems)
    if position is not None:
        end_mark = data.read(position, data.size)
        if end_mark[: len(tar.END)] != tar.END:
            yield None, "the end-of-archive mark is missing after the last member that the index knows"
        elif len(end_mark) > len(tar.END):
            yield None, f"{len(end_mark) - len(tar.END):,} bytes follow the end of the archive"


def _check_audio(flac: bytes, row: Mapping[str, Any]) -> Iterator[str]:
    if len(flac) != row["size"]:
        yield "the file ends inside it"
    elif zlib.crc32(flac) != row["crc32"]:
        yield "its bytes are not the ones that were written (CRC-32)"
    else:
        try:
            audio.decode(flac, row["samples"])
        except audio.AudioError as error:
            yield str(error)


def _check_frames(data: _Bytes, position: int | None, row: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Return where the next member begins by the index, and what is wrong with a clip's frame labels."""
    name, offset, size = f"{row['id']}.npy", row["frames"]["offset"], row["frames"]["size"]
    start, end = offset - tar.header_length(name), offset + size
    problems: list[str] = []
    if position is not None and position != start:
        problems.append(f"begins at byte {start:,} by the index, but the member before it ends at {position:,}")
    head = tar.header(name, size) if 0 <= size <= data.size else b""
    found = data.read(start, len(head))
    if found != head or not head:
        problems.append(tar.explain(found, name))
    stored = data.read(offset, size)
    if len(stored) != size:
        problems.append("the file ends inside it")
    elif zlib.crc32(stored) != row["frames"]["crc32"]:
        problems.append("its bytes are not the ones that were written (CRC-32)")
    else:
        try:
            frames.decode(stored, row["samples"])
        except FrameLabelsError as error:
            problems.append(str(error))
    problems += _check_padding(data, end)
    return end + tar.padding(end), problems


def _check_padding(data: _Bytes, end: int) -> Iterator[str]:
    gap = data.read(end, tar.padding(end))
    if any(gap):
        yield "is followed by bytes that belong to no member"
    elif len(gap) != tar.padding(end):
        yield "the file ends right after it"


def _check_json(data: _Bytes, start: int, name: str, row: Mapping[str, Any]) -> tuple[int | None, list[str]]:
    """Return where the next member begins, if that can be told, and what is wrong with this one."""
    length = tar.header_length(name)
    found = data.read(start, length)
    size = tar.stated_size(found)
    if size is None or size > _LARGEST_JSON or tar.header(name, size) != found:
        return None, [tar.explain(found, name)]
    text = data.read(start + length, size)
    end = start + length + size
    problems = list(_check_padding(data, end))
    try:
        began = json.loads(text)["start"]
        agrees = isinstance(began, float) and said(row, began) == text
    except (ValueError, RecursionError, KeyError, TypeError):
        agrees = False
    if not agrees:
        problems.append("does not say what the index says")
    return end + tar.padding(end), problems
