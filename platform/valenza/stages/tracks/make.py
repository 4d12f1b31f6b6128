"""Test tracks of several emotions, joined from a corpus's clips, as shards that anyone can make again."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from valenza.corpora.card import Card
from valenza.errors import DataError
from valenza.labels.harmonise import scores
from valenza.labels.taxonomy import EMOTIONS
from valenza.mixture.tracks import KINDS, Kind, PlannedTrack, TrackClip, plan_tracks
from valenza.shards.audio import encode
from valenza.shards.index import TRACKS, Description
from valenza.shards.read import Reader
from valenza.shards.stored import read_cards, read_corpus, read_index
from valenza.stages.tracks.folder import (
    Account,
    chosen_rows,
    shard_name,
    store,
    write_events,
    write_manifest,
    write_recording,
)
from valenza.stages.tracks.record import Event, JoinedTrack, Missed, TrackSet, digest
from valenza.stages.tracks.sound import SoundSettings, Stretch, event, headroom, join, stretch
from valenza.terminal import track as progress


@dataclass(frozen=True)
class Made:
    """The tracks that were made of one corpus."""

    corpus: str
    """The name of the new shards."""
    folder: Path
    description: Description
    tracks: TrackSet

    @property
    def kinds(self) -> dict[Kind, int]:
        """Kind → tracks."""
        found = Counter(track.kind for track in self.tracks.tracks)
        return {kind: found[kind] for kind in self.tracks.kinds}

    @property
    def speakers(self) -> int:
        """How many speakers are heard."""
        return len({track.speaker for track in self.tracks.tracks})

    @property
    def events(self) -> int:
        """How many clips are heard, those that are heard in several tracks as often."""
        return sum(len(track.events) for track in self.tracks.tracks)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON."""
        return {
            "corpus": self.corpus,
            "folder": str(self.folder),
            "tracks": len(self.tracks.tracks),
            "speakers": self.speakers,
            "events": self.events,
            "minutes": sum(track.seconds for track in self.tracks.tracks) / 60,
            "kinds": self.kinds,
            "missing": [missed.model_dump(mode="json") for missed in self.tracks.missing],
        }


@dataclass(frozen=True)
class _Source:
    """The corpus whose clips are joined."""

    card: Card
    description: Description
    index: pa.Table
    reader: Reader
    targets: Float64[np.ndarray, "clips classes"]
    known: tuple[str, ...]
    emotions: Mapping[int, str]
    """Row → the class with most of its score, of the rows that may be joined and have one."""
    stretches: Mapping[int, Stretch]


def make_tracks(
    shards: Path,
    corpus: str,
    rows: Sequence[int] | None,
    out: Path,
    *,
    seed: int = 7,
    per_speaker: int = 12,
    kinds: Sequence[Kind] = KINDS,
    longest: float = 30.0,
    shortest: float = 0.3,
    sound: SoundSettings = SoundSettings(),  # noqa: B008  (frozen)
    name: str | None = None,
) -> Made:
    """Join clips of a corpus to tracks, and store them in `out` as the shards of `name`, `<corpus>-tracks` by default.

    Only the clips of `rows`, rows of the corpus's index, are heard; None takes all of it. Each clip loses the silence
    at its ends and is brought to the level of all others, the boundaries lie on whole 20 ms frames, and every frame is
    labelled with the soft label of its clip. The same arguments and clips give the same bytes. `tracks.json` beside the
    shards says how each track was made. Raises `DataError` where no speaker's clips make a track, `UsageError` for
    settings that plan nothing, `ShardError` for damaged shards.
    """
    name = shard_name(name or f"{corpus}-tracks")
    source = _read(shards, corpus, rows, sound)
    columns = {column: source.index[column].to_pylist() for column in ("speaker", "language")}
    offered = [
        TrackClip(row, corpus, columns["speaker"][row], columns["language"][row], source.emotions[row], part.seconds)
        for row, part in source.stretches.items()
    ]
    plan = plan_tracks(
        offered, seed=seed, per_speaker=per_speaker, kinds=kinds, longest=longest, shortest=shortest
    )  # fmt: skip
    if not plan.tracks:
        raise DataError(
            f"{corpus}: none of {len(source.emotions)} clips can be joined to tracks of {', '.join(kinds)}: "
            f"no speaker has clips of the classes that they need, of {shortest:g} s or more"
        )
    with tempfile.TemporaryDirectory(prefix="tracks-") as temporary:
        folder = Path(temporary)
        joined = list(progress(_joined(source, plan.tracks, folder), f"{name}: joining", len(plan.tracks)))
        made = TrackSet(
            format=1,
            corpus=corpus,
            index_sha256=source.description.index_sha256,
            card_sha256=source.description.card_sha256,
            clips=len(source.stretches),
            clips_sha256=_digest_of(sorted(source.index["id"][row].as_py() for row in source.stretches)),
            seed=seed,
            per_speaker=per_speaker,
            kinds=tuple(kinds),
            longest=longest,
            shortest=shortest,
            silence_db=sound.silence_db,
            keep_seconds=sound.keep_seconds,
            level_db=sound.level_db,
            classes=EMOTIONS,
            missing=tuple(
                Missed(speaker=m.speaker, kind=m.kind, tracks=m.tracks, classes=m.classes) for m in plan.missing
            ),
            tracks=tuple(joined),
        )
        description = _store(name, source, made, folder, out)
    return Made(name, out / name, description, made)


