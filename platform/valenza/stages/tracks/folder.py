"""A corpus folder of joined tracks: FLAC files, frame labels, tables and a manifest, as any corpus has them."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Int16

from valenza.corpora.card import Card
from valenza.corpora.frames import SAMPLE_RATE
from valenza.shards import audio
from valenza.shards.record import put
from valenza.stages.tracks.record import JoinedTrack

LABEL = "mixed"
"""The native label of a track, which the manifest maps to nothing: no training on whole clips ever uses one."""
MANIFEST = "manifest.yaml"
_VOICES, _SEGMENTS = "voices.csv", "tracks.csv"


def write_audio(folder: Path, track: JoinedTrack, samples: Int16[np.ndarray, " samples"]) -> None:
    """Write a track and its frame labels; raises `WriteError`."""
    put(folder / f"{track.id}.flac", audio.encode(samples))
    frames = io.BytesIO()
    np.lib.format.write_array(frames, track.frames(), version=(1, 0), allow_pickle=False)
    put(folder / f"{track.id}.npy", frames.getvalue())


def write_tables(folder: Path, tracks: Sequence[JoinedTrack]) -> None:
    """Write who speaks each track, and when which of its clips is heard, in seconds; raises `WriteError`."""
    voices = ((t.id, t.speaker, t.language, t.gender or "", t.kind) for t in tracks)
    _table(folder / _VOICES, ("track", "speaker", "language", "gender", "kind"), voices)
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


def write_manifest(folder: Path, name: str, card: Card, classes: Sequence[str], tracks: Sequence[JoinedTrack]) -> Path:
    """Write the manifest of tracks of a corpus, and return its path; licence and languages are those of the clips."""
    spoken = {track.language for track in tracks}
    values = {
        "id": name,
        "title": f"{card.title}: joined tracks of several emotions",
        "languages": [tag for tag in card.languages if tag in spoken] or sorted(spoken),
        "licence": card.licence,
        "homepage": card.homepage,
        "citation": card.citation,
        **({"access": card.access} if card.access else {}),
        "obtain": f"made of the shards of {card.id} by `valenza tracks make {card.id}`; tracks.json says how",
        "audio": "*.flac",
        "pattern": r"t\d+-[a-z-]+",
        "label": LABEL,
        "frames": "{path}.npy",
        "labels": {LABEL: None},
        "known": list(classes),
        "tables": [
            {
                "path": _VOICES,
                "key": "track",
                "columns": {column: column for column in ("speaker", "language", "gender")},
            }
        ],
        "expect": {"clips": len(tracks), "speakers": len({track.speaker for track in tracks})},
    }
    text = "# A track changes its emotion, so that its one label means nothing: its frames have their own.\n"
    path = folder / MANIFEST
    put(path, (text + yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=120)).encode("utf-8"))
    return path
