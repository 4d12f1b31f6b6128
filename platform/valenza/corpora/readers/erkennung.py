"""EMO-DB's perception test: for each take, the share of some 20 listeners who recognised its emotion."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from valenza.corpora.rows import Row, Source

LETTERS = "WLEAFTN"
_LETTER = 5
"""Where the take's name holds the letter of its emotion, as in 03a01Fa."""


def rows(source: Source) -> Iterator[Row]:
    """Yield `take`, `natural`, and one column for each letter of an emotion: the share of 1 under the take's own.

    Whom the other listeners heard is not published, so the share that is missing from 1 goes to nobody.
    """
    lines = source.lines()
    next(lines, None)
    for number, line in lines:
        cells = [cell.strip() for cell in line.split("\t")]
        if not any(cells):
            continue
        take = PurePosixPath(cells[1]).stem if len(cells) > 1 else ""
        letter = take[_LETTER : _LETTER + 1]
        try:
            recognised, natural = (float(cell.replace(source.table.decimal, ".")) / 100 for cell in cells[2:4])
        except ValueError:
            yield Row(
                number, {"take": take}, fault=f"expected number, take and two percentages, found {line.strip()!r}"
            )
            continue
        if not letter or letter not in LETTERS:
            yield Row(number, {"take": take}, fault=f"{take!r} has no letter of an emotion")
            continue
        shares = dict.fromkeys(LETTERS, "") | {letter: _share(source, recognised)}
        yield Row(number, {"take": take, "natural": _share(source, natural), **shares})


def _share(source: Source, value: float) -> str:
    # the table's own decimal sign, in which the cell will be read again
    return f"{value:g}".replace(".", source.table.decimal)
