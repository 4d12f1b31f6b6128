"""audformat databases (audEERING): a YAML header, and tables whose columns are schemes, often one for each rater."""

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from valenza.corpora.exchange.languages import code
from valenza.corpora.exchange.lines import csv_rows, explained
from valenza.corpora.exchange.said import FIELDS, Reading, Said
from valenza.errors import DataError

_GOLD = "gold_standard"
_VOTES = "votes."
_TIME = re.compile(r"(?:(\d+) days?)?\s*(?:(\d+):(\d+):(\d+(?:\.\d+)?))?")
Stretch = tuple[str, float | None, float | None]


@dataclass
class _Cells:
    """What the tables say of one file or stretch of a file."""

    place: str
    said: dict[str, Any] = field(default_factory=dict)
    raters: list[str] = field(default_factory=list)
    votes: dict[str, float] = field(default_factory=dict)


def read(reading: Reading) -> Iterator[Said]:
    """Yield the stretches of a database, and the files that no table cuts.

    Columns of one scheme by several raters are votes; what machines rated is passed over. Tables are read as CSV or
    Parquet: audformat's pickles would run whatever code they hold.
    """
    folder = reading.source if reading.source.is_dir() else reading.source.parent
    header = _header(folder / "db.yaml")
    if not reading.chosen_base:
        reading.base = folder
    _about(reading, header)
    whole: dict[str, _Cells] = {}
    stretches: dict[Stretch, _Cells] = {}
    # the gold standard last, so that it has the last word
    for name in sorted(header["tables"], key=lambda name: (_GOLD in name, name)):
        for place, row in _table(reading, folder, name):
            file = str(row.get("file") or "")
            times = _time(row.get("start")), _time(row.get("end"))
            cut = (times[0] or 0.0) > 0 or times[1] is not None
            cells = (
                stretches.setdefault((file, *times), _Cells(place)) if cut else whole.setdefault(file, _Cells(place))
            )
            _add(reading, cells, header, header["tables"][name], row)
    parted = {file for file, _, _ in stretches}
    everything: dict[Stretch, _Cells] = {(file, None, None): c for file, c in whole.items() if file not in parted}
    for (file, start, end), cells in (everything | stretches).items():
        outer = whole.get(file, cells)
        said = outer.said | cells.said | {"start": start, "end": end, "votes": cells.votes or outer.votes}
        clip = reading.said(cells.place, said, reading.locate(cells.place, "file", file))
        if clip is not None:
            yield clip


def _header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: there is no such header, so this is no audformat database")
    try:
        with explained(path):
            header = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{path}: is not YAML: {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("tables"), dict):
        raise DataError(f"{path}: tables: is missing, so this is no audformat database")
    for name in ("schemes", "raters", "splits", "misc_tables"):
        if not isinstance(header.setdefault(name, {}), dict):
            raise DataError(f"{path}: {name}: expected names with their properties")
    return header


def _about(reading: Reading, header: Mapping[str, Any]) -> None:
    about = reading.about
    about.title, about.licence = str(header.get("name") or ""), str(header.get("license") or "")
    about.homepage, about.citation = str(header.get("source") or ""), str(header.get("author") or "")
    spoken = header.get("languages")
    about.languages = [tag for said in (spoken if isinstance(spoken, list) else []) if (tag := code(str(said)))]
    for name, scheme in header["schemes"].items():
        labels = scheme.get("labels") if isinstance(scheme, dict) else None
        if _role(name, name) == "label" and isinstance(labels, dict):
            about.words |= {str(native): word for native, word in labels.items() if isinstance(word, str)}


def _role(column: str, scheme: str) -> str | None:
    """Return what a column is read as, by its own name or its scheme's."""
    return next((f for name in (column, scheme) for f, known in FIELDS.items() if name.lower() in known), None)


def _table(reading: Reading, folder: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    path = folder / f"db.{name}.csv"
    if path.parent != folder:
        raise DataError(f"{folder / 'db.yaml'}: tables: {name!r} is no name of a table")
    if path.is_file():
        yield from csv_rows(reading, path)
    elif (path := folder / f"db.{name}.parquet").is_file():
        with explained(path):
            rows = pq.read_table(path).to_pylist()
        for number, row in enumerate(rows, 1):
            yield f"{path}: row {number}", row
    else:
        raise DataError(f"{path}: is missing; save the database with storage_format='csv' or 'parquet'")


def _add(reading: Reading, cells: _Cells, header: Mapping[str, Any], table: Any, row: Mapping[str, Any]) -> None:
    properties = table if isinstance(table, dict) else {}
    split = properties.get("split_id")
    if split is not None:
        known = header["splits"].get(split)
        cells.said["split"] = known.get("type", split) if isinstance(known, dict) else split
    columns = {n: c if isinstance(c, dict) else {} for n, c in (properties.get("columns") or {}).items()}
    natives: list[str] = []
    for name, column in columns.items():
        value = row.get(name)
        if value is None or value == "" or (isinstance(value, float) and value != value):
            continue
        if name.startswith(_VOTES):
            cells.votes[name.removeprefix(_VOTES)] = float(value)
            continue
        scheme = str(column.get("scheme_id") or "")
        role = _role(name, scheme)
        if role == "label":
            if _rated_by(header, column) != "machine":
                natives.append(str(value))
        else:
            cells.said[name if name in reading.columns.values() else role or name] = value
        if role == "speaker":
            cells.said |= {k: v for k, v in _speaker(header, scheme, str(value)).items() if k not in cells.said}
    for native in natives if len(natives) > 1 else []:
        cells.votes[native] = cells.votes.get(native, 0.0) + 1
    if len(natives) == 1:
        cells.said["label"] = natives[0]


def _rated_by(header: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    rater = header["raters"].get(column.get("rater_id"))
    return str(rater.get("type")) if isinstance(rater, dict) else "human"


def _speaker(header: Mapping[str, Any], scheme: str, speaker: str) -> dict[str, Any]:
    """Return what the scheme's labels say of a speaker, such as gender and language."""
    properties = header["schemes"].get(scheme)
    labels = properties.get("labels") if isinstance(properties, dict) else None
    known = {str(key): value for key, value in labels.items()} if isinstance(labels, dict) else {}
    said = known.get(speaker)
    facts = said if isinstance(said, dict) else {}
    return {name: facts[name] for name in ("gender", "language") if facts.get(name)}


def _time(value: Any) -> float | None:
    """Read a time in seconds from `0 days 00:00:01.5`, as pandas writes it; nothing for an empty cell."""
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) and value.strip() else None
    if match is None or not any(match.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
