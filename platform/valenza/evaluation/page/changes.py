"""A page that plays and draws every augmentation on a clip of one's own."""

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16

from valenza.corpora.clip import Clip
from valenza.errors import DataError
from valenza.evaluation.page.charts import svg
from valenza.evaluation.page.markup import Html, join, tag
from valenza.evaluation.page.shell import write_page
from valenza.features.examples import TOGETHER, Example, examples, plain
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.recipe import Augment
from valenza.shards.audio import LONGEST_SECONDS, AudioError, encode, load, seconds

_WIDTH, _WAVE, _MEL = 408, 64, 120
_ANCHORS = ((10, 14, 40), (60, 40, 120), (150, 50, 120), (225, 100, 75), (250, 190, 90), (252, 250, 200))
"""From silence to the loudest: colours whose lightness rises evenly, so that they work in grey too."""


def write_changes(path: Path, settings: Augment, seed: int, out: Path) -> list[Example]:
    """Write the page about a recording's first 30 s: as it is, after each change, and after several draws of all.

    Raises `DataError` where the recording cannot be read, `WriteError` where the page cannot be written.
    """
    clip = Clip(
        "clip", "own", path, path.name, "und", "own", "own", end=float(LONGEST_SECONDS) if _long(path) else None
    )
    try:
        audio = load(clip)
    except AudioError as error:
        raise DataError(f"{path}: {error}") from None
    made = list(examples(audio, settings, seed))
    write_page(f"Augmentation of {path.name}", _sections(plain(audio), made, path.name), out, media=True)
    return made


def _long(path: Path) -> bool:
    return seconds(path) > LONGEST_SECONDS


def _sections(original: Example, made: Sequence[Example], name: str) -> Iterator[Html]:
    low, high = float(original.mel.min()), float(original.mel.max()) + 0.2
    audio = original.audio if original.audio is not None else np.zeros(1, dtype=np.int16)
    own = _svg(_picture(original, low, high, len(audio), '<use href="#own"/>'), "the clip itself")
    yield tag("h1", f"Augmentation of {name}")
    yield tag("p", f"{len(audio) / SAMPLE_RATE:.2f} s · waveform, and log-mel spectrogram of 80 bands", class_="soft")
    # Shown again and again, but stored once.
    image = _image(original, low, high, float(_WIDTH))
    yield Html(f'<svg width="0" height="0" aria-hidden="true"><defs><g id="own">{image}</g></defs></svg>')
    yield tag("div", tag("h3", "The clip itself"), _half("", original, own), class_="corpus")
    yield tag("h2", "Each change by itself")
    yield tag("p", "As if it happened always. In training, each happens to a clip with its own probability p.")
    for example in (e for e in made if e.name != TOGETHER):
        heading = join(example.name.replace("_", " "), " ", tag("span", example.drawn, class_="range"))
        cost = f" · {example.milliseconds:.2f} ms" if example.milliseconds is not None else ""
        yield tag(
            "div",
            tag("h3", heading),
            tag("p", example.said, " ", tag("code", example.settings), cost, class_="soft"),
            tag("div", _half("before", None, own), _after(example, low, high, len(audio)), class_="pair"),
            class_="corpus",
        )
    together = [e for e in made if e.name == TOGETHER]
    if together:
        yield tag("h2", "What training hears")
        yield tag("p", "All changes, each drawn with its own probability: four draws.")
        drawn = [_after(e, low, high, len(audio), e.said.replace("_", " ")) for e in together]
        yield tag("div", tag("div", *drawn, class_="pair"), class_="corpus")


def _after(example: Example, low: float, high: float, longest: int, caption: str = "after") -> Html:
    return _half(caption, example, _svg(_picture(example, low, high, longest), f"after {example.name}"))


def _half(caption: str, example: Example | None, picture: Html) -> Html:
    """Return a picture with its caption and, where there is sound, a player."""
    pieces = [tag("figcaption", caption)] if caption else []
    pieces.append(picture)
    if example is not None and example.audio is not None:
        flac = base64.b64encode(encode(example.audio)).decode()
        pieces.append(Html(f'<audio controls preload="metadata" src="data:audio/flac;base64,{flac}"></audio>'))
    elif example is not None:
        pieces.append(tag("p", "Only what the encoder sees is changed.", class_="soft"))
    return tag("figure", *pieces)


def _svg(inside: str, alt: str) -> Html:
    return Html(svg(_WIDTH, _WAVE + _MEL + 26, [inside], f"{alt}: waveform and spectrogram"))


def _picture(example: Example, low: float, high: float, longest: int, image: str | None = None) -> str:
    """Draw the waveform over the spectrogram, both as wide as the clip is long."""
    heard = len(example.audio) if example.audio is not None else longest
    width, bottom = _WIDTH * heard / longest, _WAVE + _MEL + 19
    parts = [f'<path class="grid" d="M0 {_WAVE / 2}H{_WIDTH}"/>']
    if example.audio is not None:
        parts.append(f'<path class="model" d="{_envelope(example.audio, width)}"/>')
    parts.append(image or _image(example, low, high, width))
    parts.append(f'<text class="note" x="0" y="{bottom}">0 s</text>')
    parts.append(
        f'<text class="note" x="{width:.0f}" y="{bottom}" text-anchor="end">{heard / SAMPLE_RATE:.2f} s</text>'
    )
    return "".join(parts)


def _image(example: Example, low: float, high: float, width: float) -> str:
    """Return the spectrogram as part of a picture; `low` and `high` are the ends of its colours."""
    data = base64.b64encode(png((example.mel - low) / (high - low))).decode()
    place = f'x="0" y="{_WAVE + 4}" width="{width:.1f}" height="{_MEL}"'
    return f'<image {place} preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'


def _envelope(audio: Int16[np.ndarray, " samples"], width: float) -> str:
    """Return the outline between each pixel's lowest and highest sample."""
    edges = np.linspace(0, len(audio), max(2, round(width)) + 1).astype(int)[:-1].clip(max=max(len(audio) - 1, 0))
    high, low = np.maximum.reduceat(audio, edges), np.minimum.reduceat(audio, edges)
    top = [_WAVE / 2 * (1 - h / 32768) for h in high]
    bottom = [_WAVE / 2 * (1 - v / 32768) + 0.6 for v in low]
    there = "L".join(f"{x} {y:.1f}" for x, y in enumerate(top))
    back = "L".join(f"{x} {y:.1f}" for x, y in reversed(list(enumerate(bottom))))
    return f"M{there}L{back}Z"


def png(image: Float[np.ndarray, "rows columns"]) -> bytes:
    """Return numbers from 0 to 1 as a coloured PNG, the first row at the bottom."""
    places = np.linspace(0, len(_ANCHORS) - 1, 256)
    palette = np.stack([np.interp(places, range(len(_ANCHORS)), channel) for channel in zip(*_ANCHORS, strict=True)], 1)
    rows = np.flipud((image.clip(0, 1) * 255).round().astype(np.uint8))
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 8, 3, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pieces = chunk(b"IHDR", head), chunk(b"PLTE", palette.round().astype(np.uint8).tobytes())
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
