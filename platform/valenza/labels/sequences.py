"""Emotion over time: mixtures at moments, and the frames between them."""

from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from valenza.labels.taxonomy import EMOTIONS

FRAME_RATE = 50
"""Frames a second; frame i lasts from i / 50 to (i + 1) / 50 s, and its time is the middle."""


def frame_times(count: int) -> Float64[np.ndarray, " frames"]:
    """Return the middle of each of so many frames, in seconds."""
    return np.asarray((np.arange(count) + 0.5) / FRAME_RATE)


@dataclass(frozen=True, eq=False)
class Sequence:
    """Mixtures at rising times; between two of them the mixture moves in a straight line, and the ends are held.

    That is how Audio2Face reads emotion keyframes, so an avatar shows what is stored.
    """

    times: Float64[np.ndarray, " keys"]
    """Seconds."""
    mixtures: Float64[np.ndarray, "keys classes"]
    """Each row sums to 1; by default over the emotions of the taxonomy."""

    def __post_init__(self) -> None:
        _match(len(self.times), len(self.mixtures))
        if not (np.diff(self.times) > 0).all():
            raise ValueError("times rise from each mixture to the next")

    @classmethod
    def of(cls, times: Many[float], mixtures: Many[Many[float]]) -> "Sequence":
        """Return a sequence from plain numbers, as JSON holds them."""
        _match(len(times), len(mixtures))
        return cls(np.asarray(times, np.float64), np.asarray(mixtures, np.float64).reshape(len(times), -1))

    @classmethod
    def of_frames(cls, frames: Float[np.ndarray, "frames classes"]) -> "Sequence":
        """Return the sequence with one mixture in the middle of each frame."""
        return cls(frame_times(len(frames)), frames.astype(np.float64))

    def at(self, times: Float[np.ndarray, " moments"]) -> Float64[np.ndarray, "moments classes"]:
        """Return the mixtures at these moments, in seconds."""
        columns = [np.interp(times, self.times, column) for column in self.mixtures.T]
        return np.stack(columns, axis=1)

    def frames(self, count: int) -> Float64[np.ndarray, "frames classes"]:
        """Return the mixtures of the first `count` frames."""
        return self.at(frame_times(count))

    def problem(self, classes: int = len(EMOTIONS)) -> str | None:
        """Say what is wrong with the mixtures, or nothing."""
        if self.mixtures.shape[1] != classes:
            return f"a mixture has {self.mixtures.shape[1]} shares instead of {classes}"
        if not np.isfinite(self.mixtures).all() or (self.mixtures < 0).any():
            return "a share is negative or not finite"
        if (np.abs(self.mixtures.sum(axis=1) - 1) > 1e-3).any():
            return "the shares of a mixture do not sum to 1"
        return None


def _match(times: int, mixtures: int) -> None:
    if not times or times != mixtures:
        raise ValueError(f"{times} times and {mixtures} mixtures make no sequence")


def distance(one: Sequence, other: Sequence, count: int) -> float:
    """Return the mean absolute difference of two sequences over `count` frames and all classes."""
    return float(np.abs(one.frames(count) - other.frames(count)).mean())
