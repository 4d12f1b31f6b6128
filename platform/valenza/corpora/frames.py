"""Soft labels of every 20 ms of a clip, in a NumPy file beside its audio."""

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

import numpy as np
from jaxtyping import Float32

from valenza.labels.taxonomy import EMOTIONS

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 320
"""A frame lasts 20 ms; the last one of a clip may be cut short by its end."""

COLUMNS: tuple[str, ...] = EMOTIONS
"""What the columns of frame labels stand for."""

_SUM_TOLERANCE = 1e-3


class FrameLabelsError(Exception):
    """What is wrong with a file of frame labels, in a few words that follow its name."""


def frame_count(samples: int) -> int:
    """Return how many frames so many samples at 16 kHz have; the last may be a part of one."""
    return -(-samples // FRAME_SAMPLES)


@contextmanager
def unreadable() -> Iterator[None]:
    """Turn all that NumPy says of a file that is not one of its own into a `FrameLabelsError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a header that needs repair is no header that we wrote
            yield
    except (OSError, ValueError, TypeError, ArithmeticError, MemoryError, SyntaxError, TokenError, Warning) as error:
        raise FrameLabelsError(f"cannot be read: {error}") from None


def read_frames(path: Path, counts: Collection[int]) -> Float32[np.ndarray, "frames classes"]:
    """Read the mixtures of a clip's frames, whose columns are `COLUMNS`; each row sums to 1.

    The file holds floats in the shape [frames, 8], finite, at least 0, of sums within 0.001 of 1. Raises
    `FrameLabelsError` for any other file, and where the frames are not one of `counts`.
    """
    with unreadable():
        # Mapped, so that a header which claims more than there is costs no memory; pickles are refused.
        stored = np.lib.format.open_memmap(path, mode="r")
    if stored.ndim != 2 or stored.shape[1] != len(COLUMNS) or stored.dtype.kind != "f":
        shape = " × ".join(map(str, stored.shape)) or "one number"
        raise FrameLabelsError(f"holds {stored.dtype} of {shape}; expected floats of frames × {len(COLUMNS)}")
    if len(stored) not in counts:
        wanted = " or ".join(map(str, sorted(set(counts))))
        raise FrameLabelsError(f"holds {len(stored)} frames of 20 ms where the audio has {wanted}")
    values = np.asarray(stored, dtype=np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        raise FrameLabelsError("holds shares that are negative or not finite numbers")
    sums = values.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > _SUM_TOLERANCE:
        raise FrameLabelsError(f"frame {worst} sums to {sums[worst]:.4g}, not 1")
    return np.asarray(values / sums[:, None], dtype=np.float32)
