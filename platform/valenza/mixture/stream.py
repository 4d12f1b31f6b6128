"""The endless sequence of training windows: the same for any number of processes, and resumable at any window."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from valenza.mixture.plan import plan_windows
from valenza.mixture.weights import draw_epoch


@dataclass(frozen=True, slots=True)
class Window:
    """Clips that are heard one after the other."""

    clips: tuple[int, ...]
    """Clip numbers: rows of the index."""
    epoch: int
    number: int
    """Place in its epoch; with seed and epoch the key of everything random that is done to the window."""
    real: bool = True
    """False for a stand-in that keeps the processes in step and counts for nothing."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the stream has been read: all the state that it has."""

    epoch: int = 0
    window: int = 0


@dataclass
class WindowStream:
    """Plans one epoch after the other; a step may span two of them."""

    durations: npt.NDArray[np.float64]
    """Seconds, one a clip of the index."""
    rows_of: Mapping[str, npt.NDArray[np.int64]]
    """Corpus → the clip numbers that may be drawn."""
    weights: Mapping[str, float]
    window_seconds: float
    fill: float
    seed: int
    _planned: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)

    def epoch(self, epoch: int) -> list[tuple[int, ...]]:
        """Return the windows of an epoch, in the order in which they are seen."""
        if epoch not in self._planned:
            rows = draw_epoch(self.rows_of, self.weights, seed=self.seed, epoch=epoch)
            windows = plan_windows(
                self.durations[rows], window_seconds=self.window_seconds, fill=self.fill, seed=self.seed, epoch=epoch
            )
            # Only the epoch being read and the next are kept.
            self._planned = {e: w for e, w in self._planned.items() if e == epoch - 1}
            self._planned[epoch] = [tuple(rows[window].tolist()) for window in windows]
        return self._planned[epoch]

    def take(self, position: Position, count: int) -> tuple[list[Window], Position]:
        """Return the next `count` windows, over epoch ends, and the position after them."""
        epoch, at = position.epoch, position.window
        taken: list[Window] = []
        while len(taken) < count:
            windows = self.epoch(epoch)
            if not windows:
                raise ValueError("there is no clip to train on")
            if at >= len(windows):
                epoch, at = epoch + 1, 0
                continue
            taken.append(Window(windows[at], epoch, at))
            at += 1
        return taken, Position(epoch, at)


def share(windows: list[Window], *, rank: int, ranks: int, per_pass: int) -> Iterator[list[Window]]:
    """Yield the passes of one process over a step: the same number on every process, stand-ins filling the last.

    The process takes every `ranks`-th window; stand-ins repeat a window with `real` off.
    """
    each = -(-len(windows) // ranks)
    own = windows[rank::ranks]
    own += [Window(windows[0].clips, windows[0].epoch, windows[0].number, real=False)] * (each - len(own))
    for at in range(0, each, per_pass):
        yield own[at : at + per_pass]
