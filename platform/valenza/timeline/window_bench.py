"""`valenza bench windows`: how often timelines are right, by the windows and the look-ahead they are heard with."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from valenza.errors import DataError, UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.load import load
from valenza.inference.model import Model
from valenza.labels.sequences import FRAME_RATE
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.terminal import track
from valenza.timeline.pieces import Audio
from valenza.timeline.stream import Stream, Streaming
from valenza.timeline.windows import timeline_of

Labelled = tuple[Audio, Float32[np.ndarray, "_ classes"]]
Hears = Callable[[Audio], Float64[np.ndarray, "frames classes"]]


def measure_windows(
    place: str, shards: Path, corpora: Sequence[str], settings: Sequence[Streaming], minutes: float
) -> dict[str, Any]:
    """Hear recordings with frame labels in each of these settings; return how often frames are right, and the cost.

    A frame is right where the likeliest emotion is the labelled one. The first setting is what the others are
    compared with. So many minutes are heard of each corpus, evenly spread. Raises `UsageError` and `DataError`.
    """
    model = load(place)
    heard = {corpus: list(_recordings(shards, corpus, minutes)) for corpus in corpora}
    rows = []
    usual: dict[str, list[np.ndarray]] = {}
    for setting in settings:
        said, seconds = _said(model, heard, setting)
        usual = usual or said
        pairs = [pair for corpus in corpora for pair in zip(said[corpus], usual[corpus], strict=True)]
        rows.append(
            {
                "setting": named(setting),
                "right": {corpus: _right(said[corpus], heard[corpus]) for corpus in corpora},
                "same_as_the_first": _mean([one.argmax(1) == other.argmax(1) for one, other in pairs]),
                "mean_absolute_difference": _mean([np.abs(one - other) for one, other in pairs]),
                "seconds_per_second": seconds,
            }
        )
    lengths = {corpus: sum(len(audio) for audio, _ in each) / SAMPLE_RATE for corpus, each in heard.items()}
    return {"model": model.name, "seconds": lengths, "settings": rows}


def named(setting: Streaming) -> str:
    """Return a setting in words, in seconds."""
    window, step = setting.windows.window, setting.windows.step
    told = "as usual" if window is None else f"{window:g} s" + ("" if step is None else f", {step:g} s")
    return told if setting.look_ahead is None else f"{told}, {setting.look_ahead:g} s ahead"


def _recordings(shards: Path, corpus: str, minutes: float) -> Iterator[Labelled]:
    reader = Reader(shards, read_index(shards, [corpus]))
    rows = np.flatnonzero(reader.has_frames)
    if not len(rows):
        raise DataError(f"{shards / corpus}: has no frame labels")
    whole = sum(reader.samples(int(row)) for row in rows) / SAMPLE_RATE
    count = int(np.clip(np.ceil(60 * minutes / whole * len(rows)), 1, len(rows)))
    for row in rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(int))]:
        yield reader.audio(int(row)), reader.frames(int(row))


def _said(
    model: Model, heard: dict[str, list[Labelled]], setting: Streaming
) -> tuple[dict[str, list[np.ndarray]], float]:
    """Return the mixtures of every frame, and how many seconds a second of audio took."""
    hears = _as_stream(model, setting) if setting.look_ahead is not None else _as_file(model, setting)
    total = sum(len(each) for each in heard.values())
    began = time.perf_counter()
    every = iter(track((audio for each in heard.values() for audio, _ in each), named(setting), total))
    said = {corpus: [hears(next(every)) for _ in each] for corpus, each in heard.items()}
    took = time.perf_counter() - began
    return said, took / (sum(len(audio) for each in heard.values() for audio, _ in each) / SAMPLE_RATE)


def _as_file(model: Model, setting: Streaming) -> Hears:
    return lambda audio: timeline_of(model, audio, setting.windows).at(_middles(audio))


def _as_stream(model: Model, setting: Streaming) -> Hears:
    def hears(audio: Audio) -> Float64[np.ndarray, "frames classes"]:
        stream = Stream(model, setting)
        told = [*stream.feed(audio), *stream.close()]
        if len(told) != len(_middles(audio)):
            raise UsageError(f"{model.name} tells no single frames, so it cannot look less far ahead")
        return np.stack([moment.mixture for moment in told])

    return hears


def _middles(audio: Audio) -> Float64[np.ndarray, " frames"]:
    return (np.arange(-(-len(audio) * FRAME_RATE // SAMPLE_RATE)) + 0.5) / FRAME_RATE


def _right(said: Sequence[np.ndarray], heard: Sequence[Labelled]) -> float:
    return _mean(
        [mixtures.argmax(1)[: len(labels)] == labels.argmax(1)[: len(mixtures)]
         for mixtures, (_, labels) in zip(said, heard, strict=True)]
    )  # fmt: skip


def _mean(parts: Sequence[np.ndarray]) -> float:
    return float(np.concatenate([np.ravel(part) for part in parts]).mean())


def window_table(measured: dict[str, Any]) -> str:
    """Return the settings as a Markdown table."""
    corpora = list(measured["seconds"])
    names = [f"{corpus} ({seconds / 60:.1f} min)" for corpus, seconds in measured["seconds"].items()]
    head = ["window, step", *names, "same as the first", "difference", "seconds a second"]
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    for row in measured["settings"]:
        right = [f"{row['right'][corpus]:.3f}" for corpus in corpora]
        same = [f"{100 * row['same_as_the_first']:.1f} %", f"{row['mean_absolute_difference']:.3f}"]
        lines.append([row["setting"], *right, *same, f"{row['seconds_per_second']:.3f}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
