"""Recordings whose emotion changes, as a corpus folder (FLAC, frame labels, tables, a manifest) and as its shards."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float32

from valenza.corpora.card import Card, read_card
from valenza.corpora.frames import SAMPLE_RATE
from valenza.corpora.parse import clips
from valenza.corpora.rules import FIELDS
from valenza.errors import DataError, UsageError
from valenza.shards.index import Description
from valenza.shards.record import put
from valenza.shards.write import build
from valenza.stages.tracks.record import JoinedTrack

LABEL = "mixed"
"""The native label of a recording, which the manifest maps to nothing: no training on whole clips ever uses one."""
MANIFEST = "manifest.yaml"
_VOICES, _SEGMENTS = "voices.csv", "tracks.csv"


@dataclass(frozen=True)
class Account:
    """What there is to say of the recordings of a folder, beside their frames."""

    name: str
    """Of the shards."""
    title: str
    obtain: str
    pattern: str
    """Regular expression of their file names, without the extension."""
    classes: Sequence[str]
    """The emotions that their frames can have."""
    columns: Sequence[str]
    """Of `voices`, after the file name: `speaker`, `language`, other fields of a manifest, and what is for people."""
    voices: Sequence[Sequence[str]]
    """A row for each recording: its file name without the extension, then its columns, empty where it has none."""

    def said(self, column: str) -> list[str]:
        """Return a column of `voices`."""
        place = 1 + self.columns.index(column)
        return [row[place] for row in self.voices]


def shard_name(name: str) -> str:
    """Return a name that shards can have; raises `UsageError` for any other."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", name):
        raise UsageError(f"{name!r} names no shards: at most 41 of the characters a-z 0-9 _ -")
    return name


def chosen_rows(corpus: str, clips: int, rows: Sequence[int] | None) -> list[int]:
    """Return rows of a corpus's index, sorted and each once; None stands for all. Raises `UsageError` beyond them."""
    chosen = sorted({int(row) for row in (range(clips) if rows is None else rows)})
    if chosen and not 0 <= chosen[0] <= chosen[-1] < clips:
        raise UsageError(f"{corpus}: has {clips} clips; there is no row {chosen[0] if chosen[0] < 0 else chosen[-1]}")
    return chosen


def write_recording(folder: Path, name: str, flac: bytes, frames: Float32[np.ndarray, "frames classes"]) -> None:
    """Write a recording and its frame labels; raises `WriteError`."""
    put(folder / f"{name}.flac", flac)
    labels = io.BytesIO()
    np.lib.format.write_array(labels, frames, version=(1, 0), allow_pickle=False)
    put(folder / f"{name}.npy", labels.getvalue())


def write_events(folder: Path, tracks: Sequence[JoinedTrack]) -> None:
    """Write when which clip of a joined track is heard, in seconds; raises `WriteError`."""
    segments = (
        (t.id, f"{e.start / SAMPLE_RATE:.2f}", f"{(e.start + e.samples) / SAMPLE_RATE:.2f}", e.clip, e.emotion)
        for t in tracks
        for e in t.events
    )
    _table(folder / _SEGMENTS, ("track", "start", "end", "clip", "emotion"), segments)


def _table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows(rows)
    put(path, out.getvalue().encode("utf-8"))


def write_manifest(folder: Path, card: Card, account: Account) -> Path:
    """Write who speaks each recording, and the manifest, whose path is returned; raises `WriteError`.

    Licence, homepage and citation are those of `card`, the manifest of the clips that the recordings are made of.
    """
    _table(folder / _VOICES, ("track", *account.columns), account.voices)
    spoken = set(account.said("language"))
    listed = [tag for tag in card.languages if tag in spoken]
    values = {
        "id": account.name,
        "title": account.title,
        "languages": [*listed, *sorted(spoken.difference(listed))],
        "licence": card.licence,
        "homepage": card.homepage,
        "citation": card.citation,
        **({"access": card.access} if card.access else {}),
        "obtain": account.obtain,
        "audio": "*.flac",
        "pattern": account.pattern,
        "label": LABEL,
        "frames": "{path}.npy",
        "labels": {LABEL: None},
        "known": list(account.classes),
        "tables": [
            {
                "path": _VOICES,
                "key": "track",
                "columns": {column: column for column in account.columns if column in FIELDS},
            }
        ],
        "expect": {"clips": len(account.voices), "speakers": len(set(account.said("speaker")))},
    }
    text = "# A track changes its emotion, so that its one label means nothing: its frames have their own.\n"
    path = folder / MANIFEST
    put(path, (text + yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=120)).encode("utf-8"))
    return path


def store(folder: Path, manifest: Path, out: Path, provenance: Mapping[str, bytes]) -> Description:
    """Build the shards of a folder of recordings in `out`; raises `DataError` for one that its manifest misreads."""
    card = read_card(manifest)
    parsed = clips(card, folder)
    if parsed.problems:
        raise DataError("\n".join(map(str, parsed.problems)))
    return build(card, manifest, parsed.clips, out, provenance=provenance).description
