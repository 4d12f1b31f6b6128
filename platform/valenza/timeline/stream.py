"""A recording that is still being spoken: emotions a fixed time after they are heard, in memory that does not grow."""

from collections import deque
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from valenza.errors import UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import Model, Said
from valenza.labels.sequences import FRAME_RATE
from valenza.timeline.pieces import Cutter, Grid, Moment, Piece
from valenza.timeline.windows import Windows, moments_of

__all__ = ["Moment", "Piece", "Stream", "Streaming"]
_BITE = SAMPLE_RATE
_TOGETHER = 16


@dataclass(frozen=True)
class Streaming:
    """How far a stream looks back and ahead."""

    windows: Windows = field(default_factory=Windows)
    """What is heard at once, and how often; a moment knows nothing that is further from it than a window."""
    look_ahead: float | None = None
    """Seconds of audio after a moment that are awaited before it is told, by frame-level models; a step at least.

    Without it they are the whole window, and what is told is what `timeline_of` says of the finished recording.
    The first window is awaited whole. Models of whole clips tell the middle of a window at its end.
    """

    def frames(self, grid: Grid) -> int:
        """Return how many frames a frame-level model looks ahead; raises `UsageError` where that cannot be."""
        if self.look_ahead is None:
            return grid.window
        ahead = self.look_ahead * FRAME_RATE
        frames = round(ahead) if isfinite(ahead) else 0
        if not grid.step <= frames <= grid.window:
            low, high = (f"{count / FRAME_RATE:g} s" for count in (grid.step, grid.window))
            raise UsageError(f"a stream looks {low} (a step) to {high} (a window) ahead, not {self.look_ahead:g} s")
        return frames


class Stream:
    """One recording that is still being spoken.

    What is told depends on the samples and not on the bits in which they come. Use `feed` and `close`; those who hear
    the windows of many recordings together use `put`, `due`, `take` and `finish`.
    """

    def __init__(self, model: Model, settings: Streaming = Streaming()) -> None:
        grid = settings.windows.of(model)
        self._model = model
        self._cutter = Cutter(grid)
        if settings.look_ahead is not None and not model.framewise:
            raise UsageError(f"{model.name} tells the middle of each window: a shorter window looks less far ahead")
        self._moments = moments_of(model, grid, settings.frames(grid))
        self._asked: deque[Piece] = deque()
        self.latency = grid.window / FRAME_RATE if model.framewise else grid.window / 2 / FRAME_RATE
        """Seconds of audio after a moment that are heard before it is told, at most; computing comes on top."""
        if settings.look_ahead is not None:
            self.latency = settings.frames(grid) / FRAME_RATE

    @property
    def seconds(self) -> float:
        """How much was put."""
        return self._cutter.samples / SAMPLE_RATE

    def put(self, samples: np.ndarray) -> None:
        """Append samples, 16 kHz mono int16; raises `UsageError` for others, `ValueError` after the end."""
        if not isinstance(samples, np.ndarray) or samples.dtype != np.int16 or samples.ndim != 1:
            raise UsageError("a stream takes int16 samples at 16 kHz, mono; `valenza.timeline.sound.Inflow` makes them")
        self._cutter.put(samples)

    def due(self) -> list[Piece]:
        """Return the windows that can be heard now, each once."""
        found = self._cutter.due()
        self._asked.extend(found)
        return found

    def take(self, piece: Piece, said: Said) -> list[Moment]:
        """Return the moments that are final now, in order; raises `ValueError` for pieces that are not in theirs."""
        if not self._asked or self._asked[0] is not piece:
            raise ValueError("pieces are taken in the order in which they were due")
        self._asked.popleft()
        return self._moments.take(piece, said)

    def finish(self) -> None:
        """There will be no more audio: the last window becomes due."""
        self._cutter.finish()

    def feed(self, samples: np.ndarray) -> list[Moment]:
        """Append samples, 16 kHz mono int16, hear what is due and return the moments that are final with it."""
        told: list[Moment] = []
        for start in range(0, len(samples), _BITE):  # little by little: windows overlap, and take up more than audio
            self.put(samples[start : start + _BITE])
            told += self._heard()
        return told

    def close(self) -> list[Moment]:
        """End the recording and return the rest of its moments."""
        self.finish()
        return self._heard()

    def _heard(self) -> list[Moment]:
        pieces = self.due()
        told: list[Moment] = []
        for start in range(0, len(pieces), _TOGETHER):
            group = pieces[start : start + _TOGETHER]
            for piece, said in zip(group, self._model.hear([piece.audio for piece in group]), strict=True):
                told += self.take(piece, said)
        return told
