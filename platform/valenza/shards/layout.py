"""Which clip lies in which shard: a pure function of the clips, so that any build of them gives the same bytes."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from valenza.corpora.card import Card
from valenza.corpora.clip import Clip
from valenza.errors import DataError
from valenza.shards import audio
from valenza.shards.index import FORMAT, ID, sha256

_BYTES_PER_SECOND = 0.6 * 2 * audio.SAMPLE_RATE
"""A guess at what FLAC leaves of speech; it decides how many shards there are and nothing else."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A clip, and what tells whether its stored form is still that of its file."""

    clip: Clip
    key: bytes
    state: str


@dataclass(frozen=True, slots=True)
class Shard:
    """The clips of one tar, in the order in which they are written."""

    name: str
    entries: tuple[Entry, ...]
    fingerprint: str


def entries(card: Card, clips: Iterable[Clip]) -> list[Entry]:
    """Return the clips in the order of their hashes; raises `DataError` that lists every clip that cannot be named."""
    problems: list[str] = []
    seen: set[str] = set()
    found: list[Entry] = []
    for clip in clips:
        problems += [f"{clip.source}: {problem}" for problem in _problems(card, clip, seen)]
        seen.add(clip.id)
        key = hashlib.blake2b(f"{clip.corpus}/{clip.id}".encode("utf-8", "replace"), digest_size=16).digest()
        found.append(Entry(clip, key, _state(clip)))
    if problems:
        raise DataError("\n".join(problems))
    if not found:
        raise DataError(f"{card.id}: there are no clips to store; `valenza corpus check {card.id}` says why")
    return sorted(found, key=lambda e: e.key[8:])


def _problems(card: Card, clip: Clip, seen: set[str]) -> Iterable[str]:
    if not ID.fullmatch(clip.id):
        yield f"the id {clip.id!r} is not 1 to 128 of the characters A-Z a-z 0-9 _ -"
    if clip.id in seen:
        yield f"the id {clip.id!r} is used twice"
    if clip.corpus != card.id:
        yield f"is of the corpus {clip.corpus!r}, not {card.id!r}"
    if clip.votes is not None and not all(math.isfinite(v) for v in clip.votes.values()):
        yield "has votes that are not finite numbers"
    words = (clip.source, clip.speaker, clip.recording, clip.language, clip.label, clip.intensity, clip.gender,
             clip.text, clip.split, *(clip.votes or ()))  # fmt: skip
    if any("\ud800" <= c <= "\udfff" for w in words if w for c in w):  # how Python keeps bytes that are not UTF-8
        yield "has a name or text that is not Unicode"


def _state(clip: Clip) -> str:
    """Describe all that a stored clip depends on; its files by size and time, since reading them would cost a build."""
    votes = None if clip.votes is None else sorted(clip.votes.items())
    said = (clip.id, clip.corpus, clip.source, clip.language, clip.speaker, clip.recording, clip.label, votes,
            clip.intensity, clip.gender, clip.text, clip.split, clip.start, clip.end, _file(clip.audio))  # fmt: skip
    # Only where there are frame labels, so that what was built before there were any stays finished.
    return repr(said if clip.frames is None else (*said, _file(clip.frames)))


def _file(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return -1, -1
    return status.st_size, status.st_mtime_ns


def fingerprint(found: Iterable[Entry], *more: object) -> str:
    """Hash clips together with the versions that decide their bytes."""
    digest = hashlib.sha256(json.dumps([FORMAT, audio.VERSIONS, *more]).encode())
    for entry in found:
        digest.update(sha256(entry.state.encode("utf-8", "replace")).encode())
    return digest.hexdigest()


def layout(card: Card, found: Sequence[Entry], shard_bytes: int) -> list[Shard]:
    """Deal clips to shards of about `shard_bytes` by their hashes.

    A shard is thus a mixture of speakers and labels, and one more clip changes one shard, as long as the number
    of shards stays the same. Reads the headers of the files, to learn how long they are.
    """
    count = max(1, math.ceil(_seconds(found) * _BYTES_PER_SECOND / shard_bytes))
    buckets: list[list[Entry]] = [[] for _ in range(count)]
    for entry in found:
        buckets[int.from_bytes(entry.key[:8], "big") % count].append(entry)
    filled = [tuple(b) for b in buckets if b]
    return [Shard(f"{card.id}-{i:06d}.tar", b, fingerprint(b)) for i, b in enumerate(filled)]


def _seconds(found: Iterable[Entry]) -> float:
    total, lengths = 0.0, dict[str, float]()
    with audio.quiet():
        for clip in (e.clip for e in found):
            if clip.end is None and clip.source not in lengths:
                lengths[clip.source] = audio.seconds(clip.audio)
            end = clip.end if clip.end is not None else lengths[clip.source]
            total += max(0.0, end - (clip.start or 0.0))
    return total
