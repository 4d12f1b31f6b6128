"""Holds stored tracks against the clips that they were made of."""

from pathlib import Path

import numpy as np

from valenza.errors import ShardError
from valenza.shards import frames
from valenza.shards.read import Reader
from valenza.shards.stored import read_corpus, read_index
from valenza.stages.tracks.record import TrackSet, digest, read_tracks, render_track


def verify_tracks(tracks: Path, corpus: str, shards: Path) -> list[str]:
    """Make the tracks of `tracks/<corpus>` again from the shards of their clips, and return what differs.

    Samples and frame labels have to be the same, bit for bit. Raises `ShardError` where either shards cannot be read.
    """
    made = read_tracks(tracks / corpus)
    found = read_index(tracks, [corpus])
    stored, rows = Reader(tracks, found), {clip: row for row, clip in enumerate(found["id"].to_pylist())}
    clips = read_index(shards, [made.corpus])
    source, row_of = Reader(shards, clips), {clip: row for row, clip in enumerate(clips["id"].to_pylist())}
    differences = _sources(made, shards)
    for track in made.tracks:
        row = rows.pop(f"{corpus}-{track.id}", None)
        if row is None:
            differences.append(f"{track.id}: is not among the shards")
            continue
        try:
            samples, heard = render_track(source, row_of, track), stored.audio(row)
            labels = frames.decode(frames.encode(track.frames()), len(heard))
            if digest(samples) != track.sha256:
                differences.append(f"{track.id}: its clips give other samples than those that were recorded")
            if not np.array_equal(samples, heard):
                differences.append(f"{track.id}: its samples are not those of its clips")
            if not np.array_equal(labels, stored.frames(row)):
                differences.append(f"{track.id}: its frame labels are not those of its clips")
        except ShardError as error:
            differences.append(str(error))
    return differences + [f"{clip}: is not in tracks.json" for clip in rows]


def _sources(made: TrackSet, shards: Path) -> list[str]:
    description, _ = read_corpus(shards / made.corpus)
    same = description.index_sha256 == made.index_sha256
    return [] if same else [f"{made.corpus}: has another index than the one that the tracks were planned from"]
