"""A folder of pairs: tracks, candidate sequences and the pairs that people judge, one JSON object a line."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import Field, NonNegativeInt, PositiveFloat

from valenza.config import Settings
from valenza.errors import DataError, UsageError
from valenza.labels.sequences import FRAME_RATE, Sequence
from valenza.labels.taxonomy import EMOTIONS
from valenza.shards.record import put

HEAD, TRACKS, CANDIDATES, PAIRS, PREFERENCES = (
    "pairs.json",
    "tracks.jsonl",
    "candidates.jsonl",
    "pairs.jsonl",
    "preferences.jsonl",
)
Id = Annotated[str, Field(pattern=r"^[a-z]-[A-Za-z0-9_-]{1,128}$")]


class Track(Settings):
    """A recording that sequences are made of; `audio` is a path in the folder."""

    id: Id
    audio: Annotated[str, Field(pattern=r"^audio/[A-Za-z0-9_-]{1,140}\.flac$")]
    seconds: PositiveFloat
    corpus: str
    language: str
    speaker: str
    clip: str | None = None
    """The id of the clip in the shards that it was taken from."""

    @property
    def frames(self) -> int:
        """How many frames its sequences are compared over."""
        return max(1, ceil(self.seconds * FRAME_RATE - 1e-6))


class Candidate(Settings):
    """A sequence for a track, and where it comes from."""

    id: Id
    track: Id
    source: dict[str, Any]
    """`kind` is `window`, `sample`, `checkpoint`, `file` or `catch`; what else there is tells how it was made."""
    times: tuple[float, ...] = Field(min_length=1)
    mixtures: tuple[tuple[float, ...], ...] = Field(min_length=1)

    @cached_property
    def sequence(self) -> Sequence:
        """The mixtures over time."""
        return Sequence.of(self.times, self.mixtures)


class Pair(Settings):
    """Two candidates of a track."""

    id: Id
    track: Id
    a: Id
    b: Id
    kind: Literal["plain", "identical", "obvious", "swapped"] = "plain"
    """All but `plain` are catch trials, whose answer says something of the annotator."""
    expected: Literal["a", "b", "tie"] | None = None
    repeats: Id | None = None
    """The plain pair that a `swapped` one shows again with a and b exchanged."""
    disagreement: float
    """Mean absolute difference of the two sequences."""


class Head(Settings):
    """What is said of the whole folder."""

    format: Literal[1] = 1
    title: str
    classes: tuple[str, ...] = EMOTIONS
    seed: NonNegativeInt
    made: dict[str, Any]
    """How the candidates and pairs were made."""


@dataclass(frozen=True)
class Study:
    """A folder of pairs that has been read and found whole."""

    folder: Path
    head: Head
    tracks: dict[str, Track]
    candidates: dict[str, Candidate]
    pairs: tuple[Pair, ...]
    digest: str
    """Changes with anything that an annotator sees."""

    @property
    def title(self) -> str:
        """What the study is called."""
        return self.head.title

    @property
    def classes(self) -> tuple[str, ...]:
        """What the mixtures are over."""
        return self.head.classes

    @property
    def seed(self) -> int:
        """What orders and sides are drawn from."""
        return self.head.seed

    @property
    def made(self) -> dict[str, Any]:
        """How the candidates and pairs were made."""
        return self.head.made


Line = TypeVar("Line", bound=Settings)


def read_pairs(folder: Path) -> Study:
    """Read a folder of pairs; raises `DataError` naming file, line and field of whatever is wrong."""
    if not (folder / HEAD).is_file():
        raise UsageError(f"{folder}: not a folder of pairs: it has no {HEAD}")
    head = _one(Head, folder / HEAD, None, (folder / HEAD).read_bytes())
    tracks = _by_id(Track, folder / TRACKS, lambda _: None)
    candidates = _by_id(Candidate, folder / CANDIDATES, lambda c: _wrong_candidate(c, tracks, len(head.classes)))
    pairs = _by_id(Pair, folder / PAIRS, lambda p: _wrong_pair(p, candidates))
    for track in tracks.values():
        if not (folder / track.audio).is_file():
            raise DataError(f"{folder / TRACKS}: {track.id}: there is no file {track.audio}")
    digest = hashlib.sha256()
    for name in (HEAD, TRACKS, CANDIDATES, PAIRS):
        digest.update((folder / name).read_bytes())
    return Study(folder, head, tracks, candidates, tuple(pairs.values()), digest.hexdigest())


def write_pairs(
    folder: Path,
    head: Head,
    audio: Mapping[str, bytes],
    tracks: Iterable[Track],
    candidates: Iterable[Candidate],
    pairs: Iterable[Pair],
) -> Study:
    """Write a folder of pairs, `audio` being each track's FLAC file by track id, and read it back.

    The head is written last: a folder without it is unfinished. Raises `UsageError` where another study lies there.
    """
    if (folder / HEAD).exists():
        raise UsageError(f"{folder}: holds pairs already; give another folder, or delete it")
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    tracks = list(tracks)
    for track in tracks:
        put(folder / track.audio, audio[track.id])
    for name, lines in ((TRACKS, tracks), (CANDIDATES, candidates), (PAIRS, pairs)):
        put(folder / name, "".join(f"{line.model_dump_json()}\n" for line in lines).encode())
    put(folder / HEAD, (json.dumps(head.model_dump(mode="json"), indent=1) + "\n").encode())
    return read_pairs(folder)


def read_lines(kind: type[Line], file: Path) -> Iterator[tuple[int, Line]]:
    """Yield line number and content of a file of JSON lines; raises `DataError` naming file, line and field."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _one(kind, file, number, line)


def _one(kind: type[Line], file: Path, number: int | None, raw: bytes) -> Line:
    try:
        return kind.model_validate_json(raw)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        where = file if number is None else f"{file}:{number}"
        raise DataError(f"{where}: {field}: {first['msg']}") from None


def _by_id(kind: type[Line], file: Path, wrong: Callable[[Any], str | None]) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for number, line in read_lines(kind, file):
        name = str(line.model_dump()["id"])
        if name in found:
            raise DataError(f"{file}:{number}: id: {name} is there twice")
        if why := wrong(line):
            raise DataError(f"{file}:{number}: {why}")
        found[name] = line
    return found


def _wrong_candidate(candidate: Candidate, tracks: Mapping[str, Track], classes: int) -> str | None:
    if candidate.track not in tracks:
        return f"track: there is no track {candidate.track}"
    try:
        why = candidate.sequence.problem(classes)
    except ValueError as error:
        why = str(error)
    return None if why is None else f"mixtures: {why}"


def _wrong_pair(pair: Pair, candidates: Mapping[str, Candidate]) -> str | None:
    for side, name in (("a", pair.a), ("b", pair.b)):
        if name not in candidates:
            return f"{side}: there is no candidate {name}"
        if candidates[name].track != pair.track:
            return f"{side}: {name} is of {candidates[name].track}, not of {pair.track}"
    return None
