"""Reads the tables that corpora ship beside their audio: CSV, TSV, JSONL and Parquet, in whatever encoding."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from valenza.config import suggestion
from valenza.corpora.card import Table
from valenza.corpora.readers import READERS
from valenza.corpora.rows import Row, Source, columns, text
from valenza.errors import DataError

_TABS = {".tsv", ".tab", ".txt"}
_JSON = {".jsonl", ".ndjson", ".json"}


def read_table(table: Table, root: Path) -> tuple[dict[str, list[Row]], list[Row]]:
    """Return the table's rows by key, in file order, and the lines that tell no key because they cannot be read.

    Raises `DataError` that names the file and line, for a file that is missing, that cannot be decoded,
    or that lacks a column of the manifest.
    """
    parts = columns(table.key)
    said = [part for name in table.columns.values() for part in columns(name)]
    wanted = [*parts, *said, *table.votes.values(), *table.where]
    found: dict[str, list[Row]] = {}
    faulty: list[Row] = []
    for source in _sources(table, root):
        header: list[str] | None = None
        for row in _rows(source):
            row = replace(row, file=source.name)
            if not row.fault:
                if header is None:
                    header = list(row.cells)
                    _complain(source, wanted, header)
                if not all(re.fullmatch(rule, row.cells[column]) for column, rule in table.where.items()):
                    continue
            elif not all(part in row.cells for part in parts):
                faulty.append(row)
                continue
            found.setdefault(row.said(table.key), []).append(row)
    if not found and not faulty and not table.optional:
        raise DataError(f"{table.path}: has no rows")
    return found, faulty


def _sources(table: Table, root: Path) -> Iterator[Source]:
    """Yield the table's files in the order of their names, without the hidden ones that copying programs leave."""
    paths = [root / table.path] if (root / table.path).is_file() else sorted(root.glob(table.path))
    paths = [path for path in paths if path.is_file() and not path.name.startswith(".")]
    if not paths and not table.optional:
        raise DataError(f"{table.path}: the manifest joins this table, but it is not under {root}")
    real = root.resolve()
    for path in paths:
        name = path.relative_to(root).as_posix()
        if not path.resolve().is_relative_to(real):
            raise DataError(f"{name}: a link out of the corpus root")
        yield Source(path, name, table)


def _complain(source: Source, wanted: Iterable[str], header: list[str]) -> None:
    missing = [f"{column!r}{suggestion(column, header)}" for column in dict.fromkeys(wanted) if column not in header]
    if missing:
        raise DataError(
            f"{source.name}:1: has no column {', '.join(missing)}; its columns are {', '.join(map(repr, header))}"
        )


def _rows(source: Source) -> Iterator[Row]:
    suffix = source.path.suffix.lower()
    try:
        if source.table.format != "auto":
            yield from READERS[source.table.format](source)
        elif suffix == ".parquet":
            yield from _parquet(source)
        elif suffix in _JSON:
            yield from _json_lines(source)
        else:
            yield from _separated(source, "\t" if suffix in _TABS else ",")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source.name}: is not {source.table.encoding} (byte {error.start}); "
            "set the table's `encoding`, such as cp1252"
        ) from None
    except (csv.Error, pa.ArrowException, OSError) as error:
        raise DataError(f"{source.name}: cannot be read: {error}") from None


def _separated(source: Source, usual: str) -> Iterator[Row]:
    with source.path.open(encoding=source.encoding, newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = source.table.delimiter or max((usual, "\t", ";", ","), key=first.count)
        lines = csv.reader(file, delimiter=delimiter)
        header = [name.strip() for name in next(lines, [])]
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
                raise DataError(f"{source.name}:{lines.line_num}: has {len(cells)} cells under {len(header)} columns")
            padded = [*cells, *[""] * (len(header) - len(cells))]
            yield Row(lines.line_num, {n: c.strip() for n, c in zip(header, padded, strict=False)})


def _json_lines(source: Source) -> Iterator[Row]:
    seen: dict[str, None] = {}
    for number, value in source.objects():
        seen.update(dict.fromkeys(value))
        # a key that only some lines have is an empty cell in the others
        yield Row(number, {**dict.fromkeys(seen, ""), **{k: text(v) for k, v in value.items()}})


def _parquet(source: Source) -> Iterator[Row]:
    number = 0
    with pq.ParquetFile(source.path) as file:
        for batch in file.iter_batches():
            for value in batch.to_pylist():
                number += 1
                yield Row(number, {str(k): text(v) for k, v in value.items()})
