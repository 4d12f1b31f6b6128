"""CREMA-D's `processedResults/tabulatedVotes.csv`: how many raters heard which emotion, and how strong."""

import csv
import math
from collections.abc import Iterator
from pathlib import PurePosixPath

from valenza.corpora.rows import Row, Source

MODES = {1: "voice", 2: "face", 3: "both"}
"""What the raters were shown, which the hundred thousands of the unnamed first column say."""
_LETTERS = {"A": "Anger", "D": "Disgust", "F": "Fear", "H": "Happy", "N": "Neutral", "S": "Sad"}
_FULL = 100.0
"""The highest level that a rater could give."""


def rows(source: Source) -> Iterator[Row]:
    """Yield `file`, `mode` (voice, face, both) and a mark from 0 to 1 under each letter A, D, F, H, N and S.

    The mark is the share of all raters who chose the emotion, times the mean level that they gave it, over 100.
    A level of −1 stands for an emotion that nobody chose. Source: Cao et al. 2014, IEEE TAC 5(4).
    """
    with source.path.open(encoding=source.encoding, newline="") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        for cells in lines:
            yield _row(lines.line_num, dict(zip(header, cells, strict=False)))


def _row(line: int, said: dict[str, str]) -> Row:
    known = {"file": PurePosixPath(said.get("fileName", "")).stem}
    try:
        mode = MODES[int(said[""]) // 100_000]
        raters = _number(said["numResponses"])
        marks = {letter: _mark(said, letter, raters) for letter in _LETTERS}
    except (KeyError, ValueError) as error:
        return Row(line, known, fault=f"cannot be read: {error}")
    return Row(line, {**known, "mode": mode, **{letter: repr(mark) for letter, mark in marks.items()}})


def _mark(said: dict[str, str], letter: str, raters: float) -> float:
    count = _number(said[letter])
    if not count:
        return 0.0
    column = f"mean{_LETTERS[letter]}Resp"
    level = _number(said[column])
    if not 0 < count <= raters or not 0 <= level <= _FULL:
        raise ValueError(f"{letter} is {count:g} of {raters:g} raters, {column} is {level:g}")
    return count / raters * level / _FULL


def _number(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"{cell!r} is not a number")
    return value
