"""One line of a table, and one file that a reader turns into such lines."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from valenza.corpora.card import Table
from valenza.corpora.rules import fields, render
from valenza.errors import DataError


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table that passed `where`; cells as text, without spaces around them."""

    line: int
    """Line of the file, or the row's number in a binary one; the header counts."""
    cells: Mapping[str, str] = field(default_factory=dict)
    """Column → text; the first row of a file has every column."""
    fault: str = ""
    """What is wrong with the line, which then gives no clip; where `cells` hold the key, the clip's file is named."""
    file: str = ""
    """The table under the corpus root; `read_table` fills it in."""

    @property
    def place(self) -> str:
        """Where a message sends its reader."""
        return f"{self.file}:{self.line}"

    def said(self, column: str) -> str:
        """Return a column's cell, or what a template such as `{gender}{number}` makes of several."""
        if "{" not in column:
            return self.cells[column]
        return render(column, {**self.cells, "file": PurePosixPath(self.file).stem})

    def number(self, column: str, decimal: str) -> float | None:
        """Return a cell as a number, nothing for an empty one; raises `ValueError` for anything else."""
        cell = self.cells[column]
        return float(cell.replace(decimal, ".")) if cell else None


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a table, as a reader is handed it."""

    path: Path
    name: str
    """The path under the corpus root, for messages."""
    table: Table

    @property
    def encoding(self) -> str:
        """The table's encoding, without the mark that spreadsheets put first."""
        utf8 = self.table.encoding.lower().replace("_", "-") in {"utf-8", "utf8"}
        return "utf-8-sig" if utf8 else self.table.encoding

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the numbered lines without their ends; raises `UnicodeDecodeError`, which `read_table` explains."""
        with self.path.open(encoding=self.encoding) as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\n")

    def objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the numbered lines that are not empty as JSON objects; raises `DataError` for what is none."""
        for number, line in self.lines():
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.name}:{number}: is not JSON: {error}") from None
            if not isinstance(value, dict):
                raise DataError(f"{self.name}:{number}: expected one JSON object a line")
            yield number, value


def columns(name: str) -> list[str]:
    """Return the columns that a column name or a template of them reads."""
    return [found for found in fields(name) if found != "file"] if "{" in name else [name]


def text(value: object) -> str:
    """Return a value as a cell: nothing for None and NaN, whole numbers without a point."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
