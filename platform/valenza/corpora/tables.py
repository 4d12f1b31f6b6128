"""Reads the tables that corpora ship beside their audio: CSV, TSV, JSONL and Parquet, in whatever encoding."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from valenza.config import suggestion
from valenza.corpora.card import Table
from valenza.errors import DataError

_TABS = {".tsv", ".tab", ".txt"}
_JSON = {".jsonl", ".ndjson", ".json"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table that passed `where`; cells as text, without spaces around them."""

    line: int
    """Line of the file, or the row's number in a Parquet file; the header counts."""
    cells: Mapping[str, str]

    def number(self, column: str, decimal: str) -> float | None:
        """Return a cell as a number, nothing for an empty one; raises `ValueError` for anything else."""
        text = self.cells[column]
        return float(text.replace(decimal, ".")) if text else None


def read_table(table: Table, root: Path) -> dict[str, list[Row]]:
    """Return the table's rows by key, in file order.

    Raises `DataError` that names the file and line, for a file that is missing, that cannot be decoded,
    or that lacks a column of the manifest.
    """
    path = root / table.path
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{table.path}: a link out of the corpus root")
    if not path.is_file():
        raise DataError(f"{table.path}: the manifest joins this table, but it is not under {root}")
    wanted = [table.key, *table.columns.values(), *table.votes.values(), *table.where]
    found: dict[str, list[Row]] = {}
    header: list[str] | None = None
    for row in _rows(table, path):
        if header is None:
            header = list(row.cells)
            _complain(table, wanted, header)
        if all(re.fullmatch(rule, row.cells[column]) for column, rule in table.where.items()):
            found.setdefault(row.cells[table.key], []).append(row)
    if header is None:
        raise DataError(f"{table.path}: has no rows")
    return found


def _complain(table: Table, wanted: Iterable[str], header: list[str]) -> None:
    missing = [f"{column!r}{suggestion(column, header)}" for column in dict.fromkeys(wanted) if column not in header]
    if missing:
        raise DataError(
            f"{table.path}:1: has no column {', '.join(missing)}; its columns are {', '.join(map(repr, header))}"
        )


def _rows(table: Table, path: Path) -> Iterator[Row]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from _parquet(path)
        elif suffix in _JSON:
            yield from _json_lines(table, path)
        else:
            yield from _separated(table, path, "\t" if suffix in _TABS else ",")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{table.path}: is not {table.encoding} (byte {error.start}); set the table's `encoding`, such as cp1252"
        ) from None
    except (csv.Error, pa.ArrowException, OSError) as error:
        raise DataError(f"{table.path}: cannot be read: {error}") from None


def _separated(table: Table, path: Path, usual: str) -> Iterator[Row]:
    # utf-8-sig also reads files without the mark that spreadsheets put first
    encoding = "utf-8-sig" if table.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else table.encoding
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = table.delimiter or max((usual, "\t", ";", ","), key=first.count)
        lines = csv.reader(file, delimiter=delimiter)
        header = [name.strip() for name in next(lines, [])]
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
                raise DataError(f"{table.path}:{lines.line_num}: has {len(cells)} cells under {len(header)} columns")
            padded = [*cells, *[""] * (len(header) - len(cells))]
            yield Row(lines.line_num, {n: c.strip() for n, c in zip(header, padded, strict=False)})


def _json_lines(table: Table, path: Path) -> Iterator[Row]:
    with path.open(encoding=table.encoding) as file:
        seen: dict[str, None] = {}
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise DataError(f"{table.path}:{number}: is not JSON: {error}") from None
            if not isinstance(value, dict):
                raise DataError(f"{table.path}:{number}: expected one JSON object a line")
            seen.update(dict.fromkeys(value))
            # a key that only some lines have is an empty cell in the others
            yield Row(number, {**dict.fromkeys(seen, ""), **{k: _text(v) for k, v in value.items()}})


def _parquet(path: Path) -> Iterator[Row]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for value in batch.to_pylist():
                number += 1
                yield Row(number, {str(k): _text(v) for k, v in value.items()})


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
