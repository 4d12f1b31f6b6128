"""Builds the shards of one corpus: resumable, the same bytes every time, and never in the way of the earlier build."""

import os
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from valenza.corpora.card import Card
from valenza.corpora.clip import Clip
from valenza.errors import DataError, ShardError, UsageError
from valenza.shards import audio, record
from valenza.shards.index import (
    CARD,
    DESCRIPTION,
    ID,
    INDEX,
    PROVENANCE,
    SCHEMA,
    Cut,
    Description,
    LeftOut,
    ShardFile,
    local,
    said,
    sha256,
)
from valenza.shards.layout import Entry, Shard, entries, fingerprint, layout
from valenza.shards.pool import Outcome, encode_all
from valenza.shards.record import Made, Record
from valenza.shards.staging import refuse_strangers, staging_folder, swap
from valenza.shards.stored import read_corpus
from valenza.terminal import track

SHARD_BYTES = 192 << 20
"""Large enough for sequential disks, small enough to copy and repair."""
_INPUTS = "inputs"
_COPIED = ("corpus", "language", "speaker", "gender", "recording", "label", "intensity", "text", "split", "source")


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    folder: Path
    description: Description
    built: int
    """Shards that were written."""
    kept: int
    """Shards that were there already."""
    seconds: float


def build(
    card: Card,
    card_path: Path,
    clips: Iterable[Clip],
    out: Path,
    jobs: int = 1,
    *,
    shard_bytes: int = SHARD_BYTES,
    skip_bad: bool = False,
    provenance: Mapping[str, bytes] | None = None,
) -> BuildReport:
    """Store clips as `out/<corpus>/`, with `jobs` processes that decode and encode.

    Finished shards whose clips have not changed are kept, from an interrupted build or an earlier one; the earlier
    build stays in place and usable until the new one is whole. `provenance` is what lies beside the shards, under names
    of `PROVENANCE`, where the clips were made of others. Raises `DataError` that lists every file that cannot be stored
    (with `skip_bad` they are left out and listed in `shards.json`), `WriteError` for a full disk, and `UsageError`
    where `out/<corpus>` holds anything but shards.
    """
    began = time.monotonic()
    beside = {} if provenance is None else provenance
    folder = local(out) / card.id
    found = entries(card, clips)
    try:
        manifest = card_path.read_bytes()
    except OSError as error:
        raise UsageError(f"{card_path}: cannot be read: {error.strerror}") from None
    inputs = fingerprint(found, shard_bytes)
    refuse_strangers(folder)
    description = _finished(folder, inputs, skip_bad=skip_bad)
    if description is not None:
        description = _refresh(folder, description, manifest, beside)
        return BuildReport(folder, description, 0, len(description.shards), time.monotonic() - began)
    with staging_folder(folder) as staging:
        shards = layout(card, found, shard_bytes)
        records = {s.name: r for s in shards if (r := _kept(s, staging, folder, skip_bad=skip_bad)) is not None}
        todo = [s for s in shards if s.name not in records]
        records |= _write_shards(card, todo, {e.clip.id for e in found}, staging, jobs, skip_bad=skip_bad)
        description = _describe(card, [records[s.name] for s in shards], staging, manifest, inputs)
        _put_beside(staging, beside)
        swap(staging, folder)
    return BuildReport(folder, description, len(todo), len(shards) - len(todo), time.monotonic() - began)


def _finished(folder: Path, inputs: str, *, skip_bad: bool) -> Description | None:
    """Return the description of an earlier build of the same clips, where it is all there."""
    try:
        same = (folder / record.FOLDER / _INPUTS).read_text() == inputs
        description = read_corpus(folder)[0] if same else None
    except (OSError, ValueError, ShardError):
        return None
    return description if description and (skip_bad or not description.left_out) else None


