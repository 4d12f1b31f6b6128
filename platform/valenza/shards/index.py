"""What lies in the shards of a corpus: one row a clip, and a description with checksums."""

import hashlib
import io
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, NonNegativeInt

from valenza.config import Settings, suggestion
from valenza.corpora.card import Card, read_card
from valenza.errors import ShardError, UsageError
from valenza.place import Place, Remote
from valenza.shards import remote
from valenza.shards.cache import Cache, Item
from valenza.shards.sealed import Sealed, unseal

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


def built(shards: Place) -> list[str]:
    """Return the corpora that have shards in a folder, sorted; raises `UsageError` for a web server, which tells none.

    In a bucket, every folder counts.
    """
    if isinstance(shards, Remote):
        return [name for name in remote.folders(shards) if _CORPUS.fullmatch(name)]
    folders = local(shards).glob(f"*/{DESCRIPTION}") if shards.is_dir() else ()
    return sorted(p.parent.name for p in folders if not p.parent.name.startswith("."))


def read_bytes(folder: Place, name: str) -> bytes:
    """Return the description, index or manifest in a corpus's folder; raises `OSError`.

    For a remote one, `ShardError` where it is missing or not the file that was written. What a process once read of a
    remote description is what it goes by until it ends.
    """
    if isinstance(folder, Path):
        return (folder / name).read_bytes()
    if name != DESCRIPTION:
        return Cache.here().read(_small(folder, name))
    if folder not in _descriptions:
        _descriptions[folder] = _described(folder)
    return _descriptions[folder]


_descriptions: dict[Remote, bytes] = {}


def _described(folder: Remote) -> bytes:
    data = b""
    for _ in range(remote.PATIENCE.wholes):
        data = b"".join(remote.blocks(folder / DESCRIPTION, 0, None))
        if unseal(Description, data) is not None:
            break
    return data


def _small(folder: Remote, name: str) -> Item:
    """Return the index or manifest of a corpus as what the cache fetches."""
    description = read_description(folder)
    return Item(folder / name, description.index_sha256 if name == INDEX else description.card_sha256)


def read_description(folder: Place) -> Description:
    """Read a corpus's `shards.json`; raises `ShardError` where it is missing or damaged in any byte."""
    path = folder / DESCRIPTION
    try:
        data = read_bytes(folder, DESCRIPTION)
    except OSError as error:
        raise ShardError(f"{path}: cannot be read: {error.strerror}") from None
    description = unseal(Description, data)
    if description is None:
        raise ShardError(f"{path}: {_wrong(data)}; {_again(folder)}")
    return description


def _wrong(data: bytes) -> str:
    try:
        values = json.loads(data)
        stated = values.get("format") if isinstance(values, dict) else None
    except (ValueError, RecursionError):
        stated = None
    if stated in (None, FORMAT):
        return "is damaged"
    return f"format {stated!r}, but this version reads format {FORMAT}"


def read_rows(folder: Place, description: Description) -> pa.Table:
    """Read a corpus's index and hold it against the description; raises `ShardError` where they disagree."""
    path = folder / INDEX
    try:
        data = read_bytes(folder, INDEX)
    except OSError as error:
        raise ShardError(f"{path}: cannot be read: {error.strerror}; {_again(folder)}") from None
    if sha256(data) != description.index_sha256:  # before it is parsed
        raise ShardError(f"{path}: is not the index that {DESCRIPTION} describes; {_again(folder)}")
    try:
        # Cast, because Parquet renames the inside of a map, and the same clips must give the same bytes again.
        rows = with_frames(pq.read_table(io.BytesIO(data)))
        rows = rows.cast(SCHEMA) if rows.schema.equals(SCHEMA) else None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ShardError(f"{path}: cannot be read: {error}; {_again(folder)}") from None
    if rows is None:
        raise ShardError(f"{path}: has other columns than format {FORMAT}; {_again(folder)}")
    counts = {v["values"]: v["counts"] for v in pc.value_counts(rows["shard"]).to_pylist()}
    wanted = {s.name: s.clips for s in description.shards if s.clips}
    if counts != wanted or rows.num_rows != description.clips:
        name = next((n for n in sorted({*counts, *wanted}) if counts.get(n) != wanted.get(n)), DESCRIPTION)
        raise ShardError(
            f"{path}: {name} has {counts.get(name, 0)} clips in the index and {wanted.get(name, 0)} in {DESCRIPTION}; "
            f"{_again(folder)}"
        )
    return rows