def _read(shards: Path, corpus: str, rows: Sequence[int] | None, sound: SoundSettings) -> _Source:
    index, card = read_index(shards, [corpus]), read_cards(shards, [corpus])[corpus]
    chosen = chosen_rows(corpus, index.num_rows, rows)
    meaning = scores(index, {corpus: card})
    targets, reader = meaning.targets, Reader(shards, index)
    emotions: dict[int, str] = {}
    for row in chosen:
        most = np.flatnonzero(targets[row] >= targets[row].max() - 1e-9)
        if meaning.used[row] and len(most) == 1:
            emotions[row] = EMOTIONS[int(most[0])]
    listened = progress(map(reader.audio, emotions), f"{corpus}: finding the speech in clips", len(emotions))
    found = {row: part for row, heard in zip(emotions, listened, strict=True) if (part := stretch(heard, sound))}
    known = tuple(EMOTIONS[i] for i in np.flatnonzero(np.asarray(meaning.known.any(axis=0))))
    return _Source(card, read_corpus(shards / corpus)[0], index, reader, targets, known, emotions, found)


def _joined(source: _Source, planned: Sequence[PlannedTrack], folder: Path) -> Iterator[JoinedTrack]:
    """Write each track into a folder, and yield what is recorded of it."""
    width = max(4, len(str(len(planned))))
    for number, plan in enumerate(planned, 1):
        parts = [source.stretches[row] for row in plan.rows]
        events = [event(source.reader.audio(row), part) for row, part in zip(plan.rows, parts, strict=True)]
        scale = headroom(events)
        samples = join(events, scale)
        starts = np.cumsum([0, *(part.samples for part in parts)]).tolist()
        track = JoinedTrack(
            id=f"t{number:0{width}}-{plan.kind}",
            speaker=plan.speaker,
            language=plan.language,
            gender=source.index["gender"][plan.rows[0]].as_py(),
            kind=plan.kind,
            scale_db=scale,
            sha256=digest(samples),
            events=tuple(map(partial(_event, source), plan.rows, starts)),
        )
        write_recording(folder, track.id, encode(samples), track.frames())
        yield track


def _event(source: _Source, row: int, start: int) -> Event:
    part = source.stretches[row]
    return Event(
        clip=source.index["id"][row].as_py(),
        crc32=source.reader.checksum(row),
        emotion=source.emotions[row],
        mixture=tuple(source.targets[row].tolist()),
        first=part.first,
        start=start,
        samples=part.samples,
        gain_db=part.gain_db,
    )


def _store(name: str, source: _Source, made: TrackSet, folder: Path, out: Path) -> Description:
    write_events(folder, made.tracks)
    account = Account(
        name=name,
        title=f"{source.card.title}: joined tracks of several emotions",
        obtain=f"made of the shards of {made.corpus} by `valenza tracks make {made.corpus}`; {TRACKS} says how",
        pattern=r"t\d+-[a-z-]+",
        classes=source.known,
        columns=("speaker", "language", "gender", "kind"),
        voices=[(t.id, t.speaker, t.language, t.gender or "", t.kind) for t in made.tracks],
    )
    return store(folder, write_manifest(folder, source.card, account), out, {TRACKS: made.render()})


def _digest_of(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()
