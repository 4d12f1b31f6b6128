"""From shares over time to stretches of one emotion each."""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64


class Segment(NamedTuple):
    """A stretch of a recording with one emotion."""

    start: float
    """Seconds."""
    end: float
    label: str
    share: float
    """Of that emotion, on average over the segment."""


@dataclass(frozen=True)
class Segmenting:
    """How labels are made calm enough to be read.

    On 240 joined recordings of the training languages, of two frame-level models each, the defaults found the most
    changes of emotion within half a second (F1 .55 and .54, against .44 and .44 of the strongest class of each frame)
    and kept the share of frames that are right (.49 and .52). Raises `ValueError` for settings out of range.
    """

    hysteresis: float = 0.1
    """By how much the share of another emotion must exceed that of the present one before it takes over, 0 to 1."""
    minimum_seconds: float = 0.5
    """Shorter segments are given to their longer neighbour, the shortest first."""

    def __post_init__(self) -> None:
        if not 0 <= self.hysteresis < 1:
            raise ValueError(f"hysteresis lies between 0 and 1, not {self.hysteresis:g}")
        if not 0 <= self.minimum_seconds < float("inf"):
            raise ValueError(f"minimum_seconds is 0 or more, not {self.minimum_seconds:g}")


USUAL = Segmenting()


def cells(times: Float64[np.ndarray, " keys"], duration: float) -> Float64[np.ndarray, " edges"]:
    """Return the edges of what each moment stands for: halfway to its neighbours, and up to the recording's ends."""
    return np.concatenate([[0.0], (times[1:] + times[:-1]) / 2, [duration]])


def means(
    own: Float64[np.ndarray, " cells"],
    values: Float64[np.ndarray, "keys columns"],
    edges: Float64[np.ndarray, " edges"],
) -> Float64[np.ndarray, "frames columns"]:
    """Return the mean between edges of values, each of which stands for one of the `cells`."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(np.diff(own)[:, None] * values, axis=0)])
    upto = np.stack([np.interp(edges, own, column) for column in sums.T], axis=1)
    return np.asarray(np.diff(upto, axis=0) / np.diff(edges)[:, None])


def cut(
    edges: Float64[np.ndarray, " edges"],
    classes: tuple[str, ...],
    mixtures: Float64[np.ndarray, "keys classes"],
    settings: Segmenting,
) -> list[Segment]:
    """Return segments that lie end to end from the first edge to the last, neighbours of unlike labels.

    None is shorter than the minimum, unless the whole is. The earlier of two equally short ones goes first, and to the
    earlier of two equally long neighbours: the rule by which boundaries are scored in `evaluation.dynamic`.
    """
    labels = held(mixtures, settings.hysteresis)
    starts = np.flatnonzero(np.diff(labels, prepend=-1)).tolist()
    runs = without_short(edges[[*starts, len(labels)]].tolist(), labels[starts].tolist(), settings.minimum_seconds)
    spent = np.concatenate([np.zeros((1, mixtures.shape[1])), np.cumsum(np.diff(edges)[:, None] * mixtures, axis=0)])
    found = []
    for (start, label), (end, _) in pairwise([*runs, (float(edges[-1]), -1)]):
        first, last = np.searchsorted(edges, (start, end))
        share = (spent[last, label] - spent[first, label]) / (end - start)
        found.append(Segment(start, end, classes[label], min(1.0, max(0.0, float(share)))))
    return found


def held(mixtures: Float64[np.ndarray, "keys classes"], hysteresis: float) -> Int64[np.ndarray, " keys"]:
    """Return each moment's class: the present one stays until another is ahead of it by more than `hysteresis`."""
    best = mixtures.argmax(axis=1)
    labels = np.empty(len(mixtures), np.int64)
    present = int(best[0])
    for key, (row, most) in enumerate(zip(mixtures.tolist(), best.tolist(), strict=True)):
        if row[most] - row[present] > hysteresis:
            present = most
        labels[key] = present
    return labels


def without_short(edges: list[float], labels: list[int], minimum: float) -> list[tuple[float, int]]:
    """Return start and label of each run that is left when the short ones are given to their longer neighbours."""
    runs = _Runs(edges, labels)
    heap = [(runs.length(run), run) for run in range(len(labels))]
    heapify(heap)
    while heap:
        length, run = heappop(heap)
        if length >= minimum:
            break
        if runs.gone[run] or length != runs.length(run):
            continue  # what was pushed before it grew
        sides = [side for side in (runs.before[run], runs.after[run]) if side >= 0]
        if not sides:
            break
        runs.labels[run] = runs.labels[max(sides, key=runs.length)]
        for side in sides:
            if runs.labels[side] == runs.labels[run]:
                runs.absorb(run, side)
        heappush(heap, (runs.length(run), run))
    return sorted((runs.starts[run], runs.labels[run]) for run in range(len(labels)) if not runs.gone[run])


class _Runs:
    """Runs that know their neighbours, so that thousands are merged in little time."""

    def __init__(self, edges: list[float], labels: list[int]) -> None:
        count = len(labels)
        self.starts, self.ends, self.labels = edges[:-1], edges[1:], list(labels)
        self.before, self.after = list(range(-1, count - 1)), [*range(1, count), -1]
        self.gone = [False] * count

    def length(self, run: int) -> float:
        """Return seconds; what is equal on paper is equal here."""
        return round(self.ends[run] - self.starts[run], 9)

    def absorb(self, run: int, neighbour: int) -> None:
        """Let a run take the place of one beside it."""
        self.gone[neighbour] = True
        if neighbour == self.before[run]:
            self.starts[run], self.before[run] = self.starts[neighbour], self.before[neighbour]
            if self.before[run] >= 0:
                self.after[self.before[run]] = run
        else:
            self.ends[run], self.after[run] = self.ends[neighbour], self.after[neighbour]
            if self.after[run] >= 0:
                self.before[self.after[run]] = run
