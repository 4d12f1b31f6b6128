"""Reads descriptions, indexes and manifests of stored corpora, each held against its checksum."""

import io
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from valenza.config import suggestion
from valenza.corpora.card import Card, read_card
from valenza.errors import ShardError, UsageError
from valenza.place import Place, Remote
from valenza.shards import remote
from valenza.shards.cache import Cache, Item
from valenza.shards.index import CARD, DESCRIPTION, FORMAT, INDEX, SCHEMA, Description, local, sha256, with_frames
from valenza.shards.sealed import unseal


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
