"""STUDIES' dialogues: lines of speaker|emotion|text|reading; a speaker's n-th line is the speaker's n-th recording."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from valenza.corpora.rows import Row, Source

_SPEAKERS = {"講師": "Teacher", "女子生徒": "FStudent", "男子生徒": "MStudent"}


def rows(source: Source) -> Iterator[Row]:
    """Yield `wav` (the recording's path under the root, without extension), `speaker`, `emotion`, `text`, `reading`.

    The recordings lie in the folder `wav` beside the lines' folder `txt`. Where a speaker has not as many of them as of
    lines, nobody can say which is which, and each of the speaker's recordings becomes a fault.
    """
    folder = PurePosixPath(source.name).parent.parent / "wav"
    texts = sorted(path for path in source.path.parent.glob("*.txt") if not path.name.startswith("."))
    counts = {path: _count(Source(path, source.name, source.table)) for path in texts}
    earlier = sum((counts[path] for path in texts if path < source.path), Counter[str]())
    total = sum(counts.values(), Counter[str]())
    takes = {spoken: _recordings(source, name) for spoken, name in _SPEAKERS.items()}
    matched = {spoken for spoken in _SPEAKERS if total[spoken] == len(takes[spoken])}
    if source.path == texts[0]:
        for spoken in _SPEAKERS.keys() - matched:
            fault = f"{spoken} has {total[spoken]} lines but {len(takes[spoken])} recordings: which is which?"
            yield from (Row(1, {"wav": str(folder / take)}, fault=fault) for take in takes[spoken])
    for number, (spoken, *cells) in _lines(source):
        if spoken not in _SPEAKERS:
            yield Row(number, fault=f"{spoken!r} is none of {', '.join(_SPEAKERS)}")
        elif spoken in matched:
            take = takes[spoken][earlier[spoken]]
            earlier[spoken] += 1
            said = dict(zip(("emotion", "text", "reading"), [*cells, "", "", ""], strict=False))
            yield Row(number, {"wav": str(folder / take), "speaker": _SPEAKERS[spoken], **said})


def _lines(source: Source) -> Iterator[tuple[int, list[str]]]:
    for number, line in source.lines():
        if line.strip():
            yield number, [cell.strip() for cell in line.split("|")]


def _count(source: Source) -> Counter[str]:
    return Counter(cells[0] for _, cells in _lines(source))


def _recordings(source: Source, speaker: str) -> list[str]:
    """Return the stems of a speaker's recordings, in the order of their names."""
    folder: Path = source.path.parent.parent / "wav"
    return sorted({path.stem for path in folder.glob(f"*{speaker}*") if not path.name.startswith(".")})
