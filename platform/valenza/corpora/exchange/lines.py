"""Lines of foreign files: JSON objects and CSV rows with their places, and errors that name the file."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from valenza.corpora.exchange.said import Reading
from valenza.errors import DataError


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn whatever keeps a file from being read into a `DataError` that names it."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 (byte {error.start})") from None
    except (csv.Error, pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def json_lines(reading: Reading, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line's place and object; what is no JSON object is noted."""
    with explained(path), path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                reading.blame(place, "line", f"is not JSON: {error}")
                continue
            if isinstance(value, dict):
                yield place, value
            else:
                reading.blame(place, "line", "expected one JSON object")


def csv_rows(reading: Reading, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row's place and cells; a row of another length than the header is noted."""
    with explained(path), path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        for cells in filter(None, lines):
            place = f"{path}:{lines.line_num}"
            if len(cells) == len(header):
                yield place, dict(zip(header, cells, strict=True))
            else:
                reading.blame(place, "line", f"has {len(cells)} cells under {len(header)} columns")
