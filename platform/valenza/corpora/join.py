"""Joins a corpus's tables to what its file names say."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from valenza.corpora.card import Table
from valenza.corpora.rows import Row
from valenza.corpora.rules import render

Faults = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Joined:
    """What the name and the tables together say of one clip."""

    said: Mapping[str, str]
    votes: Mapping[str, float]
    """Zeros too, which count for nothing unless they are marks."""
    start: float | None
    end: float | None


def join(
    said: Mapping[str, str],
    values: Mapping[str, str],
    tables: list[tuple[Table, dict[str, list[Row]]]],
    faults: Faults,
) -> Iterator[Joined]:
    """Yield one clip for a file, or several where a table cuts it; what cannot be joined goes to `faults`.

    A table's cell comes before the name, unless it is empty.
    """
    parts = [Joined(said, {}, None, None)]
    for table, rows in tables:
        key = render(table.match, values)
        matching = rows.get(key, [])
        if not matching:
            if table.optional:
                continue
            if not table.selects:
                faults.append(("tables", f"{table.path} has no row with {table.key} = {key!r}"))
            return
        if len(matching) > 1 and "start" not in table.columns:
            faults.append(
                ("tables", f"{table.path} has {len(matching)} rows with {table.key} = {key!r} ({_lines(matching)})")
            )
            return
        faults += [("tables", f"{row.place}: {row.fault}") for row in matching if row.fault]
        matching = [row for row in matching if not row.fault]
        parts = [joined for part in parts for row in matching if (joined := _with(part, table, row, faults))]
    yield from parts


def _lines(rows: list[Row]) -> str:
    files = {row.file for row in rows}
    return ("lines " if len(files) == 1 else "") + ", ".join(
        str(row.line) if len(files) == 1 else row.place for row in rows[:5]
    )


def _with(part: Joined, table: Table, row: Row, faults: Faults) -> Joined | None:
    said = dict(part.said)
    numbers: dict[str, float | None] = {"start": part.start, "end": part.end}
    votes = dict(part.votes)
    for field, column in table.columns.items():
        if field in numbers:
            value = _number(table, row, column, faults)
            if value is not None:
                numbers[field] = value
        elif cell := row.said(column):
            said[field] = cell
    for native, column in table.votes.items():
        count = _number(table, row, column, faults)
        if count is not None and count < 0:
            faults.append(("votes", f"{row.place}: {column} is {count:g}, less than no votes"))
        elif count is not None:
            votes[native] = votes.get(native, 0.0) + count
    start, end = numbers["start"], numbers["end"]
    if (start is not None and start < 0) or (end is not None and end <= (start or 0.0)):
        faults.append(("start", f"{row.place}: from {start} s to {end} s is no stretch of the file"))
        return None
    return Joined(said, votes, start, end)


def _number(table: Table, row: Row, column: str, faults: Faults) -> float | None:
    try:
        value = row.number(column, table.decimal)
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        faults.append(("tables", f"{row.place}: {column} is {row.cells[column]!r}, not a number"))
        return None
    return value
