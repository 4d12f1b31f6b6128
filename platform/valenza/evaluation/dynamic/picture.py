"""A track as a picture: its loudness, what is true of it, and what each system says of it, over time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from valenza.evaluation.dynamic.boundaries import changes
from valenza.evaluation.dynamic.metrics import scaled
from valenza.evaluation.page.charts import Number, nice_ticks, svg, text
from valenza.labels.sequences import FRAME_RATE, Sequence
from valenza.labels.taxonomy import EMOTIONS

COLOURS = {
    "happiness": "#e69f00",
    "sadness": "#0072b2",
    "disgust": "#009e73",
    "fear": "#cc79a7",
    "surprise": "#f0e442",
    "anger": "#d55e00",
    "other": "#56b4e9",
    "neutral": "#a9adb3",
}
"""Okabe & Ito's eight, which stay apart for colour-blind people; neutral is the grey. Black print reads on all."""
_INK_ON_DARK = ("sadness",)
_WIDTH, _LEFT, _RIGHT = 920, 196, 908
_BINS = 356
"""Points of a curve at most: one for every two pixels."""


@dataclass(frozen=True)
class Shown:
    """A track to be drawn, with the mixtures of systems by name, in the order they are drawn in."""

    name: str
    note: str
    loudness: Float[np.ndarray, " bins"]
    """0…1, over the whole track."""
    truth: Float[np.ndarray, "frames classes"]
    """At 50 Hz, over the emotions of the taxonomy."""
    systems: Mapping[str, Float[np.ndarray, "frames classes"]]
    columns: tuple[int, ...]
    """The emotions that the test corpus knows."""
    audio: bytes = b""
    """A FLAC file to be listened to; none where empty."""

    @property
    def seconds(self) -> float:
        """How long the track is."""
        return len(self.truth) / FRAME_RATE

    def error(self, system: str) -> float:
        """Return a system's mean absolute error on this track, over the classes that the corpus knows."""
        said, true = scaled(self.systems[system], self.columns), scaled(self.truth, self.columns)
        return float(np.abs(said - true).mean())


def loudness(samples: Float[np.ndarray, " samples"], bins: int = _BINS) -> Float[np.ndarray, " bins"]:
    """Return the peak of each stretch of a recording, from 0 to 1 for the loudest."""
    edges = np.linspace(0, len(samples), bins + 1).astype(int)[:-1]
    peaks = np.maximum.reduceat(np.abs(samples), np.minimum(edges, len(samples) - 1))
    return np.asarray(peaks / max(float(peaks.max()), 1e-9))


def picture(track: Shown) -> str:
    """Draw a track as SVG text: loudness, true segments and each system's mixture as areas that add up to 1."""
    parts: list[str] = []
    top = 4.0
    parts += _wave(track, top, 46)
    top += 52
    parts += _bands(track, top, 26)
    top += 34
    begin = top
    for name in track.systems:
        parts += _areas(track, name, top, 58)
        top += 68
    parts += _boundaries(track, begin - 8, top - 10)
    parts += _axis(track, top - 6)
    return svg(_WIDTH, top + 28, parts, _spoken(track))


def swatch(emotion: str) -> str:
    """Draw the colour of an emotion for a legend."""
    fill = COLOURS[emotion]
    return f'<svg width="14" height="12" aria-hidden="true"><rect width="14" height="12" rx="2" fill="{fill}"/></svg>'


def segments(labels: Int[np.ndarray, " frames"]) -> Iterator[tuple[float, float, str]]:
    """Yield the start and end, in seconds, and the emotion of each run of one class."""
    edges = [0, *changes(labels).tolist(), len(labels)]
    for start, end in pairwise(edges):
        yield start / FRAME_RATE, end / FRAME_RATE, EMOTIONS[labels[start]]


def _x(track: Shown, seconds: Number) -> float:
    return _LEFT + (_RIGHT - _LEFT) * seconds / track.seconds