def _put_beside(folder: Path, provenance: Mapping[str, bytes]) -> None:
    for name in PROVENANCE:
        if name in provenance:
            record.put(folder / name, provenance[name])
        else:
            with record.writing(folder / name):
                (folder / name).unlink(missing_ok=True)


def _refresh(folder: Path, description: Description, manifest: bytes, provenance: Mapping[str, bytes]) -> Description:
    """Renew what lies beside shards that are finished: the manifest, and what the clips were made of."""
    _put_beside(folder, provenance)
    digest = sha256(manifest)
    if digest != description.card_sha256 or not (folder / CARD).is_file() or (folder / CARD).read_bytes() != manifest:
        description = description.model_copy(update={"card_sha256": digest})
        record.put(folder / CARD, manifest)
        record.put(folder / DESCRIPTION, description.render())
    return description


def _kept(shard: Shard, staging: Path, folder: Path, *, skip_bad: bool) -> Record | None:
    """Return the record of a shard that needs no work, taking it over from the earlier build where it lies there."""
    for place in (staging, folder):
        there = record.read(place, shard.name)
        if there is None or there.made.fingerprint != shard.fingerprint or (there.made.left_out and not skip_bad):
            continue
        if place == folder:
            with record.writing(staging / shard.name):
                (staging / shard.name).unlink(missing_ok=True)
                try:
                    os.link(folder / shard.name, staging / shard.name)
                except OSError:  # a file system without hard links
                    with (folder / shard.name).open("rb") as old, (staging / shard.name).open("wb") as new:
                        shutil.copyfileobj(old, new)
                        new.flush()
                        os.fsync(new.fileno())
            record.save(staging, there)
        return there
    return None


def _write_shards(
    card: Card, todo: Sequence[Shard], ids: set[str], staging: Path, jobs: int, *, skip_bad: bool
) -> dict[str, Record]:
    """Write shards one after the other while other processes encode; a bad clip stops its shard, the others go on."""
    clips = [e.clip for shard in todo for e in shard.entries]
    records: dict[str, Record] = {}
    bad: list[LeftOut] = []
    with closing(encode_all(clips, jobs)) as encoded:
        outcomes = track(encoded, f"{card.id}: storing clips", len(clips))
        for shard in todo:
            made = _write_shard(shard, outcomes, ids, staging, skip_bad=skip_bad)
            if isinstance(made, Record):
                records[shard.name] = made
            else:
                bad += made
        next(outcomes, None)  # ends the progress bar, which counts a clip when the next one is asked for
    if bad:
        lines = [f"{b.source}: {b.reason}" for b in sorted(bad, key=lambda b: (b.source, b.id))]
        raise DataError("\n".join([*lines, f"{card.id}: {len(bad)} of {len(clips)} clips cannot be stored"]))
    return records


def _write_shard(
    shard: Shard, outcomes: Iterator[Outcome], ids: set[str], staging: Path, *, skip_bad: bool
) -> Record | list[LeftOut]:
    """Write one tar and its record; with a bad clip, write nothing and return all that are bad."""
    record.forget(staging, shard.name)
    file = record.TarFile(staging / shard.name)
    rows: list[dict[str, object]] = []
    cut: list[Cut] = []
    bad: list[LeftOut] = []
    try:
        for entry, outcome in zip(shard.entries, islice(outcomes, len(shard.entries)), strict=True):
            parts = _nameable(entry.clip, outcome, ids)
            if isinstance(parts, str):
                bad.append(LeftOut(id=entry.clip.id, source=entry.clip.source, reason=parts))
            elif skip_bad or not bad:
                rows += [_store(file, shard.name, entry, parts, i) for i in range(len(parts))]
                cut += [Cut(id=entry.clip.id, parts=len(parts))] if len(parts) > 1 else []
        if bad and not skip_bad:
            return bad
        size, digest = file.finish()
    finally:
        file.abandon()
    table = pa.Table.from_pylist(rows, SCHEMA)
    samples = sum(table["samples"].to_pylist())
    tar = ShardFile(name=shard.name, clips=len(rows), samples=samples, bytes=size, sha256=digest)
    made = Record(Made(fingerprint=shard.fingerprint, file=tar, cut=tuple(cut), left_out=tuple(bad)), table)
    record.save(staging, made)
    return made


