"""Real recordings for the gates: of the run's own corpora, or those that the user names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from valenza.errors import DataError, UsageError
from valenza.export.gate.parity import Clip
from valenza.inference.model import SHORTEST
from valenza.recipe import Recipe
from valenza.shards.index import DESCRIPTION
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.timeline.files import find_audio
from valenza.timeline.sound import read_audio


def recordings(
    recipe: Recipe | None, audio: Sequence[Path], count: int, *, zero_shot: bool = False
) -> tuple[list[Clip], str]:
    """Return so many recordings, and where they are from in words: these files, or the corpora of a recipe.

    With `zero_shot` only of those that it is scored on, where there are such.
    Raises `UsageError` where neither is there: a model is not shipped on the word of noise.
    """
    if audio:
        files = find_audio(audio)
        if missing := [file for file in files if not file.is_file()]:
            raise UsageError(f"--audio: there is no {missing[0]}")
        chosen = [files[number] for number in spread(len(files), count)]
        return _usable(
            [read_audio(file) for file in chosen]
        ), f"{len(chosen)} files of {', '.join(place.name for place in audio)}"
    if recipe is None:
        raise UsageError("there is no speech to ask about; give --audio")
    shards = recipe.data.shards
    names = list(dict.fromkeys([*recipe.data.zero_shot, *recipe.data.train]))
    names = list(recipe.data.zero_shot) if zero_shot and recipe.data.zero_shot else names
    if isinstance(shards, Path):
        names = [name for name in names if (shards / name / DESCRIPTION).is_file()]
    if not names:
        raise UsageError(
            f"{shards}: no shards of this run's corpora, so there is no speech to check with; give --audio"
        )
    index = read_index(shards, names)
    reader = Reader(shards, index)
    clips = [reader.audio(row) for row in spread(index.num_rows, count)]
    return _usable(clips), f"{len(clips)} clips of {', '.join(names)}"


def spread(there: int, count: int) -> list[int]:
    """Return so many numbers below `there`, or all, as far apart as can be."""
    return [int(row) for row in np.unique(np.linspace(0, there - 1, min(count, there)).astype(int))]


def _usable(clips: list[Clip]) -> list[Clip]:
    kept = [clip for clip in clips if len(clip) >= SHORTEST]
    if not kept:
        raise DataError(f"every recording is shorter than {SHORTEST / 16_000:g} s")
    return kept
