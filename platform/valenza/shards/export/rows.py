"""Rows that hold their audio: Hugging Face `datasets` as Parquet, and the same in CAMEO's columns."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from valenza.corpora.exchange.languages import name
from valenza.shards.audio import SAMPLE_RATE
from valenza.shards.export.cards import dataset_card
from valenza.shards.export.clips import StoredClip, StoredCorpus, folder_in, write_text
from valenza.shards.record import writing

_ROWS_IN_GROUP = 100
"""Few, because readers decode a whole group to show one row of it."""
_MOST_BYTES = 400 << 20
_STRINGS = ("id", "emotion", "speaker", "gender", "language", "text", "recording", "intensity")
_CAMEO = ("file_id", "audio", "emotion", "transcription", "speaker_id", "gender", "age", "dataset", "language",
          "license")  # fmt: skip
_AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def datasets(corpus: StoredCorpus, out: Path) -> None:
    """Write `data/<split>-….parquet` and a dataset card, for `datasets.load_dataset(folder)`."""
    folder = folder_in(out, corpus.card.id)
    votes = [("votes", pa.struct([(native, pa.float64()) for native in corpus.votes]))] if corpus.votes else []
    fields = [("audio", _AUDIO), *((name, pa.string()) for name in _STRINGS), *votes]
    for split, clips in corpus.by_split.items():
        rows = (
            {
                "id": clip.name,
                **corpus.facts(clip),
                "audio": _audio(corpus, clip),
                "votes": dict(clip.votes) or None,
            }
            for clip in clips
        )
        _write(folder_in(folder, "data"), split, fields, rows)
    splits = {split: f"data/{split}-*" for split in corpus.by_split}
    write_text(folder / "README.md", dataset_card(corpus, splits))


def cameo(corpus: StoredCorpus, out: Path) -> None:
    """Write rows in the columns of CAMEO (Christop and Czajka 2025), one split named after the corpus.

    They can be concatenated with CAMEO's own; its columns hold no votes, splits, recordings or intensities.
    """
    folder = folder_in(out, corpus.card.id)
    split = corpus.card.id.replace("-", "_")
    fields = [(column, _AUDIO if column == "audio" else pa.string()) for column in _CAMEO]
    rows = (
        {
            "file_id": f"{clip.name}.flac",
            "audio": _audio(corpus, clip),
            "emotion": clip.label,
            "transcription": clip.text or "",
            "speaker_id": clip.speaker,
            "gender": clip.gender,
            "dataset": corpus.card.id,
            "language": name(clip.language),
            "license": corpus.card.licence,
        }
        for clip in corpus.clips
    )
    _write(folder_in(folder, "data"), split, fields, rows)
    write_text(folder / "README.md", dataset_card(corpus, {split: f"data/{split}-*"}))


def _audio(corpus: StoredCorpus, clip: StoredClip) -> dict[str, Any]:
    return {"bytes": corpus.reader.flac(clip.row), "path": f"{clip.name}.flac"}


def _write(folder: Path, split: str, fields: list[tuple[str, pa.DataType]], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write Parquet files of at most about 400 MB, numbered as the Hub's are."""
    schema = pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": _features(fields)}})})
    parts: list[Path] = []
    writer: pq.ParquetWriter | None = None
    size = 0
    for group in _groups(rows):
        if writer is None or size > _MOST_BYTES:
            if writer is not None:
                writer.close()
            parts.append(folder / f"{split}.{len(parts)}.part")
            size = 0
            with writing(parts[-1]):
                writer = pq.ParquetWriter(parts[-1], schema, compression="zstd")
        with writing(parts[-1]):
            writer.write_table(pa.Table.from_pylist(group, schema))
        size += sum(len(row["audio"]["bytes"]) for row in group)
    if writer is not None:
        writer.close()
    for number, part in enumerate(parts):
        part.rename(folder / f"{split}-{number:05d}-of-{len(parts):05d}.parquet")


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    group: list[Mapping[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == _ROWS_IN_GROUP:
            yield group
            group = []
    if group:
        yield group


def _features(fields: list[tuple[str, pa.DataType]]) -> dict[str, Any]:
    """Return the columns as `datasets` describes them in a file's metadata."""
    features: dict[str, Any] = {}
    for column, kind in fields:
        if column == "audio":
            features[column] = {"sampling_rate": SAMPLE_RATE, "_type": "Audio"}
        elif pa.types.is_struct(kind):
            features[column] = {kind.field(i).name: _value("float64") for i in range(kind.num_fields)}
        else:
            features[column] = _value("string")
    return features


def _value(kind: str) -> dict[str, str]:
    return {"dtype": kind, "_type": "Value"}
