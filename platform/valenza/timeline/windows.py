"""How a model that hears a few seconds at once hears a recording of any length: window by window, in little memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Float64

from valenza.errors import UsageError
from valenza.features.batch import FRAME
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import Model, Said
from valenza.labels.sequences import FRAME_RATE
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.pieces import Audio, Cutter, Grid, Middles, Overlaps, Piece
from valenza.timeline.timeline import Timeline

USUAL = {True: (2.0, 0.5), False: (1.4, 0.2)}
"""Window and step in seconds, of frame-level models and of others.

Frame-level models that hear 2 s every 0.5 s are, over three corpora, as often right of long recordings as those that
hear more, and streams can follow: docs/predicting.md. Others hear 1.4 s, as the teachers of frames do (Fedorov &
Korobchenko, §4.1).
"""


@dataclass(frozen=True)
class Windows:
    """A window that is slid over recordings; each time that it stands still, the model hears it by itself."""

    window: float | None = None
    """Seconds that are heard at once; as is usual for the kind of model, where absent."""
    step: float | None = None
    """Seconds from one window to the next; where absent as usual, or half of a window that is short."""

    def of(self, model: Model) -> "Grid":
        """Return the same in frames; raises `UsageError` for what the model cannot hear."""
        window, step = USUAL[model.framewise]
        window = window if self.window is None else self.window
        step = min(step, window / 2) if self.step is None else self.step
        longest = model.longest / SAMPLE_RATE
        if not 1 / FRAME_RATE <= window <= longest:
            raise UsageError(
                f"a window of {window:g} s: {model.name} hears {1 / FRAME_RATE:g} to {longest:g} s at once"
            )
        if not 1 / FRAME_RATE <= step <= window:
            raise UsageError(
                f"a step of {step:g} s: it lies between {1 / FRAME_RATE:g} s and the window's {window:g} s"
            )
        return Grid(round(window * FRAME_RATE), max(1, round(step * FRAME_RATE)))


def moments_of(model: Model, grid: Grid, ahead: int | None = None) -> Middles | Overlaps:
    """Return what makes moments of what a model says of windows; it may look so many frames ahead, a window at most."""
    return Overlaps(grid, grid.window if ahead is None else ahead) if model.framewise else Middles()


class Slid:
    """A recording whose windows are heard in their order, to the timeline."""

    def __init__(self, model: Model, windows: Windows, name: str = "") -> None:
        grid = windows.of(model)
        self._cutter, self._moments, self._name = Cutter(grid), moments_of(model, grid), name
        self._rows: list[np.ndarray] = []
        self._dirichlet = False

    @property
    def samples(self) -> int:
        """How many were cut."""
        return self._cutter.samples

    def pieces(self, audio: Iterable[Audio]) -> Iterator[Piece]:
        """Yield the windows of a recording."""
        for block in audio:
            self._cutter.put(block)
            yield from self._cutter.due()
        self._cutter.finish()
        yield from self._cutter.due()

    def take(self, piece: Piece, said: Said) -> None:
        """Take what is said of the next window."""
        found = self._moments.take(piece, said)
        self._dirichlet = said.concentration is not None
        if found:
            self._rows.append(np.array([[m.time, m.concentration or 0.0, *m.mixture] for m in found]))

    def timeline(self) -> Timeline:
        """Return the timeline, once everything was taken; raises `UsageError` for a recording without samples."""
        if not self._rows:
            raise UsageError(f"{self._name or 'the recording'} holds no samples")
        rows = np.concatenate(self._rows)
        sure = rows[:, 1] if self._dirichlet else None
        return Timeline(rows[:, 0], EMOTIONS, rows[:, 2:], self.samples / SAMPLE_RATE, sure, self._name)


class Whole:
    """A recording as one mixture: equal parts of what the model hears at once, and their mean by length."""

    def __init__(self, model: Model, samples: int, name: str = "") -> None:
        """Begin a recording of which so many samples are promised; those that are there count."""
        parts = max(1, -(-samples // model.longest))
        self._sizes = ((samples + parts - 1 - part) // parts for part in range(parts))
        self._longest, self._name = model.longest, name
        self._sum = np.zeros(len(EMOTIONS))
        self._sure: float | None = None
        self.samples = 0
        """How many were cut."""

    def pieces(self, audio: Iterable[Audio]) -> Iterator[Piece]:
        """Yield the parts of a recording."""
        held = np.zeros(0, np.int16)
        size = next(self._sizes) or self._longest
        for block in audio:
            held = np.concatenate([held, block])
            while len(held) >= size:
                yield self._part(held[:size])
                held = held[size:].copy()
                size = next(self._sizes, self._longest)
        if len(held):
            yield self._part(held)

    def _part(self, audio: Audio) -> Piece:
        start = self.samples // FRAME
        self.samples += len(audio)
        return Piece(start, audio)

    def take(self, piece: Piece, said: Said) -> None:
        """Take what is said of the next part."""
        self._sum += said.mixture * len(piece.audio)
        if said.strength is not None:
            self._sure = (self._sure or 0.0) + said.strength * len(piece.audio)

    def mixture(self) -> tuple[Float64[np.ndarray, " classes"], float | None]:
        """Return the shares of the whole, and of Dirichlet heads the concentration; raises `UsageError` for nothing."""
        if not self.samples:
            raise UsageError(f"{self._name or 'the recording'} holds no samples")
        return self._sum / self._sum.sum(), None if self._sure is None else self._sure / self.samples


def hear_recording(model: Model, recording: Slid | Whole, audio: Audio | Iterable[Audio], together: int) -> None:
    """Hear a recording, so many pieces together, and let it take what is said."""
    pieces = recording.pieces([audio] if isinstance(audio, np.ndarray) else audio)
    while group := list(islice(pieces, together)):
        for piece, said in zip(group, model.hear([piece.audio for piece in group]), strict=True):
            recording.take(piece, said)


def timeline_of(
    model: Model,
    audio: Audio | Iterable[Audio],
    windows: Windows = Windows(),
    *,
    name: str = "",
    together: int = 16,
) -> Timeline:
    """Return the timeline of a recording at 16 kHz, whole or in stretches; so many windows are heard together.

    Of a recording in stretches little more than one is in memory at a time. Raises `UsageError` without samples.
    """
    slid = Slid(model, windows, name)
    hear_recording(model, slid, audio, together)
    return slid.timeline()


def mixture_of(model: Model, audio: Audio) -> Float64[np.ndarray, " classes"]:
    """Return the mixture of a whole recording at 16 kHz; raises `UsageError` without samples."""
    whole = Whole(model, len(audio))
    hear_recording(model, whole, audio, 1)
    return whole.mixture()[0]
