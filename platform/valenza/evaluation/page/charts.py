"""Pictures as SVG text, without a plotting library: the browser brings fonts for any script, and dark colours."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from unicodedata import east_asian_width

import numpy as np

MARKERS = ("random_head", "majority", "frozen_probe")
"""Baselines, in the order of their shapes."""
_WIDTH = 920
_LABEL = 210


Number = int | float


@dataclass(frozen=True)
class Bar:
    """A score between 0 and 1, with its interval and what it is compared with."""

    label: str
    note: str
    value: float | None
    interval: tuple[float, float] | None = None
    marks: Mapping[str, float | None] = field(default_factory=dict)
    kind: str = "model"


def bars(rows: Sequence[Bar], *, alt: str) -> str:
    """Draw horizontal bars from 0 to 100 per cent, with a whisker for the interval and a mark for each baseline."""
    step, top = 46, 8
    height = top + step * len(rows) + 26
    left, right = _LABEL, _WIDTH - 52
    parts = [*_percent_grid(left, right, top, height - 26)]
    for i, row in enumerate(rows):
        middle = top + step * i + step / 2
        parts.append(text(left - 12, middle - 2, _short(row.label, 26), "end", "name"))
        parts.append(text(left - 12, middle + 13, _short(row.note, 30), "end", "note"))
        if row.value is None:
            parts.append(text(left + 6, middle + 5, "no score", "start", "note"))
            continue
        end = left + (right - left) * row.value
        parts.append(
            f'<rect class="{row.kind}" x="{left}" y="{middle - 9:.1f}" width="{end - left:.1f}" height="18" rx="2"/>'
        )
        if row.interval:
            low, high = (left + (right - left) * bound for bound in row.interval)
            path = f"M{low:.1f} {middle - 4:.1f}v8M{low:.1f} {middle:.1f}H{high:.1f}M{high:.1f} {middle - 4:.1f}v8"
            parts.append(f'<path class="halo" d="{path}"/><path class="whisker" d="{path}"/>')
        parts += _marks(row, left, right, middle)
        parts.append(text(_WIDTH - 4, middle + 5, f"{100 * row.value:.1f}", "end", "value"))
    return svg(_WIDTH, height, parts, alt)


def marker(name: str, x: Number, y: Number) -> str:
    """Draw the mark of a baseline; shape and not only colour tells them apart."""
    if name == "random_head":
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    if name == "majority":
        return f'<rect class="mark" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    return f'<path class="mark full" d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>'


def shares(values: Mapping[str, Number], reference: Mapping[str, Number] | None, *, kind: str, alt: str) -> str:
    """Draw what share each class has; a tick stands where the reference has it."""
    width, left, right, step = 300, 86, 258, 21
    total = sum(values.values()) or 1.0
    most = max([v / total for v in values.values()] + [*(reference or {}).values()] + [0.01])
    parts = []
    for i, (name, value) in enumerate(values.items()):
        y, share = i * step + 4, value / total
        length = (right - left) * share / most
        parts.append(text(left - 8, y + 12, _short(name, 12), "end", "note"))
        parts.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{max(length, 0.75):.1f}" height="14" rx="1.5"/>')
        if reference is not None:
            at = left + (right - left) * reference.get(name, 0.0) / most
            parts.append(f'<path class="tick" d="M{at:.1f} {y - 2}v18"/>')
        parts.append(text(width - 2, y + 12, f"{100 * share:.0f} %", "end", "note"))
    return svg(width, step * len(values) + 6, parts, alt)


def calibration(points: Sequence[tuple[int, Number, Number]], *, alt: str) -> str:
    """Draw (clips, confidence, accuracy) against the diagonal on which a calibrated model lies; area shows clips."""
    size, left, top = 210, 34, 10
    most = max([clips for clips, _, _ in points] + [1])
    parts = []
    for tick in (0, 0.5, 1):
        x, y = left + size * tick, top + size * (1 - tick)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}h{size}M{x:.1f} {top}v{size}"/>')
        parts.append(text(left - 6, y + 4, f"{100 * tick:.0f}", "end", "note"))
        parts.append(text(x, top + size + 16, f"{100 * tick:.0f}", "middle", "note"))
    parts.append(f'<path class="tick dashed" d="M{left} {top + size}L{left + size} {top}"/>')
    for clips, confidence, accuracy in points:
        radius = 2.5 + 7 * float(np.sqrt(clips / most))
        x, y = left + size * confidence, top + size * (1 - accuracy)
        parts.append(f'<circle class="model dot" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>')
    parts.append(text(left + size / 2, top + size + 32, "confidence, %", "middle", "note"))
    return svg(left + size + 14, top + size + 38, parts, alt)


def curve(
    steps: Sequence[Number],
    values: Sequence[Number],
    *,
    last: Number,
    alt: str,
    dots: bool = False,
    percent: bool = False,
) -> str:
    """Draw a series against training steps from 0 to `last`; gaps in `values` (NaN) stay gaps."""
    left, right, top, height = 56, _WIDTH - 28, 10, 170
    bottom = top + height
    finite = [v for v in values if np.isfinite(v)] or [0.0, 1.0]
    ticks = nice_ticks(min(finite), max(finite))
    low, high = ticks[0], ticks[-1]
    parts = []
    for tick in ticks:
        y = bottom - height * (tick - low) / (high - low)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        parts.append(text(left - 8, y + 4, f"{100 * tick:.3g}" if percent else f"{tick:.4g}", "end", "note"))
    for tick in nice_ticks(0.0, last):
        if tick <= last:
            x = left + (right - left) * tick / last
            parts.append(text(x, bottom + 18, f"{tick:,.0f}", "middle", "note"))
    places = [
        (left + (right - left) * s / last, bottom - height * (v - low) / (high - low))
        for s, v in zip(steps, values, strict=True)
    ]
    line, pen = [], "M"
    for x, y in places:
        line.append(f"{pen}{x:.1f} {y:.1f}" if np.isfinite(y) else "")
        pen = "L" if np.isfinite(y) else "M"
    parts.append(f'<path class="line" d="{"".join(line)}"/>')
    if dots:
        parts += [f'<circle class="model" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places if np.isfinite(y)]
    parts.append(text(right, bottom + 34, "step", "end", "note"))
    return svg(_WIDTH, bottom + 38, parts, alt)


def nice_ticks(low: Number, high: Number) -> list[float]:
    """Return about five round numbers that enclose both."""
    if high - low <= 1e-12 * max(abs(high), abs(low), 1e-12):
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    rough = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(i * step) for i in np.arange(first, last + 1)]


def text(x: Number, y: Number, said: str, anchor: str, kind: str) -> str:
    """Draw a text whose start, middle or end is at x."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def svg(width: Number, height: Number, parts: Iterable[str], alt: str) -> str:
    """Put the parts of a picture together; `alt` says in words what it shows."""
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
    return f'<svg {size} role="img" aria-label="{escape(alt)}">{"".join(parts)}</svg>'


def _percent_grid(left: Number, right: Number, top: Number, bottom: Number) -> Iterator[str]:
    for tick in (0, 25, 50, 75, 100):
        x = left + (right - left) * tick / 100
        yield f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>'
        yield text(x, bottom + 18, f"{tick}", "middle", "note")


def _marks(row: Bar, left: Number, right: Number, middle: Number) -> Iterator[str]:
    for name in MARKERS:
        value = row.marks.get(name)
        if value is not None:
            yield marker(name, left + (right - left) * value, middle)


def _short(said: str, most: int) -> str:
    """Cut a text to the room it has; Chinese, Japanese and Korean letters are two wide."""
    widths = np.cumsum([2 if east_asian_width(letter) in "WF" else 1 for letter in said])
    return said if not len(widths) or widths[-1] <= most else said[: int(np.searchsorted(widths, most))] + "…"
