"""Recordings that come in bit by bit: the windows that can be heard, and the moments that are then told."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16

from valenza.features.batch import FRAME
from valenza.inference.model import Said
from valenza.labels.sequences import FRAME_RATE
from valenza.labels.taxonomy import EMOTIONS

Audio = Int16[np.ndarray, " _"]


@dataclass(frozen=True)
class Grid:
    """Where windows stand, in frames."""

    window: int
    step: int


@dataclass(frozen=True)
class Moment:
    """What is said of one moment of a recording."""

    time: float
    """Seconds."""
    mixture: Float64[np.ndarray, " classes"]
    concentration: float | None
    """Of Dirichlet heads: how sure."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A stretch of a recording that the model hears at once."""

    start: int
    """Its first frame."""
    audio: Audio
    last: bool = False
    """Whether the recording ends with it."""


class Cutter:
    """Cuts windows out of a recording that comes in bit by bit: one every step, and one that ends where it does.

    They are those of `stages.sliding.starts`, whatever the bits. A recording that ends with a window whose end was not
    known gives that window once more, marked as the last. Holds a window, a step and what was put since `due`.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._held = np.zeros(0, np.int16)
        self._begin = self._next = 0
        self._ended = False
        self.samples = 0
        """How many were put."""

    def put(self, samples: Audio) -> None:
        """Append samples; raises `ValueError` after the end."""
        if self._ended:
            raise ValueError("the recording has ended")
        self._held = np.concatenate([self._held, samples])
        self.samples += len(samples)

    def finish(self) -> None:
        """There will be no more samples."""
        self._ended = True

    def due(self) -> list[Piece]:
        """Return the windows that are whole and were not returned before."""
        window, step = self._grid.window, self._grid.step
        found = []
        while (self._next + window) * FRAME <= self.samples:
            found.append(Piece(self._next, self._cut(self._next)))
            self._next += step
        if self._ended and self.samples and self._begin >= 0:
            start = max(-(-self.samples // FRAME) - window, 0)
            if found and found[-1].start == start:
                found[-1] = Piece(start, found[-1].audio, last=True)
            else:
                found.append(Piece(start, self._cut(start), last=True))
            self._held, self._begin = np.zeros(0, np.int16), -1
        elif found:
            kept = self._next - step  # the last window may begin where the latest one did
            self._held = self._held[(kept - self._begin) * FRAME :].copy()
            self._begin = kept
        return found

    def _cut(self, start: int) -> Audio:
        first = (start - self._begin) * FRAME
        return self._held[first : first + self._grid.window * FRAME].copy()


class Middles:
    """What a model of whole clips says of each window is of the window's middle."""

    def __init__(self) -> None:
        self._latest = -1

    def take(self, piece: Piece, said: Said) -> list[Moment]:
        """Return the moment of a window."""
        if piece.start == self._latest:
            return []
        self._latest = piece.start
        return [Moment((piece.start + len(said.frames) / 2) / FRAME_RATE, said.mixture, said.strength)]


class Overlaps:
    """The mean of what a frame-level model says of each frame in the windows that it is in.

    Windows weigh most in their middle and least at their edges. A frame is said once no window a step further on that
    ends within its look-ahead is still to come; it is final then, so that what is said does not depend on how the audio
    came in. The last window, whose place only the end of the recording tells, joins in from the first frame that was
    not said yet: without a shorter look-ahead, a step after the beginning of the window before it.
    """

    def __init__(self, grid: Grid, ahead: int) -> None:
        self._grid, self._ahead = grid, ahead
        self._first = 0
        """The first frame that was not said."""
        self._heard = -1
        """Where the latest window began."""
        self._sums = np.zeros((0, len(EMOTIONS) + 2))
        """Of the frames from there on: shares, concentration and 1, each times the weights."""

    def take(self, piece: Piece, said: Said) -> list[Moment]:
        """Return the frames that are final with a window."""
        end = piece.start + len(said.frames)
        if piece.start > self._heard:
            self._heard = piece.start
            self._add(piece.start, said)
        final = end if piece.last else piece.start + self._grid.step + self._grid.window - self._ahead
        return self._said(final, said.concentration is not None)

    def _add(self, start: int, said: Said) -> None:
        count = len(said.frames)
        place = np.arange(count) + 0.5
        weights = np.minimum(place, count - place)[:, None]
        sure = np.zeros(count) if said.concentration is None else said.concentration
        rows = np.column_stack([said.frames, sure, np.ones(count)]) * weights
        longer = np.zeros((max(start + count - self._first - len(self._sums), 0), rows.shape[1]))
        self._sums = np.concatenate([self._sums, longer])
        new = rows[max(self._first - start, 0) :]
        begin = max(start - self._first, 0)
        self._sums[begin : begin + len(new)] += new

    def _said(self, until: int, dirichlet: bool) -> list[Moment]:
        count = max(until - self._first, 0)
        rows, self._sums = self._sums[:count], self._sums[count:].copy()
        means = rows[:, :-1] / rows[:, -1:]
        shares = means[:, :-1] / means[:, :-1].sum(axis=1, keepdims=True)
        times = (self._first + np.arange(len(rows)) + 0.5) / FRAME_RATE
        self._first += len(rows)
        sure = means[:, -1].tolist() if dirichlet else [None] * len(rows)
        return [Moment(*told) for told in zip(times.tolist(), shares, sure, strict=True)]
