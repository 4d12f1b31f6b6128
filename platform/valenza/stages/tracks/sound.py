"""Clips of one speaker made alike in level and joined without a gap, on whole frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16

from valenza.corpora.frames import FRAME_SAMPLES, SAMPLE_RATE

_ACTIVE_DB = -30.0
"""Frames this far below the loudest one count as pauses, whose share of a clip says nothing of how loud it is."""
_FADE_SAMPLES = 80
"""5 ms, which takes the click from a boundary and no sound from an event."""
_FULL = 0.98
_STEPS = 10_000
"""Gains are whole ten thousandths of a dB."""


@dataclass(frozen=True, slots=True)
class SoundSettings:
    """How clips become events."""

    silence_db: float = -40.0
    """What lies below this, against a clip's own peak, is silence where the clip begins or ends."""
    keep_seconds: float = 0.02
    """How much of that silence stays on each side."""
    level_db: float = -26.0
    """RMS of every event over its active frames, against full scale."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a clip that becomes an event: whole frames from any sample on."""

    first: int
    samples: int
    gain_db: float
    """Brings it to the level of all events; rounded, so that a record of it gives the same samples again."""

    @property
    def seconds(self) -> float:
        """How long the event is."""
        return self.samples / SAMPLE_RATE


def stretch(samples: Int16[np.ndarray, " samples"], sound: SoundSettings) -> Stretch | None:
    """Return what of a clip becomes an event: all between the silences, as whole frames; nothing of a silent clip.

    The end moves on to a whole frame, or the beginning back where the clip ends before it; of a clip whose length is
    no whole number of frames, less than one frame may be lost.
    """
    found = np.abs(samples.astype(np.float64))
    if not len(samples) or found.max() <= 0:
        return None
    loud = np.flatnonzero(found > found.max() * _factor(sound.silence_db))
    keep = round(sound.keep_seconds * SAMPLE_RATE)
    first, stop = max(0, int(loud[0]) - keep), min(len(samples), int(loud[-1]) + 1 + keep)
    length = min(-(-(stop - first) // FRAME_SAMPLES), len(samples) // FRAME_SAMPLES) * FRAME_SAMPLES
    if length == 0:
        return None
    first = min(first, len(samples) - length)
    level = active_level(_faded(samples[first : first + length]))
    return Stretch(first, length, round((sound.level_db - level) * _STEPS) / _STEPS) if math.isfinite(level) else None


def active_level(sound: Float64[np.ndarray, " samples"]) -> float:
    """Return the RMS in dB of full scale over the 20 ms frames of at most 30 dB below the loudest; -inf for silence."""
    power = np.square(sound[: len(sound) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)).mean(axis=1)
    if not len(power) or power.max() <= 0:
        return -math.inf
    active = power[power >= power.max() * _factor(_ACTIVE_DB) ** 2]
    return 10 * math.log10(float(active.mean()))


def event(samples: Int16[np.ndarray, " samples"], part: Stretch) -> Float64[np.ndarray, " event"]:
    """Return a clip's stretch at the level of all events, faded over 5 ms at either end."""
    return _faded(samples[part.first : part.first + part.samples]) * _factor(part.gain_db)


def headroom(events: Sequence[Float64[np.ndarray, " _"]]) -> float:
    """Return by how many dB a whole track has to be changed so that no sample is clipped: 0 or less."""
    peak = max(float(np.abs(sound).max()) for sound in events)
    if peak <= _FULL:
        return 0.0
    return math.floor(20 * math.log10(_FULL / peak) * _STEPS) / _STEPS


def join(events: Sequence[Float64[np.ndarray, " _"]], scale_db: float) -> Int16[np.ndarray, " samples"]:
    """Return events one after the other as 16-bit samples, all of them changed by `scale_db`."""
    return np.asarray(np.rint(np.concatenate(events) * (_factor(scale_db) * 32768.0)), dtype=np.int16)


def _faded(samples: Int16[np.ndarray, " event"]) -> Float64[np.ndarray, " event"]:
    faded = samples.astype(np.float64) / 32768.0
    ramp = (np.arange(_FADE_SAMPLES) + 0.5) / _FADE_SAMPLES
    faded[:_FADE_SAMPLES] *= ramp
    faded[-_FADE_SAMPLES:] *= ramp[::-1]
    return np.asarray(faded)


def _factor(decibels: float) -> float:
    return float(10 ** (decibels / 20))