def _nameable(clip: Clip, outcome: Outcome, ids: set[str]) -> Outcome:
    """Refuse parts whose ids another clip has, or that are too long for WebDataset and for us."""
    if isinstance(outcome, str) or len(outcome) == 1:
        return outcome
    for name in (_part_id(clip, i, len(outcome)) for i in range(len(outcome))):
        if name in ids:
            return f"is over {audio.LONGEST_SECONDS} s, and its part {name!r} would have another clip's id"
        if not ID.fullmatch(name):
            return f"is over {audio.LONGEST_SECONDS} s, and its part {name!r} would have too long an id"
    return outcome


def _part_id(clip: Clip, i: int, count: int) -> str:
    return clip.id if count == 1 else f"{clip.id}-{i + 1}of{count}"


def _store(file: record.TarFile, shard: str, entry: Entry, parts: Sequence[audio.Part], i: int) -> dict[str, object]:
    """Append a part's FLAC, JSON and frame labels to a tar, and return its row of the index."""
    clip, part = entry.clip, parts[i]
    row: dict[str, object] = {
        "id": _part_id(clip, i, len(parts)),
        "shard": shard,
        "size": len(part.flac),
        "crc32": zlib.crc32(part.flac),
        "samples": part.samples,
        "duration": part.samples / audio.SAMPLE_RATE,
        "votes": None if clip.votes is None else sorted((k, float(v)) for k, v in clip.votes.items()),
    }
    row |= {name: getattr(clip, name) for name in _COPIED}
    row["offset"] = file.add(f"{row['id']}.flac", part.flac)
    file.add(f"{row['id']}.json", said(row, part.start))
    if part.frames is not None:
        offset = file.add(f"{row['id']}.npy", part.frames)
        row["frames"] = {"offset": offset, "size": len(part.frames), "crc32": zlib.crc32(part.frames)}
    return row


def _describe(card: Card, records: Sequence[Record], staging: Path, manifest: bytes, inputs: str) -> Description:
    """Complete a staged build: index, manifest and, last, the description."""
    rows = pa.concat_tables([r.rows for r in records]).combine_chunks()
    made = [r.made for r in records]
    if rows.num_rows == 0:
        raise DataError(f"{card.id}: none of {sum(len(m.left_out) for m in made)} clips can be stored")
    if pc.count_distinct(rows["id"]).as_py() != rows.num_rows:
        raise DataError(f"{card.id}: a part of a clip of over {audio.LONGEST_SECONDS} s would have another clip's id")
    index = record.parquet(rows)
    description = Description(
        format=1,
        corpus=card.id,
        clips=rows.num_rows,
        samples=sum(m.file.samples for m in made),
        sample_rate=16000,
        written_with=audio.VERSIONS,
        index_sha256=sha256(index),
        card_sha256=sha256(manifest),
        shards=tuple(m.file for m in made),
        cut=tuple(sorted((c for m in made for c in m.cut), key=lambda c: c.id)),
        left_out=tuple(sorted((b for m in made for b in m.left_out), key=lambda b: (b.source, b.id))),
    )
    wanted = {m.file.name for m in made}
    for path in [*staging.glob("*.tar"), *(staging / record.FOLDER).glob("*.record"), *staging.glob("*.part")]:
        if path.name.removesuffix(".record") not in wanted:
            path.unlink()  # of an interrupted build of other clips
    record.put(staging / INDEX, index)
    record.put(staging / CARD, manifest)
    record.put(staging / record.FOLDER / _INPUTS, inputs.encode())
    record.put(staging / DESCRIPTION, description.render())
    return description
