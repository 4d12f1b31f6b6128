"""Segments as a TextGrid, which Praat and ELAN open."""

from collections.abc import Iterator, Sequence

from valenza.timeline.formats.options import Options, one_line
from valenza.timeline.segments import Segment
from valenza.timeline.timeline import Timeline


def write(timelines: Sequence[Timeline], options: Options) -> str:
    """Return two interval tiers with the same edges: `emotion`, and `share`, the emotion's mean share in each."""
    (timeline,) = timelines
    segments = timeline.segments(options.segmenting)
    end = _seconds(timeline.duration)
    tiers = {
        "emotion": [one_line(segment.label) for segment in segments],
        "share": [f"{segment.share:.2f}" for segment in segments],
    }
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, texts) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", *(f"        {line}" for line in _tier(name, segments, texts, end))]
    return "\n".join(lines) + "\n"


def _tier(name: str, segments: list[Segment], texts: list[str], end: str) -> Iterator[str]:
    yield 'class = "IntervalTier"'
    yield f"name = {_quoted(name)}"
    yield "xmin = 0"
    yield f"xmax = {end}"
    yield f"intervals: size = {len(segments)}"
    for number, (segment, said) in enumerate(zip(segments, texts, strict=True), 1):
        yield f"intervals [{number}]:"
        yield f"    xmin = {_seconds(segment.start)}"
        yield f"    xmax = {_seconds(segment.end)}"
        yield f"    text = {_quoted(said)}"


def _quoted(said: str) -> str:
    """Return a string as Praat reads it: a quote inside is written twice."""
    return '"' + said.replace('"', '""') + '"'


def _seconds(value: float) -> str:
    """Return a time to a tenth of a microsecond, which tells every sample of every usual rate."""
    return f"{value:.7f}".rstrip("0").rstrip(".")
