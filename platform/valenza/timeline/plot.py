"""A timeline as a picture: the waveform, the emotion of each stretch, shares as areas, and how sure the model is."""

from collections.abc import Iterator
from pathlib import Path
from unicodedata import east_asian_width

import numpy as np
from jaxtyping import Int16

from valenza.errors import UsageError
from valenza.evaluation.page.charts import svg, text
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.files import write_whole
from valenza.timeline.formats.options import one_line
from valenza.timeline.segments import USUAL, Segmenting
from valenza.timeline.strips import RIGHT, Drawn, areas, axis, bands, clock, concentration, legend, waveform
from valenza.timeline.timeline import Timeline

_WIDTH = 1120
_TITLE = 104
"""Letters of a name at most; Chinese, Japanese and Korean ones are two wide."""
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
    timeline: Timeline,
    path: Path,
    audio: Int16[np.ndarray, " samples"] | None = None,
    rate: int = SAMPLE_RATE,
    segmenting: Segmenting = USUAL,
) -> None:
    """Write the picture as .svg or .png; raises `UsageError` as `check_name` does, and `WriteError`."""
    check_name(path)
    drawn = picture(timeline, audio, rate, segmenting)
    write_whole(drawn if path.suffix.lower() == ".svg" else _png(drawn), path)


def check_name(path: Path) -> None:
    """Raise `UsageError` for a file that no picture can be: not an .svg, and not a .png or one without resvg-py."""
    if path.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"{path}: a picture is an .svg or a .png file")
    if path.suffix.lower() == ".png":
        try:
            import resvg_py  # noqa: F401
        except ImportError:
            needs = "a .png needs resvg-py, as in `pip install valenza[plot]`; an .svg needs nothing"
            raise UsageError(f"{path}: {needs}") from None


def picture(
    timeline: Timeline,
    audio: Int16[np.ndarray, " samples"] | None = None,
    rate: int = SAMPLE_RATE,
    segmenting: Segmenting = USUAL,
) -> str:
    """Return an SVG document, of audio at so many samples a second over the same time.

    Emotions are those of `Timeline.segments`, but for what is too short to be seen, and shares are means of what falls
    on two pixels. A line shows the concentration, where there is one, on a logarithmic scale.
    """
    drawn = Drawn(timeline, segmenting)
    parts: list[str] = [f"<style>{_STYLE}</style>", f'<rect width="{_WIDTH}" height="100%" fill="#fff"/>']
    parts += _title(timeline)
    top = 40.0
    if audio is not None and len(audio):
        parts += waveform(drawn, audio, rate, top, 72)
        top += 80
    parts += bands(drawn, top, 26)
    top += 34
    parts += areas(drawn, top, 190)
    top += 190
    if timeline.concentration is not None:
        parts += concentration(drawn, timeline.concentration, top + 20, 56)
        top += 76
    parts += axis(drawn, top)
    top += 38
    colours, height = legend(drawn, top)
    whole = svg(_WIDTH, top + height, [*parts, *colours], _spoken(drawn))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" height="{top + height:.0f}" '
    return whole.replace("<svg ", head, 1) + "\n"


def _png(document: str) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=document, zoom=2))


def _title(timeline: Timeline) -> Iterator[str]:
    name = one_line(timeline.name)
    widths = np.cumsum([2 if east_asian_width(letter) in "WF" else 1 for letter in reversed(name)])
    fits = int(np.searchsorted(widths, _TITLE, side="right"))
    yield text(16, 24, name if fits == len(name) else f"…{name[-fits:]}", "start", "title")
    yield text(RIGHT, 24, clock(timeline.duration, 0.01), "end", "note")


def _spoken(drawn: Drawn) -> str:
    """Say the picture in words."""
    told = [f"{one_line(part.label)} from {part.start:.1f} to {part.end:.1f} s" for part in drawn.segments[:40]]
    more = f" and {len(drawn.segments) - 40} more" if len(drawn.segments) > 40 else ""
    return f"{one_line(drawn.timeline.name) or 'A recording'}: {', '.join(told)}{more}."
