"""Segments as RTTM (NIST Rich Transcription, 2009), with emotions where diarisation has speakers."""

import re
from collections import Counter
from collections.abc import Sequence

from valenza.timeline.formats.options import Options, legible, stem
from valenza.timeline.timeline import Timeline


def write(timelines: Sequence[Timeline], options: Options) -> str:
    """Return `SPEAKER <file> 1 <start> <duration> <NA> <NA> <emotion> <share> <NA>`, a line for each segment.

    A file is called by its name without folders and ending, and by the whole where two would be called alike. White
    space, which parts the fields, is written `_`.
    """
    lines = []
    for file, timeline in zip(_called([timeline.name for timeline in timelines]), timelines, strict=True):
        for segment in timeline.segments(options.segmenting):
            lasts = round(segment.end, 6) - round(segment.start, 6)
            when = f"{segment.start:.6f} {lasts:.6f}"
            lines.append(f"SPEAKER {file} 1 {when} <NA> <NA> {_word(segment.label)} {segment.share:.3f} <NA>\n")
    return "".join(lines)


def _called(names: Sequence[str]) -> list[str]:
    """Return a word for each name, no two alike."""
    short = [_word(stem(name)) for name in names]
    often = Counter(short)
    words = [word if often[word] == 1 else _word(name) for word, name in zip(short, names, strict=True)]
    taken: set[str] = set()
    for place, word in enumerate(words):
        free = (f"{word}_{number}" for number in range(2, len(words) + 2))
        words[place] = word if word not in taken else next(name for name in free if name not in {*taken, *words})
        taken.add(words[place])
    return words


def _word(text: str) -> str:
    return re.sub(r"\s+", "_", legible(text)) or "recording"
