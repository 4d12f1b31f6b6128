"""An index without audio: shards of any number of hours, whose clips are as long as those of emotional speech."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, UInt16

FLAC_BYTES_PER_SECOND = 83.8e6 / 3600
"""Of FLAC at 16 kHz: 83.8 MB an hour, as measured on noisy synthetic speech; clean speech takes less."""
SHARD_BYTES = 192 << 20
"""The size of the shards that `valenza shards build` writes."""
FRAMES_PER_SECOND = 50
_SPREAD = 0.5
"""Standard deviation of the logarithm of a corpus's durations."""
_STEPS = 1 << 16

CORPORA = {
    "cmu_mosei": (23_258, 49.49), "crema_d": (7_442, 5.26), "emov_db": (6_893, 9.49), "iemocap": (9_866, 12.24),
    "jl_corpus": (2_227, 1.31), "msp_podcast": (104_096, 165.85), "msp_improv": (8_265, 9.37),
    "ravdess": (2_452, 2.79), "savee": (480, 0.51), "tess": (2_800, 1.60), "vesus": (14_868, 7.13),
    "esd": (34_827, 28.95), "asvp_esd": (13_618, 17.43), "ogvc": (8_851, 3.84), "studies": (5_689, 9.00),
    "unpublished": (63_723, 50.73),
}  # fmt: skip
"""Clips and hours of the sixteen training corpora of Osman et al. 2023, table 1: 375 h, 4.36 s a clip."""


class GeneratedIndex:
    """Shards of about `SHARD_BYTES` in which the sixteen corpora have the same shares of the hours as in the paper.

    The clips of a shard are drawn from its number whenever they are read, so that no more than a shard is ever held.
    """

    def __init__(self, hours: float, *, seed: int) -> None:
        """Generate `hours` of clips, at least one shard."""
        self._seed = seed
        self.names = sorted(CORPORA)
        self._tables = [_durations(3600 * hours_ / clips) for clips, hours_ in (CORPORA[n] for n in self.names)]
        means = np.array([table.mean() for table in self._tables]) / FRAMES_PER_SECOND
        each = SHARD_BYTES / FLAC_BYTES_PER_SECOND
        shards = max(1, math.ceil(3600 * hours / each))
        shares = np.cumsum([CORPORA[name][1] for name in self.names])
        places = (np.arange(shards) + 0.5) / shards * shares[-1]
        self._corpus: Int64[np.ndarray, " shards"] = np.searchsorted(shares, places)
        self.corpora: Sequence[str] = [self.names[number] for number in self._corpus]
        self.clips: Int64[np.ndarray, " shards"] = np.rint(3600 * hours / shards / means[self._corpus]).astype(np.int64)
        self.firsts: Int64[np.ndarray, " shards"] = np.cumsum(self.clips) - self.clips
        frames = [int(self._frames(shard).sum(dtype=np.int64)) for shard in range(shards)]
        self.seconds: Float64[np.ndarray, " shards"] = np.array(frames) / FRAMES_PER_SECOND

    def read(self, shard: int) -> tuple[Int64[np.ndarray, " clips"], Float64[np.ndarray, " clips"]]:
        """Return the numbers of a shard's clips and their seconds, in whole frames."""
        first = self.firsts[shard]
        return np.arange(first, first + self.clips[shard]), self._frames(shard) / FRAMES_PER_SECOND

    def _frames(self, shard: int) -> UInt16[np.ndarray, " clips"]:
        rng = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, shard, 0, 0]))
        drawn = rng.integers(0, _STEPS, size=int(self.clips[shard]), dtype=np.uint16)
        return np.asarray(self._tables[self._corpus[shard]][drawn], dtype=np.uint16)


def _durations(mean: float) -> UInt16[np.ndarray, " steps"]:
    """Return the quantiles of durations with this mean, in frames: log-normal, cut to .3 … 30 s."""
    from scipy.special import ndtri

    quantiles = ndtri((np.arange(_STEPS) + 0.5) / _STEPS)
    seconds = np.clip(mean * np.exp(_SPREAD * quantiles - _SPREAD**2 / 2), 0.3, 30.0)
    return np.asarray(np.ceil(seconds * FRAMES_PER_SECOND), dtype=np.uint16)
