"""What can happen to a clip's waveform: transforms of audiomentations, and the few that it lacks."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import soxr
from audiomentations import (
    AddGaussianSNR,
    Gain,
    PolarityInversion,
    Resample,
    Reverse,
    SevenBandParametricEQ,
)
from audiomentations import Shift as Displacement
from audiomentations.core.transforms_interface import BaseWaveformTransform
from jaxtyping import Float32

from valenza.features.spectrogram import SAMPLE_RATE
from valenza.recipe import Change
from valenza.recipe import augment as changes

_FAINTEST = 1e-3
"""−60 dB: returns of an echo that are softer are left out."""
_held = threading.Lock()

Samples = Float32[np.ndarray, " samples"]


def transform(change: Change) -> Any:
    """Return the transform of a change, which always applies: whether it happens is drawn before."""
    match change:
        case changes.Crop():
            return Crop(change.keep)
        case changes.Speed():
            slowest, fastest = change.ratio
            return Speed(round(SAMPLE_RATE / fastest), round(SAMPLE_RATE / slowest), p=1.0)
        case changes.Reversal():
            return Reverse(p=1.0)
        case changes.Equaliser():
            return SevenBandParametricEQ(-change.db, change.db, p=1.0)
        case changes.Echo():
            return Echo(change.seconds, change.level)
        case changes.Noise():
            return AddGaussianSNR(*change.snr_db, p=1.0)
        case changes.Polarity():
            return PolarityInversion(p=1.0)
        case changes.Gain():
            return Gain(-change.db, change.db, p=1.0)
        case changes.Shift() | changes.Roll():
            rolls = isinstance(change, changes.Roll)
            return Displacement(-change.share, change.share, rollover=rolls, fade_duration=0.0, p=1.0)
    raise ValueError(f"{change!r} is not done to waveforms")


class Crop(BaseWaveformTransform):  # type: ignore[misc]
    """Keeps a stretch of the samples: at least the share `keep` of them, at a random place."""

    def __init__(self, keep: float) -> None:
        super().__init__(p=1.0)
        self.keep = keep

    def randomize_parameters(self, samples: Samples, sample_rate: int) -> None:
        """Draw the length, and then the place."""
        super().randomize_parameters(samples, sample_rate)
        kept = max(1, round(random.uniform(self.keep, 1.0) * len(samples)))  # noqa: S311 - sound, no secret
        self.parameters |= {"kept": kept, "start": random.randint(0, len(samples) - kept)}  # noqa: S311

    def apply(self, samples: Samples, sample_rate: int) -> Float32[np.ndarray, " kept"]:
        """Return the stretch."""
        start = self.parameters["start"]
        return samples[start : start + self.parameters["kept"]]


class Speed(Resample):  # type: ignore[misc]
    """The library's `Resample` by soxr itself: librosa, through which it goes, compiles for seconds at its first use.

    The result has at most as many samples as the clip had: slower speech keeps its middle.
    """

    def apply(self, samples: Samples, sample_rate: int) -> Float32[np.ndarray, " heard"]:
        """Return the samples at the rate that was drawn, to be heard at their old one."""
        room = len(samples)
        changed = soxr.resample(samples, sample_rate, self.parameters["target_sample_rate"], quality="HQ")
        if not len(changed):  # fewer samples than the filter needs
            return samples
        cut = max(len(changed) - room, 0) // 2
        return np.asarray(changed[cut : cut + room], dtype=np.float32)


class Echo(BaseWaveformTransform):  # type: ignore[misc]
    """Adds what was heard a moment ago, softer, and what was heard then, softer still: y[n] = x[n] + a · y[n − d]."""

    def __init__(self, seconds: tuple[float, float], level: tuple[float, float]) -> None:
        super().__init__(p=1.0)
        self.seconds, self.level = seconds, level

    def randomize_parameters(self, samples: Samples, sample_rate: int) -> None:
        """Draw how long after, and how loud."""
        super().randomize_parameters(samples, sample_rate)
        delay = max(1, round(random.uniform(*self.seconds) * sample_rate))  # noqa: S311
        self.parameters |= {"delay": delay, "level": random.uniform(*self.level)}  # noqa: S311

    def apply(self, samples: Samples, sample_rate: int) -> Samples:
        """Return as many samples as before: the last returns are cut off with the clip."""
        delay, level = self.parameters["delay"], self.parameters["level"]
        changed, loudness, start = samples.copy(), level, delay
        while start < len(samples) and loudness > _FAINTEST:
            changed[start:] += loudness * samples[:-start]
            loudness, start = loudness * level, start + delay
        return changed


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give Python's and NumPy's global generators, from which the library draws, a seed; they get their state back.

    One thread at a time.
    """
    with _held:
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the library's generator
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
