"""The parts of the picture of a timeline, each as wide as its time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int16

from valenza.evaluation.dynamic.picture import COLOURS
from valenza.evaluation.page.charts import Number, text
from valenza.timeline.formats.options import legible, one_line
from valenza.timeline.segments import USUAL, Segment, Segmenting
from valenza.timeline.timeline import FRAME, Timeline

LEFT, RIGHT = 84, 1104
_ACROSS = RIGHT - LEFT
_SMALLEST = 3
"""Pixels that a segment takes up at least; in long recordings what is shorter than that goes to its neighbour."""
_LETTER = 7.0
"""Pixels of a letter on average, at the size of the labels."""
_SHOWN = 0.01
"""A class is in the legend if its share reaches this somewhere."""
_MORE = ("#882255", "#999933", "#44aa99", "#332288", "#aa4499", "#117733", "#88ccee", "#ddcc77")
"""For classes that are no emotions of the taxonomy."""
_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)


@dataclass(frozen=True)
class Drawn:
    """A timeline with its place in the picture."""

    timeline: Timeline
    segmenting: Segmenting = USUAL

    def x(self, seconds: Number) -> float:
        """Return the place of a time."""
        return LEFT + _ACROSS * seconds / self.timeline.duration

    @cached_property
    def curves(self) -> Timeline:
        """The timeline with no more moments than there is room for."""
        points = _ACROSS // 2
        few = len(self.timeline.times) <= points
        return self.timeline if few else self.timeline.resample(points / self.timeline.duration)

    @cached_property
    def minimum(self) -> float:
        """Seconds of the shortest segment."""
        return max(self.segmenting.minimum_seconds, _SMALLEST * self.timeline.duration / _ACROSS)

    @cached_property
    def segments(self) -> list[Segment]:
        """What the band shows."""
        return self.timeline.segments(Segmenting(self.segmenting.hysteresis, self.minimum))

    def colour(self, name: str) -> str:
        """Return the colour of a class."""
        others = [each for each in self.timeline.classes if each not in COLOURS]
        return COLOURS[name] if name in COLOURS else _MORE[others.index(name) % len(_MORE)]


def waveform(
    drawn: Drawn, audio: Int16[np.ndarray, " samples"], rate: int, top: Number, height: Number
) -> Iterator[str]:
    """Draw how loud it is; `rate` is samples a second."""
    middle = top + height / 2
    yield text(LEFT - 12, middle + 4, "audio", "end", "note")
    yield f'<path class="grid" d="M{LEFT} {middle:.1f}H{RIGHT}"/>'
    across = min(_ACROSS, _ACROSS * len(audio) / rate / drawn.timeline.duration)
    bins = max(1, min(int(across), len(audio)))
    edges = np.linspace(0, len(audio), bins + 1).astype(int)[:-1]
    scale = height / 2 / max(1.0, max(int(audio.max()), -int(audio.min())))
    low, high = np.minimum.reduceat(audio, edges) * scale, np.maximum.reduceat(audio, edges) * scale
    xs = LEFT + across * (np.arange(bins) + 0.5) / bins
    there = [f"{x:.1f} {middle - y:.1f}" for x, y in zip(xs, np.maximum(high, 0.4), strict=True)]
    back = [f"{x:.1f} {middle - y:.1f}" for x, y in zip(xs[::-1], np.minimum(low, -0.4)[::-1], strict=True)]
    yield f'<path class="wave" d="M{"L".join([*there, *back])}Z"/>'


def bands(drawn: Drawn, top: Number, height: Number) -> Iterator[str]:
    """Draw the emotion of each stretch."""
    yield text(LEFT - 12, top + height / 2 + 4, "emotion", "end", "note")
    for segment in drawn.segments:
        x, width = drawn.x(segment.start), drawn.x(segment.end) - drawn.x(segment.start)
        gap = 1.0 if width > 4 else 0.0
        box = f'x="{x:.2f}" y="{top}" width="{width - gap:.2f}" height="{height}"'
        yield f'<rect {box} rx="{2 * gap:g}" fill="{drawn.colour(segment.label)}"/>'
        said = one_line(segment.label)
        if width > _LETTER * len(said) + 8:
            yield text(x + width / 2, top + height / 2 + 4.5, said, "middle", _ink(drawn.colour(segment.label)))


def _ink(fill: str) -> str:
    """Return the class of text that reads on a colour."""
    red, green, blue = (int(fill[place : place + 2], 16) for place in (1, 3, 5))
    return "light" if 0.299 * red + 0.587 * green + 0.114 * blue < 110 else "name"


def areas(drawn: Drawn, top: Number, height: Number) -> Iterator[str]:
    """Draw shares, one upon the other."""
    curves = drawn.curves
    times = np.concatenate([[0.0], curves.times, [curves.duration]])
    shares = np.concatenate([curves.mixtures[:1], curves.mixtures, curves.mixtures[-1:]])
    edges = np.concatenate([np.zeros((len(shares), 1)), np.cumsum(shares, axis=1)], axis=1).clip(0, 1)
    xs = [drawn.x(time) for time in times.tolist()]
    for column, name in enumerate(curves.classes):
        low, high = (top + height * (1 - edges[:, column + side]) for side in (0, 1))
        if np.abs(low - high).max() < 0.25:
            continue
        there = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, high, strict=True)]
        back = [f"{x:.1f} {y:.1f}" for x, y in zip(xs[::-1], low[::-1], strict=True)]
        yield f'<path fill="{drawn.colour(name)}" d="M{"L".join([*there, *back])}Z"/>'
    for percent in (0, 25, 50, 75, 100):
        y = top + height * (1 - percent / 100)
        if 0 < percent < 100:
            yield f'<path class="over" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield text(LEFT - 12, y + 4, f"{percent} %", "end", "note")


def concentration(drawn: Drawn, sure: Float64[np.ndarray, " keys"], top: Number, height: Number) -> Iterator[str]:
    """Draw how sure the model is, on a logarithmic scale."""
    curves = drawn.curves
    values = sure if curves.concentration is None else curves.concentration
    levels = np.log10(np.maximum(values, 1e-3))
    low, high = float(np.floor(levels.min())), float(np.ceil(levels.max()))
    high = max(high, low + 1)
    for power in range(int(low), int(high) + 1):
        y = top + height * (high - power) / (high - low)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        if power in (low, high):
            yield text(LEFT - 12, y + 4, f"{10.0**power:g}", "end", "note")
    yield text(LEFT - 12, top + height / 2 + 4, "Σ α", "end", "note")
    ys = top + height * (high - levels) / (high - low)
    points = [f"{drawn.x(time):.1f} {y:.1f}" for time, y in zip(curves.times.tolist(), ys.tolist(), strict=True)]
    ends = [f"{LEFT} {ys[0]:.1f}", *points, f"{RIGHT} {ys[-1]:.1f}"]
    yield f'<path class="sure" d="M{"L".join(ends)}"/>'


def axis(drawn: Drawn, top: Number) -> Iterator[str]:
    """Draw the times."""
    duration = drawn.timeline.duration
    step = next((step for step in _STEPS if duration / step <= 12), _STEPS[-1] * np.ceil(duration / _STEPS[-1] / 12))
    yield f'<path class="grid" d="M{LEFT} {top:.1f}H{RIGHT}"/>'
    for number in range(int(duration / step + 1e-9) + 1):
        x = drawn.x(number * step)
        yield f'<path class="grid" d="M{x:.1f} {top:.1f}v5"/>'
        side = "end" if x > RIGHT - 16 else "middle"
        yield text(x, top + 19, clock(number * step, step, duration), side, "note")


def clock(seconds: Number, step: Number, duration: Number | None = None) -> str:
    """Return a time as it is read: 1.5 s, and from a minute on 1:30 or 1:01:30."""
    longest = seconds if duration is None else duration
    if longest < 60:
        return f"{seconds:.{2 if step < 0.1 else int(step < 1)}f} s"
    whole = round(seconds)
    hours = f"{whole // 3600}:" if longest >= 3600 else ""
    minutes = f"{whole // 60 % 60:02d}" if hours else f"{whole // 60}"
    return f"{hours}{minutes}:{whole % 60:02d}"


def legend(drawn: Drawn, top: Number) -> tuple[list[str], float]:
    """Return the colours of the classes that are there, in rows, and how high that is."""
    parts: list[str] = []
    x, y = float(LEFT), float(top)
    most = drawn.timeline.mixtures.max(axis=0)
    for name, share in zip(drawn.timeline.classes, most.tolist(), strict=True):
        said = one_line(legible(name))
        width = 22 + _LETTER * len(said) + 22
        if share < _SHOWN:
            continue
        if x + width > RIGHT and x > LEFT:
            x, y = float(LEFT), y + 20
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="14" height="12" rx="2" fill="{drawn.colour(name)}"/>')
        parts.append(text(x + 20, y + 11, said, "start", "note"))
        x += width
    if drawn.minimum > max(drawn.segmenting.minimum_seconds, FRAME):
        note = f"Emotions of less than {drawn.minimum:.{1 if drawn.minimum >= 1 else 2}f} s are left out of the band."
        y += 0 if x + _LETTER * len(note) < RIGHT else 20
        parts.append(text(RIGHT, y + 11, note, "end", "note"))
    return parts, y - top + 26
