"""A timeline as a picture: the waveform, the emotion of each stretch, shares as areas, and how sure the model is."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unicodedata import east_asian_width

import numpy as np
from jaxtyping import Float64, Int16

from valenza.errors import UsageError
from valenza.evaluation.dynamic.picture import COLOURS
from valenza.evaluation.page.charts import Number, svg, text
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.files import write_whole
from valenza.timeline.formats.options import legible, one_line
from valenza.timeline.segments import USUAL, Segment, Segmenting
from valenza.timeline.timeline import Timeline

_WIDTH, _LEFT, _RIGHT = 1120, 84, 1104
_ACROSS = _RIGHT - _LEFT
_SMALLEST = 3
"""Pixels that a segment takes up at least; in long recordings what is shorter than that goes to its neighbour."""
_LETTER = 7.0
"""Pixels of a letter on average, at the size of the labels."""
_TITLE = 104
"""Letters of a name at most; Chinese, Japanese and Korean ones are two wide."""
_SHOWN = 0.01
"""A class is in the legend if its share reaches this somewhere."""
_MORE = ("#882255", "#999933", "#44aa99", "#332288", "#aa4499", "#117733", "#88ccee", "#ddcc77")
"""For classes that are no emotions of the taxonomy."""
_STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)
_STYLE = """
svg{background:#fff}
text{font:13px "Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;fill:#1d2129}
text.title{font-size:15px;font-weight:600} text.note{fill:#5d6470;font-size:12px}
text.light{fill:#fff}
.grid{stroke:#d4d6d2;fill:none} .over{stroke:#fff;stroke-opacity:.55;fill:none}
.wave{fill:#4d5a6b} .still{stroke:#4d5a6b;stroke-width:1;fill:none}
.sure{stroke:#1d2129;stroke-width:1.3;fill:none;stroke-linejoin:round}
"""


def write_picture(
    timeline: Timeline, path: Path, audio: Int16[np.ndarray, " samples"] | None = None, rate: int = SAMPLE_RATE
) -> None:
    """Write the picture as .svg or .png; raises `UsageError` for another ending, and `WriteError`.

    A .png needs the package resvg-py, of the extra `plot`.
    """
    match path.suffix.lower():
        case ".svg":
            write_whole(picture(timeline, audio, rate), path)
        case ".png":
            write_whole(_png(picture(timeline, audio, rate)), path)
        case _:
            raise UsageError(f"{path}: a picture is an .svg or a .png file")


def picture(timeline: Timeline, audio: Int16[np.ndarray, " samples"] | None = None, rate: int = SAMPLE_RATE) -> str:
    """Return an SVG document, of audio at so many samples a second over the same time.

    Emotions are those of `Timeline.segments`, and shares are means of what falls on two pixels. A line shows the
    concentration, where there is one, on a logarithmic scale.
    """
    drawn = _Drawn(timeline)
    parts: list[str] = [f"<style>{_STYLE}</style>", f'<rect width="{_WIDTH}" height="100%" fill="#fff"/>']
    parts += _title(timeline)
    top = 40.0
    if audio is not None and len(audio):
        parts += _waveform(drawn, audio, rate, top, 72)
        top += 80
    parts += _bands(drawn, top, 26)
    top += 34
    parts += _areas(drawn, top, 190)
    top += 190
    if timeline.concentration is not None:
        parts += _concentration(drawn, timeline.concentration, top + 20, 56)
        top += 76
    parts += _axis(drawn, top)
    top += 38
    legend, height = _legend(drawn, top)
    whole = svg(_WIDTH, top + height, [*parts, *legend], _spoken(drawn))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" height="{top + height:.0f}" '
    return whole.replace("<svg ", head, 1) + "\n"


def _png(document: str) -> bytes:
    try:
        import resvg_py
    except ImportError:
        raise UsageError("a .png needs resvg-py, as in `pip install valenza[plot]`; an .svg needs nothing") from None
    return bytes(resvg_py.svg_to_bytes(svg_string=document, zoom=2))


@dataclass(frozen=True)
class _Drawn:
    timeline: Timeline

    def x(self, seconds: Number) -> float:
        """Return the place of a time."""
        return _LEFT + _ACROSS * seconds / self.timeline.duration

    @cached_property
    def curves(self) -> Timeline:
        """The timeline with no more moments than there is room for."""
        points = _ACROSS // 2
        few = len(self.timeline.times) <= points
        return self.timeline if few else self.timeline.resample(points / self.timeline.duration)

    @cached_property
    def minimum(self) -> float:
        """Seconds of the shortest segment."""
        return max(USUAL.minimum_seconds, _SMALLEST * self.timeline.duration / _ACROSS)

    @cached_property
    def segments(self) -> list[Segment]:
        """What the band shows."""
        return self.timeline.segments(Segmenting(USUAL.hysteresis, self.minimum))

    def colour(self, name: str) -> str:
        """Return the colour of a class."""
        others = [each for each in self.timeline.classes if each not in COLOURS]
        return COLOURS[name] if name in COLOURS else _MORE[others.index(name) % len(_MORE)]


def _title(timeline: Timeline) -> Iterator[str]:
    name = one_line(timeline.name)
    widths = np.cumsum([2 if east_asian_width(letter) in "WF" else 1 for letter in reversed(name)])
    fits = int(np.searchsorted(widths, _TITLE, side="right"))
    yield text(16, 24, name if fits == len(name) else f"…{name[-fits:]}", "start", "title")
    yield text(_RIGHT, 24, _clock(timeline.duration, 0.01), "end", "note")


def _waveform(
    drawn: _Drawn, audio: Int16[np.ndarray, " samples"], rate: int, top: Number, height: Number
) -> Iterator[str]:
    middle = top + height / 2
    yield text(_LEFT - 12, middle + 4, "audio", "end", "note")
    yield f'<path class="grid" d="M{_LEFT} {middle:.1f}H{_RIGHT}"/>'
    across = min(_ACROSS, _ACROSS * len(audio) / rate / drawn.timeline.duration)
    bins = max(1, min(int(across), len(audio)))
    edges = np.linspace(0, len(audio), bins + 1).astype(int)[:-1]
    scale = height / 2 / max(1.0, float(np.abs(audio.astype(np.float64)).max()))
    low, high = np.minimum.reduceat(audio, edges) * scale, np.maximum.reduceat(audio, edges) * scale
    xs = _LEFT + across * (np.arange(bins) + 0.5) / bins
    there = [f"{x:.1f} {middle - y:.1f}" for x, y in zip(xs, np.maximum(high, 0.4), strict=True)]
    back = [f"{x:.1f} {middle - y:.1f}" for x, y in zip(xs[::-1], np.minimum(low, -0.4)[::-1], strict=True)]
    yield f'<path class="wave" d="M{"L".join([*there, *back])}Z"/>'


def _bands(drawn: _Drawn, top: Number, height: Number) -> Iterator[str]:
    yield text(_LEFT - 12, top + height / 2 + 4, "emotion", "end", "note")
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


def _areas(drawn: _Drawn, top: Number, height: Number) -> Iterator[str]:
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
            yield f'<path class="over" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>'
        yield text(_LEFT - 12, y + 4, f"{percent} %", "end", "note")


def _concentration(
    drawn: _Drawn, concentration: Float64[np.ndarray, " keys"], top: Number, height: Number
) -> Iterator[str]:
    curves = drawn.curves
    values = concentration if curves.concentration is None else curves.concentration
    levels = np.log10(np.maximum(values, 1e-3))
    low, high = float(np.floor(levels.min())), float(np.ceil(levels.max()))
    high = max(high, low + 1)
    for power in range(int(low), int(high) + 1):
        y = top + height * (high - power) / (high - low)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_RIGHT}"/>'
        if power in (low, high):
            yield text(_LEFT - 12, y + 4, f"{10.0**power:g}", "end", "note")
    yield text(_LEFT - 12, top + height / 2 + 4, "Σ α", "end", "note")
    ys = top + height * (high - levels) / (high - low)
    points = [f"{drawn.x(time):.1f} {y:.1f}" for time, y in zip(curves.times.tolist(), ys.tolist(), strict=True)]
    ends = [f"{_LEFT} {ys[0]:.1f}", *points, f"{_RIGHT} {ys[-1]:.1f}"]
    yield f'<path class="sure" d="M{"L".join(ends)}"/>'


def _axis(drawn: _Drawn, top: Number) -> Iterator[str]:
    duration = drawn.timeline.duration
    step = next((step for step in _STEPS if duration / step <= 12), _STEPS[-1] * np.ceil(duration / _STEPS[-1] / 12))
    yield f'<path class="grid" d="M{_LEFT} {top:.1f}H{_RIGHT}"/>'
    for number in range(int(duration / step + 1e-9) + 1):
        x = drawn.x(number * step)
        yield f'<path class="grid" d="M{x:.1f} {top:.1f}v5"/>'
        side = "end" if x > _RIGHT - 16 else "middle"
        yield text(x, top + 19, _clock(number * step, step, duration), side, "note")


def _clock(seconds: Number, step: Number, duration: Number | None = None) -> str:
    """Return a time as it is read: 1.5 s, and from a minute on 1:30 or 1:01:30."""
    longest = seconds if duration is None else duration
    if longest < 60:
        return f"{seconds:.{2 if step < 0.1 else int(step < 1)}f} s"
    whole = round(seconds)
    hours = f"{whole // 3600}:" if longest >= 3600 else ""
    minutes = f"{whole // 60 % 60:02d}" if hours else f"{whole // 60}"
    return f"{hours}{minutes}:{whole % 60:02d}"


def _legend(drawn: _Drawn, top: Number) -> tuple[list[str], float]:
    """Return the colours of the classes that are there, in rows, and how high that is."""
    parts: list[str] = []
    x, y = float(_LEFT), float(top)
    most = drawn.timeline.mixtures.max(axis=0)
    for name, share in zip(drawn.timeline.classes, most.tolist(), strict=True):
        said = one_line(legible(name))
        width = 22 + _LETTER * len(said) + 22
        if share < _SHOWN:
            continue
        if x + width > _RIGHT and x > _LEFT:
            x, y = float(_LEFT), y + 20
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="14" height="12" rx="2" fill="{drawn.colour(name)}"/>')
        parts.append(text(x + 20, y + 11, said, "start", "note"))
        x += width
    if drawn.minimum > USUAL.minimum_seconds:
        note = f"Emotions of less than {drawn.minimum:.1f} s are left out of the band."
        y += 0 if x + _LETTER * len(note) < _RIGHT else 20
        parts.append(text(_RIGHT, y + 11, note, "end", "note"))
    return parts, y - top + 26


def _spoken(drawn: _Drawn) -> str:
    """Say the picture in words."""
    told = [f"{one_line(part.label)} from {part.start:.1f} to {part.end:.1f} s" for part in drawn.segments[:40]]
    more = f" and {len(drawn.segments) - 40} more" if len(drawn.segments) > 40 else ""
    return f"{one_line(drawn.timeline.name) or 'A recording'}: {', '.join(told)}{more}."
