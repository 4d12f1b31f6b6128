"""Where an emotion changes, and how many of the changes were found in time."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from valenza.labels.sequences import FRAME_RATE

SHORTEST = 0.25
"""Seconds; what a system says for less is taken as jitter when boundaries are looked for."""


def without_short(labels: Int[np.ndarray, " frames"], shortest: float = SHORTEST) -> Int[np.ndarray, " frames"]:
    """Return the labels with every segment under `shortest` seconds given to its longer neighbour, shortest first.

    A class has no place in an order, so a median filter has nothing to take the middle of; this leaves the other
    boundaries where they are. The earlier of two equally short segments goes first, and to the earlier of two equally
    long neighbours. 0 keeps every segment, and a track of less than `shortest` is one segment.
    """
    starts = [0, *changes(labels).tolist()]
    said = labels[starts].tolist() if len(labels) else []
    lengths = np.diff([*starts, len(labels)]).tolist()
    least = shortest * FRAME_RATE
    while len(lengths) > 1 and min(lengths) < least:
        i = lengths.index(min(lengths))
        before = lengths[i - 1] if i else -1
        after = lengths[i + 1] if i + 1 < len(lengths) else -1
        said[i] = said[i - 1] if before >= after else said[i + 1]
        for j in (i + 1, i):  # the later first, so that the earlier keeps its place
            if 0 < j < len(said) and said[j] == said[j - 1]:
                lengths[j - 1] += lengths.pop(j)
                said.pop(j)
    return np.repeat(np.asarray(said, dtype=labels.dtype), lengths)


def changes(labels: Int[np.ndarray, " frames"]) -> Int[np.ndarray, " boundaries"]:
    """Return the frames at which a label other than the one before begins; boundary i lies at i / 50 s."""
    return np.flatnonzero(labels[1:] != labels[:-1]) + 1


def hits(true: Sequence[int] | np.ndarray, found: Sequence[int] | np.ndarray, tolerance: float) -> int:
    """Return how many boundaries can be paired one to one, none further than `tolerance` seconds from its partner.

    Both are frames in rising order. Pairing the earliest that can be paired is as good as the best assignment: on a
    line with one tolerance for all, exchanging two crossed partners never breaks a pair.
    """
    reach = tolerance * FRAME_RATE + 1e-9
    i = j = paired = 0
    while i < len(true) and j < len(found):
        if abs(true[i] - found[j]) <= reach:
            i, j, paired = i + 1, j + 1, paired + 1
        elif found[j] < true[i]:
            j += 1
        else:
            i += 1
    return paired
