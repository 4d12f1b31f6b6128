"""Transcripts: a text file a clip, or lines of `<clip> [<start>-<end>]: <text>`."""

import re
from collections.abc import Iterator

from valenza.corpora.rows import Row, Source

_IEMOCAP = re.compile(r"(?P<turn>Ses\w+)\s+\[[\d.]+\s*-\s*[\d.]+\]:\s*(?P<text>.*)")


def whole(source: Source) -> Iterator[Row]:
    """Yield one row a file: `name`, without the extension, and `text`, its lines joined by spaces."""
    text = " ".join(line.strip() for _, line in source.lines() if line.strip())
    yield Row(1, {"name": source.path.stem, "text": text})


def turns(source: Source) -> Iterator[Row]:
    """Yield `turn` and `text` of IEMOCAP's `dialog/transcriptions/*.txt`, whose other lines say nothing of a turn."""
    for number, line in source.lines():
        if match := _IEMOCAP.fullmatch(line.strip()):
            yield Row(number, match.groupdict())
