"""Decodes a clip once and keeps what could betray its label: length, level, silence, noise, bandwidth, prints."""

import hashlib
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32, Float64, UInt32

from valenza.corpora.listen import Job, in_time, prepare
from valenza.corpora.shortcuts.fingerprint import RATE, fingerprint
from valenza.errors import DataError
from valenza.terminal import track

ABRUPT_DECIBELS = 25.0
"""An end whose last 10 ms lie less than this below the clip's loud frames was cut while somebody spoke."""
EDGE = 512
"""Samples at 16 kHz (32 ms) that are kept of an abrupt end, to see which clip goes on from there."""

_FILES_PER_TASK = 24
_LONGEST_SECONDS = 600
"""A longer clip is judged by its first ten minutes."""
_FRAME_SECONDS = 0.01
_QUIET = 1e-6
"""−120 dB of full scale, below which nothing is told apart."""
_SPEECH_DECIBELS = 35.0
"""How far below the loud frames of a clip its speech ends; fainter beginnings and ends are silence."""
_BAND_DECIBELS = 70.0
"""How far below the strongest frequency of a clip's mean spectrum its band ends."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a clip without understanding a word; levels in dB of full scale, times in seconds."""

    duration: float
    level: float
    """Root mean square."""
    peak: float
    lead: float
    """Silence before the first sound; `trail` after the last."""
    trail: float
    floor: float
    """Level of the quietest twentieth of its 10 ms frames."""
    band: float
    """Hz: the highest frequency within 70 dB of the strongest, in the mean spectrum."""
    offset: float
    """Mean of the samples, in thousandths of full scale; less is not told apart, since any short sound has some."""
    flat: float
    """Pairs of neighbouring samples within 0.1 % of the clip's own peak, a second; clipping at any level has many."""
    format: str
    """Sample rate, channels and encoding."""
    head: float
    """dB by which the first 10 ms lie below the clip's loud frames; `tail` the last 10 ms."""
    tail: float
    digest: str
    """Hash of the decoded samples, their rate and channels."""
    opening: Float32[np.ndarray, " _"]
    """The first 32 ms at 16 kHz where the clip begins abruptly, else nothing; `closing` the last 32 ms."""
    closing: Float32[np.ndarray, " _"]
    prints: UInt32[np.ndarray, " frames"]
    """One fingerprint every 16 ms (`fingerprint`)."""


def measure_all(jobs: Sequence[Job], processes: int, label: str) -> list[Measured | None]:
    """Measure stretches of files in worker processes; None for those that cannot be decoded or hold no sound.

    Raises `DataError` when a decoder crashes or hangs, because a plain check of the corpus names the guilty file.
    """
    tasks = [jobs[i : i + _FILES_PER_TASK] for i in range(0, len(jobs), _FILES_PER_TASK)]
    answers: list[Measured | None] = []
    try:
        for part in track(_answers(tasks, processes), label, len(tasks)):
            answers += part
    except BrokenProcessPool:
        raise DataError(
            "a decoder crashed or hung; `valenza corpus check` without --shortcuts names the file"
        ) from None
    return answers


def _answers(tasks: Sequence[Sequence[Job]], processes: int) -> Iterator[list[Measured | None]]:
    if processes == 1 or len(tasks) <= 1:
        yield from map(_measure_task, tasks)
        return
    # spawned, not forked: a fork of a process with threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=context, initializer=prepare) as pool:
        yield from pool.map(_measure_apart, tasks)


def _measure_task(jobs: Sequence[Job]) -> list[Measured | None]:
    return [measure(job) for job in jobs]


def _measure_apart(jobs: Sequence[Job]) -> list[Measured | None]:
    return in_time(measure, jobs)


def measure(job: Job) -> Measured | None:
    """Decode a stretch and measure it; None where it cannot be decoded, is empty, silent or not finite."""
    try:
        with soundfile.SoundFile(job.path) as file:
            rate, form = file.samplerate, f"{file.samplerate} Hz, {file.channels} ch, {file.format} {file.subtype}"
            first = round((job.start or 0.0) * rate)
            last = min(file.frames, file.frames if job.end is None else round(job.end * rate))
            if first:
                file.seek(first)
            wanted = min(last - first, _LONGEST_SECONDS * rate)
            sound = file.read(max(0, wanted), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError):
        return None
    if len(sound) < rate // 20 or not np.isfinite(sound).all() or not sound.any():
        return None
    digest = hashlib.blake2b(f"{rate} {sound.shape[1]} {last - first}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(sound).tobytes())
    mono = sound[:, 0] if sound.shape[1] == 1 else sound.mean(axis=1, dtype=np.float32)
    return _describe(mono, rate, (last - first) / rate, form, digest.hexdigest())


def _describe(mono: Float32[np.ndarray, " samples"], rate: int, duration: float, form: str, digest: str) -> Measured:
    size = np.abs(mono)
    peak = float(size.max())
    top = size >= 0.999 * peak
    offset = float(np.round(1000 * np.mean(mono, dtype=np.float64)))
    # only an offset that is told apart: the mean of a short clip is no offset, and would fill its silence
    frames = frame_levels(mono - np.float32(offset / 1000), rate)
    loud = float(np.percentile(frames, 95))
    sounding = np.flatnonzero(frames > max(loud - _SPEECH_DECIBELS, 20 * np.log10(_QUIET)))
    narrow = mono if rate == RATE else soxr.resample(mono, rate, RATE, quality="HQ")
    nothing = np.zeros(0, np.float32)
    head, tail = loud - float(frames[0]), loud - float(frames[-1])
    return Measured(
        duration=duration,
        level=_decibels(float(np.sqrt(np.mean(mono.astype(np.float64) ** 2)))),
        peak=_decibels(peak),
        lead=float(sounding[0] * _FRAME_SECONDS) if len(sounding) else 0.0,
        trail=float((len(frames) - 1 - sounding[-1]) * _FRAME_SECONDS) if len(sounding) else 0.0,
        floor=float(np.percentile(frames, 5)),
        band=_band(mono, rate),
        offset=offset,
        flat=float(np.count_nonzero(top[1:] & top[:-1]) * rate / len(mono)),
        format=form,
        head=head,
        tail=tail,
        digest=digest,
        opening=narrow[:EDGE].copy() if head < ABRUPT_DECIBELS else nothing,
        closing=narrow[-EDGE:].copy() if tail < ABRUPT_DECIBELS else nothing,
        prints=fingerprint(narrow),
    )


def frame_levels(mono: Float32[np.ndarray, " samples"], rate: int) -> Float64[np.ndarray, " frames"]:
    """Return the level of each 10 ms in dB of full scale; the last frame is the clip's last 10 ms."""
    length = round(_FRAME_SECONDS * rate)
    count = max(1, len(mono) // length)
    power = np.square(mono[-count * length :].astype(np.float64)).reshape(count, -1).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, _QUIET**2)))


def _band(mono: Float32[np.ndarray, " samples"], rate: int) -> float:
    length = 512 * max(1, round(rate / 16_000))
    count = len(mono) // length
    if count == 0:
        return rate / 2
    blocks = mono[: count * length].reshape(count, length) * np.hanning(length).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(blocks, axis=1))).mean(axis=0)
    inside = np.flatnonzero(power > power.max() * 10 ** (-_BAND_DECIBELS / 10))
    return float(inside[-1] * rate / length)


def _decibels(value: float) -> float:
    return float(20 * np.log10(max(value, _QUIET)))
