"""What an emotion does to a voice: a clip draws its delivery around a profile, and the profiles overlap."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from jaxtyping import Float32, Int16

from valenza.corpora.synth.voice import NATIVE_RATE, Manner
from valenza.labels.taxonomy import Emotion

_FIELDS = ("rate", "pitch", "range", "gap", "slope", "final", "tremor", "rough", "creak", "breath", "tilt", "level",
           "dynamics", "fade")  # fmt: skip
_SPREAD = (0.10, 1.2, 0.18, 0.6, 0.9, 0.9, 0.16, 0.12, 0.12, 0.16, 1.0, 1.5, 0.15, 2.0)
"""Standard deviation of each field within one emotion."""
_BEATS = ((5, 7), (60, 80), (22, 32))
"""Hz of tremor, roughness and creak."""
_STEP = 64
"""Samples between two values of a pitch curve."""
_BLOCK = 512
_FLOORED = {"gap", "tremor", "rough", "creak", "breath"}

PROFILES: dict[Emotion, tuple[float, ...]] = {
    #             rate  pitch  range  gap  slope final tremor rough creak breath tilt level dynamics fade
    "happiness": (0.14, 3.0,   0.50,  0.0, 0.5,  1.0,  0.0,   0.0,  0.0,  0.05,  1.0,  1.5,  0.45,    1.0),
    "sadness":  (-0.26, -1.5, -0.55,  2.0, -2.0, -1.0, 0.15,  0.0,  0.05, 0.45, -2.8, -5.0, -0.10,   -5.0),
    "disgust":  (-0.18, -1.5,  0.10,  1.0, -1.0, -2.0, 0.0,   0.1,  0.65, 0.05, -0.5, -0.5,  0.15,   -2.0),
    "fear":      (0.22, 3.0,  -0.25,  1.5, 0.5,  0.5,  0.75,  0.0,  0.0,  0.45,  0.3, -1.5, -0.05,    0.5),
    "surprise":  (0.0,  3.5,   0.75,  0.0, 3.0,  4.0,  0.0,   0.0,  0.0,  0.25,  0.8,  1.0,  0.20,    4.0),
    "anger":     (0.12, 0.8,   0.25,  0.0, -0.5, -1.0, 0.0,   0.6,  0.05, 0.0,   3.0,  4.0, -0.30,    0.5),
    "other":    (-0.08, 0.5,  -0.45,  2.5, 0.5,  1.0,  0.1,   0.05, 0.30, 0.25,  0.0, -1.0,  0.10,    2.0),
    "neutral":   (0.0,  0.0,   0.0,   0.3, 0.0,  0.0,  0.0,   0.0,  0.0,  0.05,  0.0,  0.0,  0.0,     0.0),
}  # fmt: skip


@dataclass(frozen=True)
class Delivery:
    """How one sentence is delivered; all zeros are a calm reading."""

    rate: float
    """Natural logarithm of the tempo."""
    pitch: float
    """Semitones."""
    range: float
    """Natural logarithm of the pitch range."""
    gap: float
    """Extra pause between words, in 10 ms."""
    slope: float
    """Semitones that the pitch rises over the clip."""
    final: float
    """Semitones that it rises in the last quarter besides."""
    tremor: float
    """Depth, 0 to 1, of a wavering of pitch and loudness 5 to 7 times a second."""
    rough: float
    """Depth, 0 to 1, of a fast beating, as in a shouting voice."""
    creak: float
    """Depth, 0 to 1, of a slow beating, as in a creaky voice."""
    breath: float
    """Noise relative to the voice."""
    tilt: float
    """dB an octave, from 500 Hz upwards."""
    level: float
    """dB."""
    dynamics: float
    """Exponent that widens the distance between loud and soft syllables, or narrows it below 0."""
    fade: float
    """dB that the loudness rises over the clip."""


@dataclass(frozen=True)
class Channel:
    """How one corpus was recorded."""

    rate: int
    """Hz."""
    level: int
    """Speech level in dB against full scale."""
    noise: int
    """Noise floor in the same unit."""
    tilt: float = 0.0
    """dB an octave."""
    low: int = 60
    """Hz, where the channel begins; and `high`, where it ends."""
    high: int = 10_000


def deliver(rng: np.random.Generator, shares: Mapping[Emotion, float], strength: float, habit: "Habit") -> Delivery:
    """Draw around the mean of the profiles by `shares`, times `strength`, and add what the speaker always does."""
    mean = sum((np.asarray(PROFILES[e]) * share for e, share in shares.items()), np.zeros(len(_FIELDS)))
    drawn = strength * mean + rng.standard_normal(len(_FIELDS)) * _SPREAD
    values = dict(zip(_FIELDS, drawn.tolist(), strict=True))
    values |= {field: max(values[field], 0.0) for field in _FLOORED}
    values["rate"] += habit.rate
    values["range"] += habit.range
    values["breath"] += habit.breath
    values["tilt"] += habit.tilt
    return Delivery(**values)


@dataclass(frozen=True)
class Habit:
    """What a speaker always does, whatever the emotion; the units are those of `Delivery`."""

    rate: float
    range: float
    breath: float
    tilt: float


def manner(delivery: Delivery) -> Manner:
    """Return the part of a delivery that espeak-ng renders itself."""
    return Manner(
        rate=int(np.clip(round(172 * np.exp(delivery.rate)), 90, 330)),
        pitch=int(np.clip(round(50 + delivery.pitch * 50 / 12), 0, 99)),
        range=int(np.clip(round(50 * np.exp(delivery.range)), 0, 99)),
        gap=round(delivery.gap),
    )


def shape(
    spoken: Int16[np.ndarray, " samples"], delivery: Delivery, channel: Channel, rng: np.random.Generator
) -> Int16[np.ndarray, " recorded"]:
    """Give espeak-ng's samples the rest of the delivery and record them; returns samples at the channel's rate.

    Everything that filters or resamples is one pass through a spectrum, so a clip takes a few milliseconds.
    """
    edge = np.flatnonzero(spoken)
    voice = _bend(spoken[edge[0] : edge[-1] + 1].astype(np.float32) / 32768, delivery, rng)
    time = np.arange(len(voice), dtype=np.float32) / NATIVE_RATE
    envelope = _envelope(voice)
    voice = voice * _gain(time, envelope, delivery, rng)
    # Differenced noise rises by 6 dB an octave, as breath does.
    voice[1:] += 0.35 * delivery.breath * envelope[1:] * np.diff(rng.standard_normal(len(voice), dtype=np.float32))
    before, after = (int(s * NATIVE_RATE) for s in rng.uniform(0.05, 0.2, 2))
    recorded = _record(np.pad(voice, (before, after)), delivery.tilt, channel)
    loud = np.abs(recorded) > 0.1 * np.abs(recorded).max()
    level = 10 ** ((channel.level + delivery.level) / 20)
    recorded = recorded * (level / np.sqrt(np.mean(np.square(recorded[loud]))))
    recorded = recorded + np.float32(10 ** (channel.noise / 20)) * rng.standard_normal(len(recorded), dtype=np.float32)
    peak = np.abs(recorded).max()
    return np.asarray(np.rint(recorded * (32767 * min(1.0, 0.98 / peak))), dtype=np.int16)


def _bend(
    voice: Float32[np.ndarray, " samples"], delivery: Delivery, rng: np.random.Generator
) -> Float32[np.ndarray, " samples"]:
    """Bend the pitch by reading faster and slower; the length stays."""
    share = np.linspace(0, 1, len(voice) // _STEP + 2)
    semitones = delivery.slope * (share - 0.5) + delivery.final * np.clip(4 * share - 3, 0, 1)
    waver = np.sin(2 * np.pi * (rng.uniform(5, 7) * share * len(voice) / NATIVE_RATE + rng.uniform()))
    speed = np.exp2(semitones / 12) * (1 + 0.03 * delivery.tremor * waver)
    read = np.cumsum(speed)
    read = (read - read[0]) * ((len(voice) - 1) / (read[-1] - read[0]))
    place = np.interp(np.linspace(0, 1, len(voice)), share, read)
    before = np.minimum(place.astype(np.int32), len(voice) - 2)
    between = (place - before).astype(np.float32)
    return np.asarray(voice[before] * (1 - between) + voice[before + 1] * between)


def _envelope(voice: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, " samples"]:
    """Return the loudness of 23 ms around each sample."""
    padded = np.pad(voice, (0, -len(voice) % _BLOCK)).reshape(-1, _BLOCK)
    loudness = np.sqrt(np.mean(np.square(padded), axis=1))
    middles = np.arange(len(loudness)) * _BLOCK + _BLOCK / 2
    return np.asarray(np.interp(np.arange(len(voice)), middles, loudness), dtype=np.float32)


def _gain(
    time: Float32[np.ndarray, " samples"],
    envelope: Float32[np.ndarray, " samples"],
    delivery: Delivery,
    rng: np.random.Generator,
) -> Float32[np.ndarray, " samples"]:
    gain = (envelope / envelope.mean() + np.float32(0.1)) ** np.float32(delivery.dynamics)
    gain *= np.float32(10) ** (np.float32(delivery.fade / 20) * (time / time[-1] - np.float32(0.5)))
    depths = (0.45 * delivery.tremor, 0.7 * delivery.rough, 0.9 * delivery.creak)
    for (low, high), depth in zip(_BEATS, depths, strict=True):
        hertz, phase = np.float32(rng.uniform(low, high)), np.float32(rng.uniform())
        if depth > 0:
            gain *= 1 + np.float32(min(depth, 1.0)) * np.sin(np.float32(2 * np.pi) * (hertz * time + phase))
    return np.asarray(gain, dtype=np.float32)


def _record(voice: Float32[np.ndarray, " samples"], tilt: float, channel: Channel) -> Float32[np.ndarray, " recorded"]:
    """Filter and resample through the spectrum."""
    # A multiple of 441 samples at 22.05 kHz is a whole number of samples at any rate that is a multiple of 50 Hz.
    units = scipy.fft.next_fast_len(-(-len(voice) // 441), real=True)
    recorded = channel.rate // 50 * units
    octaves, response = _response(units, channel)
    gain = response * np.exp2(np.float32(tilt * np.log2(10) / 20) * octaves)
    spectrum = scipy.fft.rfft(voice, 441 * units)[: len(gain)]
    return np.asarray(scipy.fft.irfft(spectrum * gain, recorded), dtype=np.float32)


@lru_cache(maxsize=128)
def _response(units: int, channel: Channel) -> tuple[Float32[np.ndarray, " bins"], Float32[np.ndarray, " bins"]]:
    """Return the octaves above 500 Hz of each bin of the spectrum, and how strongly the channel passes it."""
    hertz = scipy.fft.rfftfreq(441 * units, 1 / NATIVE_RATE)[: channel.rate // 100 * units + 1]
    octaves = np.log2(np.clip(hertz, 100, 8000) / 500)
    response = 10 ** (channel.tilt * octaves / 20)
    response /= np.sqrt(1 + (channel.low / np.maximum(hertz, 1.0)) ** 4)
    response /= np.sqrt(1 + (hertz / min(channel.high, 0.48 * channel.rate)) ** 16)
    response[0] = 0.0
    return octaves.astype(np.float32), response.astype(np.float32)
