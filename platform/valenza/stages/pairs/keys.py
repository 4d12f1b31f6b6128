"""Frames as few keys: what is stored of a sequence that was made frame by frame."""

import numpy as np
from jaxtyping import Float

from valenza.labels.sequences import Sequence, frame_times

TOLERANCE = 0.002
"""How far a stored share may be from the frame's at worst; the mean over frames and classes is far less."""
_DIGITS = 6


def few_keys(frames: Float[np.ndarray, "frames classes"], tolerance: float = TOLERANCE) -> Sequence:
    """Return a sequence with as few keys as keep every share of every frame within `tolerance`.

    Frames are split where a straight line is furthest from them, until none is further (Douglas & Peucker 1973).
    """
    values = frames.astype(np.float64)
    kept, open_ = {0, len(values) - 1}, [(0, len(values) - 1)]
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        along = np.linspace(0, 1, last - first + 1)[:, None]
        off = np.abs(values[first] + along * (values[last] - values[first]) - values[first : last + 1]).max(axis=1)
        if off.max() > tolerance:
            middle = first + int(off.argmax())
            kept.add(middle)
            open_ += [(first, middle), (middle, last)]
    rows = np.asarray(sorted(kept))
    return Sequence(frame_times(len(values))[rows], values[rows])


def plain_numbers(sequence: Sequence) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Return times and mixtures to a millionth, which is what is stored; each mixture still sums to 1."""
    shares = np.maximum(sequence.mixtures, 0)
    shares = (shares / shares.sum(axis=1, keepdims=True)).round(_DIGITS)
    rows = np.arange(len(shares)), shares.argmax(axis=1)
    shares[rows] = (shares[rows] + 1 - shares.sum(axis=1)).round(_DIGITS)
    return tuple(sequence.times.round(_DIGITS).tolist()), tuple(map(tuple, shares.tolist()))