def _wave(track: Shown, top: Number, height: Number) -> Iterator[str]:
    middle, count = top + height / 2, len(track.loudness)
    xs = np.linspace(_LEFT, _RIGHT, count)
    above = [f"{x:.1f} {middle - height / 2 * v:.1f}" for x, v in zip(xs, track.loudness, strict=True)]
    below = [f"{x:.1f} {middle + height / 2 * v:.1f}" for x, v in zip(xs, track.loudness, strict=True)]
    yield text(_LEFT - 12, middle + 4, "loudness", "end", "note")
    yield f'<path class="seen" d="M{"L".join([*above, *below[::-1]])}Z"/>'


def _bands(track: Shown, top: Number, height: Number) -> Iterator[str]:
    yield text(_LEFT - 12, top + height / 2 + 5, "truth", "end", "name")
    labels = np.asarray(track.columns)[scaled(track.truth, track.columns).argmax(axis=1)]
    for start, end, emotion in segments(labels):
        x, width = _x(track, start), _x(track, end) - _x(track, start)
        box = f'x="{x:.1f}" y="{top}" width="{max(width - 1, 0.5):.1f}" height="{height}"'
        yield f'<rect {box} rx="2" fill="{COLOURS[emotion]}"/>'
        if width > 7.2 * len(emotion) + 6:
            ink = "#ffffff" if emotion in _INK_ON_DARK else "#14171c"
            # As a style and not an attribute: the page's own colour of text would win over an attribute.
            said = f'x="{x + width / 2:.1f}" y="{top + height / 2 + 4.5}" text-anchor="middle" style="fill:{ink}"'
            yield f"<text {said}>{emotion}</text>"


def _areas(track: Shown, name: str, top: Number, height: Number) -> Iterator[str]:
    mixtures = scaled(track.systems[name], track.columns)
    error = track.error(name)
    yield text(_LEFT - 12, top + height / 2, name, "end", "name")
    yield text(_LEFT - 12, top + height / 2 + 16, f"MAE {error:.3f}", "end", "note")
    times = np.linspace(0, track.seconds, min(len(mixtures) + 1, _BINS))
    xs = [_x(track, time) for time in times.tolist()]
    drawn = Sequence.of_frames(mixtures).at(times)
    edges = np.concatenate([np.zeros((len(drawn), 1)), np.cumsum(drawn, axis=1)], axis=1)
    for number, column in enumerate(track.columns):
        low, high = (top + height * (1 - edges[:, number + side]) for side in (0, 1))
        if np.abs(low - high).max() < 0.25:
            continue
        there = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, high, strict=True)]
        back = [f"{x:.1f} {y:.1f}" for x, y in zip(xs[::-1], low[::-1], strict=True)]
        yield f'<path fill="{COLOURS[EMOTIONS[column]]}" d="M{"L".join([*there, *back])}Z"/>'


def _boundaries(track: Shown, top: Number, bottom: Number) -> Iterator[str]:
    labels = scaled(track.truth, track.columns).argmax(axis=1)
    for frame in changes(labels).tolist():
        path = f"M{_x(track, frame / FRAME_RATE):.1f} {top:.1f}V{bottom:.1f}"
        yield f'<path class="halo" d="{path}"/><path class="whisker" stroke-dasharray="3 3" d="{path}"/>'


def _axis(track: Shown, top: Number) -> Iterator[str]:
    yield f'<path class="grid" d="M{_LEFT} {top:.1f}H{_RIGHT}"/>'
    for tick in nice_ticks(0.0, track.seconds):
        if tick <= track.seconds:
            x = _x(track, tick)
            yield f'<path class="grid" d="M{x:.1f} {top:.1f}v5"/>'
            yield text(x, top + 19, f"{tick:g} s", "middle" if x < _RIGHT - 12 else "end", "note")


def _spoken(track: Shown) -> str:
    """Say the picture in words."""
    labels = np.asarray(track.columns)[scaled(track.truth, track.columns).argmax(axis=1)]
    true = ", ".join(f"{emotion} {start:.1f} to {end:.1f} s" for start, end, emotion in segments(labels))
    said = "; ".join(f"{name}: mean absolute error {track.error(name):.3f}" for name in track.systems)
    return f"{track.name}. Truth: {true}. {said}."
