"""Reduces audio to one 32-bit number every 16 ms that survives codecs, levels and small shifts."""

import numpy as np
from jaxtyping import Float32, UInt32

RATE = 16_000
"""Hz; everything is resampled to it first."""
HOP = 256
"""Samples from one fingerprint to the next."""
NONE = np.uint32(0)
"""The fingerprint of frames that are too faint to tell anything."""

_WINDOW = 2048
_BITS = 16
_LAG, _APART = 8, 6
"""Frames over which a change in time is taken, and between the two changes that make one fingerprint."""
_LOWEST, _HIGHEST = 200.0, 3400.0
_FAINT = 1e-3
"""Frames 30 dB below the loud ones say more of the noise than of the sound."""
_BLOCK = 512
_EDGES = np.round(np.geomspace(_LOWEST, _HIGHEST, _BITS + 2) * _WINDOW / RATE).astype(int)


def fingerprint(samples: Float32[np.ndarray, " samples"]) -> UInt32[np.ndarray, " frames"]:
    """Return one number for each 16 ms of 16 kHz audio, and 0 where it is too faint; nothing under .2 s.

    A bit says whether the difference between two neighbouring bands grew or fell, as in Haitsma and Kalker 2002 (ISMIR,
    eq. 1). Theirs are 32 narrow bands of 12 ms steps in minutes of music; clips of a second need bits that are right
    more often, so these are 16 wide bands and changes over 128 ms, at two moments 96 ms apart.
    """
    if len(samples) < (_LAG + _APART) * HOP:
        return np.zeros(0, np.uint32)
    bands = _bands(samples)
    slope = np.diff(bands, axis=1)
    grew = (slope[_LAG:] - slope[:-_LAG] > 0).astype(np.uint32)
    codes = (grew << np.arange(_BITS, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
    prints = codes[:-_APART] | codes[_APART:] << np.uint32(_BITS)
    prints[prints == NONE] = 1
    power = bands.sum(axis=1)[: len(prints) + _LAG]
    prints[np.maximum(power[_LAG:], power[:-_LAG]) <= np.percentile(bands.sum(axis=1), 95) * _FAINT] = NONE
    return np.asarray(prints, dtype=np.uint32)


def _bands(samples: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, "frames bands"]:
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP]
    window = np.hanning(_WINDOW).astype(np.float32)
    parts = [
        np.add.reduceat(np.square(np.abs(np.fft.rfft(frames[i : i + _BLOCK] * window, axis=1))), _EDGES, axis=1)
        for i in range(0, len(frames), _BLOCK)
    ]
    return np.concatenate(parts)[:, :-1].astype(np.float32)
