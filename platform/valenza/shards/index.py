"""What lies in the shards of a corpus: one row a clip, and a description with checksums."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, NonNegativeInt

from valenza.config import Settings
from valenza.errors import UsageError
from valenza.place import Place, Remote
from valenza.shards.sealed import Sealed

FORMAT = 1
INDEX, DESCRIPTION, CARD = "index.parquet", "shards.json", "card.yaml"
TRACKS = "tracks.json"
"""How clips were joined from others, where they were; `stages.tracks` writes and reads it."""
TEACHER = "teacher.json"
"""Whose frame labels the clips have, where a model gave them; `stages.heard` writes and reads it."""
PROVENANCE = (TRACKS, TEACHER)
"""What may lie beside shards that were made of other shards."""
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

_STRING = pa.string()
_MEMBER = pa.struct([("offset", pa.int64()), ("size", pa.int64()), ("crc32", pa.uint32())])
SCHEMA = pa.schema(
    [
        pa.field("id", _STRING, nullable=False),
        pa.field("shard", _STRING, nullable=False),  # file name
        pa.field("offset", pa.int64(), nullable=False),  # of the FLAC file's first byte in the tar
        pa.field("size", pa.int64(), nullable=False),  # bytes
        pa.field("crc32", pa.uint32(), nullable=False),
        pa.field("samples", pa.int64(), nullable=False),  # at 16 kHz
        pa.field("duration", pa.float64(), nullable=False),  # seconds
        pa.field("corpus", _STRING, nullable=False),
        pa.field("language", _STRING, nullable=False),
        pa.field("speaker", _STRING, nullable=False),
        pa.field("gender", _STRING),
        pa.field("recording", _STRING, nullable=False),
        pa.field("label", _STRING),
        pa.field("votes", pa.map_(_STRING, pa.float64())),
        pa.field("intensity", _STRING),
        pa.field("text", _STRING),
        pa.field("split", _STRING),
        pa.field("source", _STRING, nullable=False),
        pa.field("frames", _MEMBER),  # the NumPy file of frame labels, where the clip has them
    ]
)
"""The columns of an index."""

_BEFORE_FRAMES = pa.schema(list(SCHEMA)[:-1])
"""The columns of indexes that were written before clips could have frame labels."""

SAID = ("corpus", "duration", "gender", "id", "intensity", "label", "language", "recording", "samples", "source",
        "speaker", "split", "text", "votes")  # fmt: skip
"""The columns that are also in a clip's JSON."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ShardFile(Settings):
    """One tar."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}-[0-9]{6,}\.tar$")]
    clips: NonNegativeInt
    samples: NonNegativeInt
    bytes: NonNegativeInt
    sha256: Sha256


class LeftOut(Settings):
    """A clip that could not be stored."""

    id: str
    source: str
    reason: str


class Cut(Settings):
    """A clip of over 30 s that is stored in parts."""

    id: str
    parts: NonNegativeInt


class Description(Sealed):
    """`shards.json`: what the folder of a corpus must hold."""

    format: Literal[1]
    corpus: str
    clips: NonNegativeInt
    samples: NonNegativeInt
    sample_rate: Literal[16000]
    written_with: dict[str, str]
    index_sha256: Sha256
    card_sha256: Sha256
    shards: tuple[ShardFile, ...]
    cut: tuple[Cut, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def size(self) -> int:
        """The bytes of all shards."""
        return sum(s.bytes for s in self.shards)


def sha256(data: bytes) -> str:
    """Return the checksum that descriptions use, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def said(row: Mapping[str, Any], start: float) -> bytes:
    """Return a clip's JSON member: what its corpus says of it, with `start` in seconds into the source file."""
    votes = row["votes"]
    values = {name: row[name] for name in SAID} | {"sample_rate": 16000, "start": start}
    values["votes"] = None if votes is None else dict(votes)
    return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False).encode("utf-8")


def local(folder: Place) -> Path:
    """Return a folder on this machine's disks; raises `UsageError` for `pipe:`, `s3:` and anything like them."""
    if isinstance(folder, Remote) or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", str(folder)) or "\0" in str(folder):
        raise UsageError(f"{str(folder)!r} is not a local folder, and only those can be used here")
    return folder


def with_frames(rows: pa.Table) -> pa.Table:
    """Return rows with the column of frame labels, which is null in those written before there was one."""
    if not rows.schema.equals(_BEFORE_FRAMES):
        return rows
    return rows.append_column(SCHEMA.field("frames"), pa.nulls(rows.num_rows, _MEMBER))
