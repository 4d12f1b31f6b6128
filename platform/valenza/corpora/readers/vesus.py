"""VESUS's `Tools/VESUS_Key.csv`: which emotion each rater chose, and how strong."""

import csv
import re
from collections.abc import Iterator, Sequence

from valenza.corpora.rows import Row, Source
from valenza.errors import DataError

CODES = ("0", "1", "2", "3", "4")
"""Neutral, anger, happiness, sadness, fear."""
_PATH, _CODES, _LEVELS, _TEXT = 0, 7, 8, 10
_HEADERS = {_PATH: "File Path", _TEXT: "Actor Dialog"}
_HIGHEST = 5
_LIST = re.compile(r"\[\s*(?:\d+(?:\.\d+)?\s*[,\s]\s*)*(?:\d+(?:\.\d+)?)?\s*\]")


def rows(source: Source) -> Iterator[Row]:
    """Yield `file` (such as `3/Angry/12`), `text`, and a mark from 0 to 1 under each of `CODES`.

    The mark is the sum of the levels (1 to 5) of those who chose the emotion, over 5 times the number of raters: the
    mean level times the share. Columns count by position, since the key's other headers are not published; where
    nobody rated, the marks are empty.
    """
    with source.path.open(encoding=source.encoding, newline="") as file:
        lines = csv.reader(file)
        header = [name.strip() for name in next(lines, [])]
        for place, name in _HEADERS.items():
            if len(header) <= place or header[place] != name:
                raise DataError(f"{source.name}:1: column {place + 1} is not {name!r}, so this is not VESUS's key")
        for cells in lines:
            if any(cells):
                yield _row(lines.line_num, cells)


def _row(line: int, cells: Sequence[str]) -> Row:
    file = re.sub(r"^/+|\.\w+$", "", cells[_PATH].strip().replace("\\", "/"))
    if len(cells) <= _TEXT:
        return Row(line, {"file": file}, f"has {len(cells)} cells, fewer than {_TEXT + 1}")
    for place in (_CODES, _LEVELS):
        if not _LIST.fullmatch(cells[place].strip()):
            return Row(line, {"file": file}, f"cell {place + 1} is {cells[place]!r}, not a list in brackets")
    codes, levels = (re.findall(r"[\d.]+", cells[place]) for place in (_CODES, _LEVELS))
    if len(codes) != len(levels):
        return Row(line, {"file": file}, f"has {len(codes)} choices but {len(levels)} levels")
    for code, level in zip(codes, levels, strict=True):
        if code not in CODES or not 0 < float(level) <= _HIGHEST:
            return Row(line, {"file": file}, f"choice {code} at level {level} is not 0–4 at 1–5")
    marks = {
        code: sum(float(level) for c, level in zip(codes, levels, strict=True) if c == code) / (_HIGHEST * len(codes))
        for code in (CODES if codes else ())
    }
    text = cells[_TEXT].strip().replace("\u2019", "'")
    return Row(line, {"file": file, "text": text, **{code: repr(marks[code]) if marks else "" for code in CODES}})
