"""The frame labels of a stored clip, as a NumPy file in its shard."""

import io

import numpy as np
from jaxtyping import Float, Float32

from valenza.corpora.frames import COLUMNS, FrameLabelsError, frame_count, unreadable

_ROUNDING = 0.01
"""Half floats are right to 1 part in 2,000, so eight of them that summed to 1 still nearly do."""


def encode(mixtures: Float[np.ndarray, "frames classes"]) -> bytes:
    """Return mixtures as a NumPy file of half floats, which is what `numpy.load` reads anywhere."""
    out = io.BytesIO()
    # Version 1.0 by name: the bytes must not change with NumPy's default.
    np.lib.format.write_array(out, np.ascontiguousarray(mixtures, dtype="<f2"), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def decode(data: bytes, samples: int) -> Float32[np.ndarray, "frames classes"]:
    """Return the mixtures of a stored file, each of which sums to 1 again; raises `FrameLabelsError`."""
    wanted = (frame_count(samples), len(COLUMNS))
    with unreadable():
        stored = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if stored.shape != wanted or stored.dtype != np.dtype("<f2"):
        raise FrameLabelsError(f"holds {stored.dtype} of {stored.shape}; expected float16 of {wanted}")
    values = stored.astype(np.float32)
    if not np.isfinite(values).all() or (values < 0).any():
        raise FrameLabelsError("holds shares that are negative or not finite numbers")
    total = values.sum(axis=1, keepdims=True)
    if (abs(total - 1) > _ROUNDING).any():
        raise FrameLabelsError("holds frames that do not sum to 1")
    return np.asarray(values / total)
