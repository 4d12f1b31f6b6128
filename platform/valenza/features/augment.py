"""Versions of a training clip: the same for a clip and a number in every run, so that nothing has to be remembered."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16

from valenza.recipe import Augment

_LOUDEST = 32_440
"""−0.09 dBFS: a gain stops here instead of clipping."""


@dataclass(frozen=True)
class Augmentation:
    """What a recipe changes in the clips of an index."""

    settings: Augment
    clips: Sequence[str]
    """Ids, by clip number."""
    seed: int

    def version(self, row: int, epoch: int) -> int:
        """Return which version of a clip an epoch hears."""
        return version(self.clips[row], seed=self.seed, epoch=epoch, versions=self.settings.versions)

    def __call__(self, audio: Int16[np.ndarray, " samples"], row: int, epoch: int) -> Int16[np.ndarray, " samples"]:
        """Return a clip as an epoch hears it."""
        return alter(audio, self.clips[row], self.version(row, epoch), self.settings)


def version(clip: str, *, seed: int, epoch: int, versions: int) -> int:
    """Return which version of a clip an epoch hears, evenly among 0 (the clip itself) … `versions` − 1."""
    return int(_generator(f"{seed} {epoch} {clip}").integers(versions)) if versions > 1 else 0


def alter(
    audio: Int16[np.ndarray, " samples"], clip: str, number: int, settings: Augment
) -> Int16[np.ndarray, " samples"]:
    """Return version `number` of a clip; its length does not change."""
    if number == 0 or not len(audio):
        return audio
    generator = _generator(f"{clip} version {number}")
    gain = 10 ** (generator.uniform(-settings.gain_db, settings.gain_db) / 20)
    peak = max(int(np.abs(audio.astype(np.int32)).max()), 1)
    return np.rint(audio * min(gain, max(_LOUDEST / peak, 1.0))).astype(np.int16)


def _generator(key: str) -> np.random.Generator:
    """Return a counter-based generator for a name."""
    words = np.frombuffer(hashlib.sha256(key.encode()).digest()[:16], dtype=np.uint32)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words.tolist())))
