"""Hugging Face's AudioFolder: audio beside `metadata.csv` or `metadata.jsonl`, in folders that name splits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from valenza.corpora.exchange.lines import csv_rows, explained, json_lines
from valenza.corpora.exchange.said import Reading, Said, split_in
from valenza.errors import DataError

_KINDS = ("csv", "jsonl", "parquet")


def read(reading: Reading) -> Iterator[Said]:
    """Yield the clips of every metadata file; `file_name` is relative to the file's own folder."""
    source = reading.source
    if source.is_file():
        raise DataError(f"{source}: expected the folder that holds metadata.csv")
    files = sorted(path for kind in _KINDS for path in source.rglob(f"metadata.{kind}"))
    if not files:
        raise DataError(
            f"{source}: holds no metadata.csv or metadata.jsonl; where folders alone tell labels, use `corpus new`"
        )
    for path in files:
        split = next(filter(None, map(split_in, reversed(path.parent.relative_to(source).parts))), "")
        for place, cells in _rows(reading, path):
            name = next((column for column in ("file_name", "file", "path") if cells.get(column)), None)
            if name is None:
                reading.blame(place, "file_name", f"is missing; the columns are {', '.join(cells)}")
                continue
            audio = reading.locate(place, name, cells[name], path.parent)
            said = reading.said(place, {"split": split} | cells if split else cells, audio)
            if said is not None:
                yield said


def _rows(reading: Reading, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".jsonl":
        yield from json_lines(reading, path)
    elif path.suffix == ".parquet":
        with explained(path), pq.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            yield from ((f"{path}: row {number}", row) for number, row in enumerate(rows, 1))
    else:
        yield from csv_rows(reading, path)
