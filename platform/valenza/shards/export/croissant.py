"""Croissant 1.1 (MLCommons): a JSON-LD description of shards that dataset searches and loaders read."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from valenza.corpora.frames import COLUMNS
from valenza.shards.export.clips import StoredCorpus, folder_in, link, write_text
from valenza.shards.index import CARD, DESCRIPTION, INDEX, SCHEMA

_FILE = "croissant.json"
_CROISSANT = ("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
              "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
              "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
              "separator", "source", "subField", "transform")  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{name: f"cr:{name}" for name in _CROISSANT},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_MEANS = {
    "id": "the clip's name, and that of its FLAC and JSON members",
    "shard": "the tar that holds it",
    "offset": "bytes before its FLAC file in the tar",
    "size": "bytes of its FLAC file",
    "crc32": "checksum of its FLAC file",
    "samples": "samples at 16 kHz",
    "duration": "seconds",
    "corpus": "the corpus",
    "language": "BCP-47",
    "speaker": "unique within the corpus",
    "gender": "F, M or O",
    "recording": "the take that the clip was cut from",
    "label": "the label as its corpus gives it",
    "intensity": "as the corpus gives it",
    "text": "what is said",
    "split": "train, validation or test where the corpus defines it",
    "source": "the file's path in the corpus",
}

_FRAMES = ("npy", f"Mixtures of {', '.join(COLUMNS)} in each 20 ms, as NumPy arrays.", "application/octet-stream")


def croissant(corpus: StoredCorpus, out: Path) -> None:
    """Write `croissant.json` beside second names of the shards, so that the folder can be published as it is.

    Votes are a map, for which Croissant has no type: they are in the JSON members and in the index, not in the records.
    Frame labels are members of the shards.
    """
    folder = folder_in(out, corpus.card.id)
    shards = [shard.name for shard in corpus.description.shards]
    for name in (*shards, INDEX, DESCRIPTION, CARD):
        link(corpus.folder / name, folder / name)
    write_text(folder / _FILE, json.dumps(describe(corpus), ensure_ascii=False, indent=1) + "\n")


def describe(corpus: StoredCorpus) -> dict[str, Any]:
    """Return the JSON-LD document."""
    card, description = corpus.card, corpus.description
    hours = description.samples / description.sample_rate / 3600
    built = datetime.fromtimestamp((corpus.folder / DESCRIPTION).stat().st_mtime, UTC)
    text = f"{description.clips} clips of emotional speech, {hours:.2f} h, 16 kHz mono FLAC in WebDataset shards."
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": card.id,
        "description": f"{card.title}. {text}",
        "license": card.licence,
        **({"url": card.homepage} if card.homepage else {}),
        "citeAs": card.citation or card.title,
        "inLanguage": corpus.languages,
        "datePublished": built.date().isoformat(),
        "version": "1.0.0",
        "distribution": [*_files(corpus), *_members(corpus)],
        "recordSet": [_records()],
    }


def _files(corpus: StoredCorpus) -> list[dict[str, Any]]:
    description = corpus.description
    index = (corpus.folder / INDEX).stat().st_size
    tars = [(s.name, s.bytes, s.sha256, "application/x-tar") for s in description.shards]
    return [
        {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name, "contentSize": f"{size} B",
         "encodingFormat": kind, "sha256": digest}
        for name, size, digest, kind in [(INDEX, index, description.index_sha256, "application/x-parquet"), *tars]
    ]  # fmt: skip


def _members(corpus: StoredCorpus) -> list[dict[str, Any]]:
    tars = [{"@id": shard.name} for shard in corpus.description.shards]
    return [
        {"@type": "cr:FileSet", "@id": kind, "name": kind, "description": text, "containedIn": tars,
         "encodingFormat": encoding, "includes": f"*.{kind}"}
        for kind, text, encoding in [
            ("flac", "The clips, 16 kHz mono.", "audio/flac"),
            ("json", "What the corpus says of each clip, votes included.", "application/json"),
            *([_FRAMES] if corpus.reader.has_frames.any() else []),
        ]
    ]  # fmt: skip


def _records() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "clips",
        "name": "clips",
        "description": "One row a clip.",
        "key": {"@id": "clips/id"},
        "field": [
            {"@type": "cr:Field", "@id": f"clips/{column}", "name": column, "description": means,
             "dataType": _type(SCHEMA.field(column).type),
             "source": {"fileObject": {"@id": INDEX}, "extract": {"column": column}}}
            for column, means in _MEANS.items()
        ],
    }  # fmt: skip


def _type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
