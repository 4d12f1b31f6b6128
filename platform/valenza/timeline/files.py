"""Many recordings: found in folders, heard in batches of similar length, and one that is bad costs no other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float64

from valenza.errors import DataError, NonFiniteError, UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import Model, Said
from valenza.timeline.pieces import Piece
from valenza.timeline.sound import blocks, promised
from valenza.timeline.timeline import Timeline
from valenza.timeline.windows import Slid, Whole, Windows

TOGETHER = 16
"""Pieces that are heard at once, unless told otherwise."""
_MOST_SAMPLES = 60 * SAMPLE_RATE
_ALIKE = 1.25
"""The longest piece of a batch over its shortest: what is shorter is padded, and padding costs as much as speech."""
_ENDINGS = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".aifc", ".oga", ".opus", ".snd"}
_NO_SOUND = {".raw", ".mat", ".mat4", ".mat5"}


def find_audio(places: Sequence[Path]) -> list[Path]:
    """Return these files, and in place of each folder the audio files in it and below it, in order, none twice.

    Raises `UsageError` for a folder without any, and nothing for a file that is missing: hearing it will.
    """
    found: list[Path] = []
    for place in places:
        if not _asked(place.is_dir, otherwise=False):
            found.append(place)
            continue
        inside = [file for file in sorted(place.rglob("*")) if _is_audio(file.relative_to(place))]
        inside = [file for file in inside if _asked(file.is_file, otherwise=True)]
        if not inside:
            raise UsageError(f"{place}: holds no audio files")
        found += inside
    return list(dict.fromkeys(found))


def _asked(what: Callable[[], bool], *, otherwise: bool) -> bool:
    """Return what a path says of itself, or else what lets hearing it explain why it says nothing."""
    try:
        return what()
    except OSError:  # a name that is too long, a folder that may not be entered
        return otherwise


def _is_audio(inside: Path) -> bool:
    ending = inside.suffix.lower()
    return ending in _ENDINGS - _NO_SOUND and not any(part.startswith(".") for part in inside.parts)


@dataclass(frozen=True, eq=False)
class Heard:
    """What a model says of a file: a mixture or a timeline, as was asked."""

    path: Path
    samples: int
    mixture: Float64[np.ndarray, " classes"] | None = None
    concentration: float | None = None
    timeline: Timeline | None = None


@dataclass(frozen=True)
class Fault:
    """Why a file cannot be heard."""

    path: Path
    reason: str


@dataclass(eq=False)
class _Work:
    path: Path
    recording: Slid | Whole
    waiting: int = 0
    """Pieces that were handed out and not yet heard."""
    read: bool = False
    fault: Fault | None = None
    told: bool = False


def hear_files(
    model: Model, files: Sequence[Path], windows: Windows | None = None, *, together: int = TOGETHER
) -> Iterator[Heard | Fault]:
    """Yield what is said of each file as soon as it is known, the shortest first: mixtures, or timelines with windows.

    Files are decoded when their turn comes and in stretches, so that none lies in memory as a whole. A file that
    cannot be read or heard is a `Fault`, and the others are heard.
    """
    lengths = {path: promised(path) for path in files}
    batch: list[tuple[_Work, Piece]] = []
    works: list[_Work] = []
    for path in sorted(files, key=lambda path: lengths[path]):
        whole = windows is None
        work = _Work(path, Whole(model, lengths[path], str(path)) if whole else Slid(model, windows, str(path)))  # type: ignore[arg-type]
        works.append(work)
        for piece in _pieces(work):
            if batch and not _fits(batch, piece, together):
                _hear(model, batch)
                batch = []
                yield from _done(works)
            work.waiting += 1
            batch.append((work, piece))
        work.read = True
        yield from _done(works)
    if batch:
        _hear(model, batch)
    yield from _done(works)


def _pieces(work: _Work) -> Iterator[Piece]:
    try:
        yield from work.recording.pieces(blocks(work.path))
    except DataError as error:
        work.fault = Fault(work.path, str(error))


def _fits(batch: Sequence[tuple[_Work, Piece]], piece: Piece, together: int) -> bool:
    lengths = [len(each.audio) for _, each in batch]
    size = len(piece.audio)
    alike = max(size, *lengths) <= _ALIKE * min(size, *lengths)
    return len(batch) < together and alike and max(size, *lengths) * (len(batch) + 1) <= _MOST_SAMPLES


def _hear(model: Model, batch: Sequence[tuple[_Work, Piece]]) -> None:
    for (work, piece), said in zip(batch, _said(model, [piece for _, piece in batch]), strict=True):
        work.waiting -= 1
        if isinstance(said, Said):
            work.recording.take(piece, said)
        else:
            work.fault = work.fault or Fault(work.path, f"{work.path}: {said}")


def _said(model: Model, pieces: Sequence[Piece]) -> Iterable[Said | NonFiniteError]:
    """Return what is said of each piece, or why nothing is: one that breaks the model breaks it for no other."""
    try:
        return model.hear([piece.audio for piece in pieces])
    except NonFiniteError as error:
        return [error] if len(pieces) == 1 else [each for piece in pieces for each in _said(model, [piece])]


def _done(works: list[_Work]) -> Iterator[Heard | Fault]:
    for work in [work for work in works if work.read and not work.waiting]:
        works.remove(work)
        yield work.fault or _result(work)


def _result(work: _Work) -> Heard | Fault:
    samples = work.recording.samples
    try:
        if isinstance(work.recording, Slid):
            return Heard(work.path, samples, timeline=work.recording.timeline())
        return Heard(work.path, samples, *work.recording.mixture())
    except UsageError as error:
        return Fault(work.path, str(error))
