"""Datasets whose rows hold their audio: Hugging Face `datasets` on disk or as Parquet, and CAMEO's rows."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from valenza.corpora.exchange.lines import explained
from valenza.corpora.exchange.said import Reading, Said, split_in
from valenza.corpora.scaffold import slug
from valenza.errors import DataError

_ROWS_AT_ONCE = 32
_LONGEST_NAME = 100
_EXTENSIONS = {"WAVEX": "wav", "MPEG": "mp3", "RF64": "wav", "NIST": "sph"}
_CAMEO = ("file_id", "audio", "emotion", "speaker_id", "dataset", "language", "license")


def read(reading: Reading, main: str, *, cameo: bool) -> Iterator[Said]:
    """Yield the rows of Parquet files, or of a folder that `save_to_disk` wrote, and write their audio out once.

    CAMEO (Christop and Czajka 2025) keeps many corpora in one dataset and names splits after them: each of its
    `dataset`s becomes a corpus. Files are named after `file_id`, the path inside the row, or `id`.
    """
    files = _files(reading.source)
    for path in files:
        relative = path.relative_to(reading.source) if path != reading.source else Path(path.name)
        split = "" if cameo else next(filter(None, map(split_in, reversed(relative.parts))), "")
        for place, row, features in _rows(path):
            audio = _audio_column(reading, place, row, features)
            if audio is None or (cameo and _lacks(reading, place, row)):
                continue
            cells = _named(row, features) | ({"split": split} if split else {})
            cells.pop(audio)
            corpus = slug(str(row["dataset"])).lower()[:41] if cameo else main
            more = {"corpus": corpus, "licence": str(row["license"])} if cameo else {}
            name = _name(row, row[audio])
            stored = _stored(reading, place, audio, row[audio], corpus, name, unique=cameo)
            said = reading.said(place, cells, stored, **more)
            if said is not None:
                yield said


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    files = sorted({*source.rglob("*.parquet"), *source.rglob("*.arrow")})
    # what `datasets` computed and kept beside the data
    files = [path for path in files if not path.name.startswith(("cache-", "."))]
    if not files:
        raise DataError(f"{source}: holds no .parquet or .arrow file")
    return files


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any], Mapping[str, Any]]]:
    """Yield each row with its place and the dataset's features."""
    number = 0
    if path.suffix == ".parquet":
        with explained(path), pq.ParquetFile(path) as file:
            features = _features(file.schema_arrow)
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row, features
        return
    with explained(path), pa.memory_map(str(path)) as memory, pa.ipc.open_stream(memory) as stream:
        features = _features(stream.schema)
        for batch in stream:
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                for row in batch.slice(start, _ROWS_AT_ONCE).to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row, features


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _audio_column(reading: Reading, place: str, row: Mapping[str, Any], features: Mapping[str, Any]) -> str | None:
    declared = [n for n, f in features.items() if isinstance(f, dict) and f.get("_type") == "Audio"]
    shaped = [n for n, value in row.items() if isinstance(value, dict) and value.keys() == {"bytes", "path"}]
    found = [n for n in (declared or shaped) if n in row]
    if len(found) == 1:
        return found[0]
    reading.blame(place, "audio", f"expected one Audio column, not {len(found)}; the columns are {', '.join(row)}")
    return None


def _lacks(reading: Reading, place: str, row: Mapping[str, Any]) -> bool:
    missing = [n for n in _CAMEO if row.get(n) in (None, "")]
    for name in missing:
        reading.blame(place, name, "is missing, which every row of CAMEO has")
    return bool(missing)


def _named(row: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with the names of its classes in place of their numbers."""
    cells = dict(row)
    for name, feature in features.items():
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and isinstance(cells.get(name), int):
            number = cells[name]
            # -1 is how `datasets` writes that there is no label
            cells[name] = names[number] if 0 <= number < len(names) else None
    return cells


def _name(row: Mapping[str, Any], audio: Any) -> str:
    path = audio.get("path") if isinstance(audio, dict) else None
    said = next((str(v) for v in (row.get("file_id"), path, row.get("id")) if v not in (None, "")), "clip")
    stem = PurePosixPath(said.replace("\\", "/")).name
    stem = PurePosixPath(stem).stem if PurePosixPath(stem).suffix else stem
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")[:_LONGEST_NAME] or "clip"


def _stored(
    reading: Reading, place: str, column: str, audio: Any, corpus: str, name: str, *, unique: bool
) -> Path | None:
    data = audio.get("bytes") if isinstance(audio, dict) else None
    if not isinstance(data, bytes) or not data:
        reading.blame(place, column, "holds no bytes; save the dataset with its audio embedded in it")
        return None
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            kind = str(file.format)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        reading.blame(place, column, f"cannot be read: {error}")
        return None
    return reading.store(place, corpus, name, data, _EXTENSIONS.get(kind, kind.lower()), unique=unique)
