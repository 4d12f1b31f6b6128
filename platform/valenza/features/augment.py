"""How a training clip is changed: the same for a clip and a key in every run, so that nothing has to be remembered."""

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int16

from valenza.errors import DataError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.recipe import Augment, Change

LOUDEST = 32_440
"""−0.09 dBFS: what a change makes louder than this is turned down instead of clipping."""


@dataclass(frozen=True)
class Augmentation:
    """What a recipe changes in the clips of an index."""

    settings: Augment
    clips: Sequence[str]
    """Ids, by clip number."""
    seed: int

    def version(self, row: int, epoch: int) -> int:
        """Return which version of a clip an epoch hears, where their number is fixed."""
        return version(self.clips[row], seed=self.seed, epoch=epoch, versions=self.settings.versions or 1)

    def key(self, row: int, epoch: int) -> str | None:
        """Return what decides how an epoch hears a clip; None where it hears the clip itself."""
        if self.settings.fresh:
            return f"{self.seed} {epoch} {self.clips[row]} anew"
        return version_key(self.clips[row], self.version(row, epoch))

    def __call__(self, audio: Int16[np.ndarray, " samples"], row: int, epoch: int) -> Int16[np.ndarray, " heard"]:
        """Return a clip as an epoch hears it; never longer than it was."""
        key = self.key(row, epoch)
        return audio if key is None else change(audio, key, self.settings.waveform)


def version(clip: str, *, seed: int, epoch: int, versions: int) -> int:
    """Return which version of a clip an epoch hears, evenly among 0 (the clip itself) … `versions` − 1."""
    if versions == 1:
        return 0
    words = np.frombuffer(hashlib.sha256(f"{seed} {epoch} {clip}".encode()).digest()[:16], dtype=np.uint32)
    return int(np.random.Generator(np.random.Philox(np.random.SeedSequence(words.tolist()))).integers(versions))


def version_key(clip: str, number: int) -> str | None:
    """Return what decides how a version is changed, the same for any seed; None for version 0, the clip itself."""
    return f"{clip} version {number}" if number else None


def alter(audio: Int16[np.ndarray, " samples"], clip: str, number: int, settings: Augment) -> Int16[np.ndarray, " _"]:
    """Return version `number` of a clip; never longer than the clip."""
    key = version_key(clip, number)
    return audio if key is None else change(audio, key, settings.waveform)


def fingerprint(settings: Augment) -> str:
    """Return all that decides what a version sounds like: every setting, and the library that carries it out."""
    changes = {name: each.model_dump(mode="json") for name, each in settings.changes.items()}
    return json.dumps([changes, importlib.metadata.version("audiomentations")], sort_keys=True)


def change(audio: Int16[np.ndarray, " samples"], key: str, settings: Mapping[str, Change]) -> Int16[np.ndarray, " _"]:
    """Return a clip after those changes that its key draws, one after the other; never longer than it was.

    Each change draws by itself, from the key and its own name: adding or removing one leaves the others as they are.
    Samples that would pass −0.09 dBFS are turned down with their whole clip. Global generators are left as they were.
    Raises `DataError` where a change makes samples that are not finite: rounded, they would be any number.
    """
    return explained(audio, key, settings)[0]


def explained(
    audio: Int16[np.ndarray, " samples"], key: str, settings: Mapping[str, Change]
) -> tuple[Int16[np.ndarray, " _"], dict[str, dict[str, Any]]]:
    """Return what `change` returns, and what was drawn: for each change that happened, the library's parameters."""
    draws = {name: draw(f"{key} {name}", each.p) for name, each in settings.items()}
    seeds = {name: seed for name, seed in draws.items() if seed is not None}
    if not seeds or not len(audio):
        return audio, {}
    from valenza.features.waveform import seeded, transform  # brings SciPy, a second that most runs need not spend

    samples = audio.astype(np.float32) / np.float32(32768)
    drawn: dict[str, dict[str, Any]] = {}
    for name, seed in seeds.items():
        with seeded(seed):
            done = transform(settings[name])
            samples = done(np.ascontiguousarray(samples), SAMPLE_RATE)
        drawn[name] = dict(done.parameters)
    samples = samples * np.float32(32768)
    if not math.isfinite(float(np.abs(samples).max())):
        raise DataError(f"{key}: {', '.join(seeds)} made samples of it that are not finite")
    return _whole(samples, audio), drawn


def _whole(samples: Any, audio: Int16[np.ndarray, " samples"]) -> Int16[np.ndarray, " _"]:
    """Round to 16 bits, turned down if that is what it takes; a clip that was louder all along may stay so."""
    loudest = max(LOUDEST, int(np.abs(audio.astype(np.int32)).max()))
    peak = float(np.abs(samples).max())
    if peak > loudest:
        samples = samples * np.float32(loudest / peak)
    whole: Int16[np.ndarray, " _"] = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return whole


def draw(key: str, p: float) -> int | None:
    """Return the key's seed with probability `p`, else None."""
    digest = hashlib.sha256(key.encode()).digest()  # evenly spread itself, and twenty times as quick as a generator
    return int.from_bytes(digest[8:12]) if int.from_bytes(digest[:6]) < p * 2**48 else None