def with_frames(rows: pa.Table) -> pa.Table:
    """Return rows with the column of frame labels, which is null in those written before there was one."""
    if not rows.schema.equals(_BEFORE_FRAMES):
        return rows
    return rows.append_column(SCHEMA.field("frames"), pa.nulls(rows.num_rows, _MEMBER))


def read_index(shards: Place, corpora: Sequence[str]) -> pa.Table:
    """Return one row a stored clip, corpus after corpus in the order given; a row's number is its clip number.

    Raises `ShardError` that lists every corpus without shards, with a suggestion and the command that builds it;
    every shard that is missing or of another size; and ids that two corpora share.
    """
    problems: list[str] = []
    tables: list[pa.Table] = [SCHEMA.empty_table()]
    for corpus in corpora:
        try:
            tables.append(read_corpus(_folder(shards, corpus))[1])
        except ShardError as error:
            if isinstance(shards, Remote) and not isinstance(error, remote.MissingError):
                raise  # the others would be waited for as long
            problems.append(str(error))
    if problems:
        raise ShardError("\n".join(problems))
    index = pa.concat_tables(tables).combine_chunks()
    counts = pc.value_counts(index["id"])
    twice = [v["values"] for v in counts.filter(pc.greater(counts.field("counts"), 1)).to_pylist()]
    if twice:
        raise ShardError(
            f"{shards}: {len(twice)} ids are in two corpora, or a corpus is named twice; the first is {twice[0]!r}"
        )
    return index


def read_corpus(folder: Place) -> tuple[Description, pa.Table]:
    """Return a corpus's description and index; raises `ShardError` unless every shard is there at its full size.

    Shards of a server are looked at when they are read.
    """
    description = read_description(folder)
    if description.corpus != folder.name:
        raise ShardError(f"{folder}: holds the shards of {description.corpus!r}")
    if isinstance(folder, Path):
        _measure(folder, description)
    return description, read_rows(folder, description)


def _measure(folder: Path, description: Description) -> None:
    for shard in description.shards:
        path = folder / shard.name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise ShardError(f"{path}: cannot be read: {error.strerror}; {_again(folder)}") from None
        if size != shard.bytes:
            raise ShardError(
                f"{path}: {size:,} bytes where {shard.bytes:,} were written; "
                f"delete it, then {_again(folder)} to make it anew"
            )


def read_cards(shards: Place, corpora: Sequence[str]) -> dict[str, Card]:
    """Return the manifests that lie beside the shards, by corpus; raises `ShardError` or `UsageError`."""
    cards: dict[str, Card] = {}
    for corpus in corpora:
        folder = _folder(shards, corpus)
        path = folder / CARD
        if isinstance(path, Path) and not path.is_file():
            raise ShardError(f"{path}: is missing; {_again(folder)}")
        cards[corpus] = read_card(path) if isinstance(path, Path) else _remote_card(path)
        if cards[corpus].id != corpus:
            raise ShardError(f"{path}: is the manifest of {cards[corpus].id!r}")
    return cards


def _remote_card(path: Remote) -> Card:
    data = read_bytes(path.parent, CARD)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / CARD
        file.write_bytes(data)
        try:
            return read_card(file)
        except UsageError as error:
            raise UsageError(str(error).replace(str(file), str(path))) from None


_CORPUS = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")


def _folder(shards: Place, corpus: str) -> Place:
    folder = (shards if isinstance(shards, Remote) else local(shards)) / corpus
    if isinstance(folder, Remote):
        try:
            if _CORPUS.fullmatch(corpus):
                read_bytes(folder, DESCRIPTION)
                return folder
        except remote.MissingError:
            pass
        raise remote.MissingError(f"{shards}: no shards of {corpus!r}; {_again(folder)}")
    if _CORPUS.fullmatch(corpus) and (folder / DESCRIPTION).is_file():
        return folder
    known = built(shards)
    there = f"built here: {', '.join(known)}" if known else "none are built here"
    raise ShardError(f"{shards}: no shards of {corpus!r}{suggestion(corpus, known)} ({there}); {_again(folder)}")


def _again(folder: Place) -> str:
    if isinstance(folder, Remote):
        return "upload the whole folder that `valenza shards build` made"
    return f"run `valenza shards build {folder.name}`"
