"""What is true of the tracks of a study, where their clips have frame labels."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from valenza.errors import UsageError
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.stages.pairs.folder import Study


def truth_of(study: Study, shards: Path) -> dict[str, Float32[np.ndarray, "frames classes"]]:
    """Return the frame labels of every track, read from the shards that its clip lies in.

    Raises `UsageError` for a track that names no clip or one that is not there, `ShardError` where a clip has no frame
    labels.
    """
    index = read_index(shards, list(dict.fromkeys(track.corpus for track in study.tracks.values())))
    rows = {clip: row for row, clip in enumerate(index["id"].to_pylist())}
    reader = Reader(shards, index)
    truth = {}
    for track in study.tracks.values():
        if track.clip is None:
            raise UsageError(f"{study.folder}: track {track.id} names no clip, so its frame labels cannot be found")
        if track.clip not in rows:
            raise UsageError(f"{shards}: there is no clip {track.clip}, which track {track.id} was taken from")
        truth[track.id] = reader.frames(rows[track.clip])
    return truth
