"""`valenza bench stream`: what a live stream costs, how late it is, and whether it says what is said of files."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valenza.errors import UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.load import load
from valenza.inference.model import Model
from valenza.mixture.bench import peak_memory
from valenza.terminal import table, track
from valenza.timeline.files import find_audio
from valenza.timeline.pieces import Audio
from valenza.timeline.sound import blocks
from valenza.timeline.stream import Stream, Streaming
from valenza.timeline.windows import timeline_of

_CHUNK = SAMPLE_RATE // 10
_WARM = 60.0
"""Seconds of audio after which what is needed has been loaded."""
_PERCENTILES = (50, 90, 99, 100)


def measure_stream(place: str, audio: Sequence[Path], minutes: float, settings: Streaming) -> dict[str, Any]:
    """Play files one after another into a stream, a tenth of a second at a time, and return what was measured.

    Time is reckoned as if the audio came as fast as it was spoken: a chunk that arrives while another is still being
    heard waits. Latency is from a moment, and from the last sample that its window needed, to when it is told. The
    first minute is not counted.
    """
    model = load(place)
    seconds = _seconds(find_audio(audio), minutes)
    told, measured = _play(model, find_audio(audio), seconds, settings)
    found = _agreement(model, find_audio(audio), seconds, settings, told)
    return {"model": place, "audio_seconds": seconds, "look_ahead_seconds": measured.pop("ahead"), **measured, **found}


def _seconds(files: Sequence[Path], minutes: float) -> float:
    there = 0.0
    for file in files:
        for block in blocks(file):
            there += len(block) / SAMPLE_RATE
            if there >= 60 * minutes:
                return 60 * minutes
    if there < 2 * _WARM:
        raise UsageError(
            f"there are {there:.0f} s of audio; latency is measured after {_WARM:g} s, over as many or more"
        )
    return there


def _chunks(files: Sequence[Path], seconds: float) -> Iterator[Audio]:
    left = round(seconds * SAMPLE_RATE)
    held = np.zeros(0, np.int16)
    for file in files:
        for block in blocks(file):
            held = np.concatenate([held, block])
            while len(held) >= _CHUNK or 0 < left <= len(held):
                size = min(_CHUNK, left)
                if not size:
                    return
                yield held[:size]
                held, left = held[size:], left - size
    if len(held) and left:
        yield held[:left]


def _play(
    model: Model, files: Sequence[Path], seconds: float, settings: Streaming
) -> tuple[list[tuple[float, np.ndarray]], dict[str, Any]]:
    stream = Stream(model, settings)
    told: list[tuple[float, np.ndarray]] = []
    after_moment: list[float] = []
    after_audio: list[float] = []
    now = arrived = computing = 0.0
    begun = 0
    for chunk in track(_chunks(files, seconds), "streamed", -(-round(seconds * SAMPLE_RATE) // _CHUNK)):
        arrived += len(chunk) / SAMPLE_RATE
        start = time.perf_counter()
        moments = stream.feed(chunk)
        took = time.perf_counter() - start
        computing += took
        now = max(now, arrived) + took
        told += [(moment.time, moment.mixture.astype(np.float32)) for moment in moments]
        if arrived < _WARM:
            begun = peak_memory()
            continue
        after_moment += [now - moment.time for moment in moments]
        after_audio += [now - arrived] if moments else []
    told += [(moment.time, moment.mixture.astype(np.float32)) for moment in stream.close()]
    ended = peak_memory()
    return told, {
        "ahead": stream.latency,
        "moments": len(told),
        "memory_after_a_minute_bytes": begun,
        "memory_at_the_end_bytes": ended,
        "real_time_factor": computing / seconds,
        "latency_seconds": _percentiles(after_moment),
        "latency_after_its_audio_seconds": _percentiles(after_audio),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {
        "max" if each == 100 else f"p{each}": float(np.percentile(values, each)) if values else 0.0
        for each in _PERCENTILES
    }


def _agreement(
    model: Model,
    files: Sequence[Path],
    seconds: float,
    settings: Streaming,
    told: Sequence[tuple[float, np.ndarray]],
) -> dict[str, float]:
    """Return how often the likeliest emotion is that of the whole recording's timeline, and how far shares differ."""
    offline = timeline_of(model, _chunks(files, seconds), settings.windows)
    shares = offline.at(np.array([time for time, _ in told]))
    said = np.stack([mixture for _, mixture in told])
    return {
        "agreement": float((shares.argmax(axis=1) == said.argmax(axis=1)).mean()),
        "mean_absolute_difference": float(np.abs(shares - said).mean()),
    }


def show_stream(measured: dict[str, Any]) -> None:
    """Print what was measured as a table."""
    rows: list[tuple[str, str]] = [
        ("audio", f"{measured['audio_seconds'] / 60:.1f} min"),
        ("moments told", f"{measured['moments']:,}"),
        ("memory after a minute", f"{measured['memory_after_a_minute_bytes'] / 2**20:.1f} MiB"),
        ("memory at the end", f"{measured['memory_at_the_end_bytes'] / 2**20:.1f} MiB"),
        ("real-time factor", f"{measured['real_time_factor']:.3f}"),
        ("look-ahead", f"{measured['look_ahead_seconds']:g} s"),
    ]
    for key, what in (("latency_seconds", "from moment"), ("latency_after_its_audio_seconds", "from audio")):
        rows += [(f"{what} to answer, {name}", f"{value:.3f} s") for name, value in measured[key].items()]
    rows += [
        ("same emotion as offline", f"{measured['agreement']:.2%}"),
        ("mean absolute difference", f"{measured['mean_absolute_difference']:.6f}"),
    ]
    table(measured["model"], ("", ""), rows)
