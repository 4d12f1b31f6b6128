"""Sequences that a user gives for clips, one JSON file each."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from valenza.config import suggestion
from valenza.errors import DataError, UsageError
from valenza.labels.sequences import Sequence
from valenza.labels.taxonomy import EMOTIONS, POSITION

Given = dict[str, list[tuple[str, Sequence]]]
"""Clip id → file name and sequence, sorted by name."""


def read_given(folder: Path, clips: Iterable[str]) -> Given:
    """Read every `<clip id>….json` of a folder; what follows the id is the user's, and begins with no letter or digit.

    A file holds `times` in seconds and either `mixtures`, a row of the 8 shares for each time, or `emotions`, a list
    over time for each emotion that is not 0 throughout; anything else in it is left aside, so that what `valenza
    invert` writes can be given. Raises `UsageError` where the folder has no such file, and `DataError` that names file
    and field of whatever is wrong, a file of an unknown clip included.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UsageError(f"{folder}: holds no .json files of sequences")
    known, found = set(clips), defaultdict(list)
    for file in files:
        if (clip := _clip(file.stem, known)) is None:
            near = suggestion(file.stem, known)
            raise DataError(f"{file}: its name begins with the id of no clip of these corpora{near}")
        found[clip].append((file.name, read_sequence(file)))
    return dict(found)


def read_sequence(file: Path) -> Sequence:
    """Read one file; raises `DataError` that names file and field."""
    try:
        value = json.loads(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{file}: holds no object with `times` and `mixtures` or `emotions`")
    if ("mixtures" in value) == ("emotions" in value):
        raise DataError(f"{file}: give either `mixtures` or `emotions`")
    if value.get("classes", list(EMOTIONS)) != list(EMOTIONS):
        raise DataError(f"{file}: classes: shares are read in the order {', '.join(EMOTIONS)}")
    times = _numbers(file, "times", value.get("times"), None)
    if not len(times):
        raise DataError(f"{file}: times: there are none")
    if not (np.diff(times) > 0).all():
        raise DataError(f"{file}: times: each must be later than the one before")
    if "emotions" in value:
        mixtures, field = _by_emotion(file, value["emotions"], len(times)), "emotions"
    else:
        mixtures, field = _by_time(file, value["mixtures"], len(times)), "mixtures"
    _refuse(file, field, times, mixtures)
    return Sequence(times, mixtures)


def _clip(stem: str, known: set[str]) -> str | None:
    """Return the longest id that a name begins with, so that `a-1` never takes the files of `a-1-2`."""
    ends = [end for end in range(len(stem), 0, -1) if end == len(stem) or not stem[end].isalnum()]
    return next((stem[:end] for end in ends if stem[:end] in known), None)


def _by_time(file: Path, value: Any, count: int) -> np.ndarray:
    if not isinstance(value, list) or len(value) != count:
        told = f"{len(value)} rows" if isinstance(value, list) else "no list"
        raise DataError(f"{file}: mixtures: {told} for {count} times")
    rows = [_numbers(file, f"mixtures.{i}", row, len(EMOTIONS)) for i, row in enumerate(value)]
    return np.stack(rows)


def _by_emotion(file: Path, value: Any, count: int) -> np.ndarray:
    if not isinstance(value, Mapping):
        raise DataError(f"{file}: emotions: must be an object of emotion → shares over time")
    mixtures = np.zeros((count, len(EMOTIONS)))
    for emotion, shares in value.items():
        if emotion not in POSITION:
            told = suggestion(emotion, EMOTIONS) or f"; they are {', '.join(EMOTIONS)}"
            raise DataError(f"{file}: emotions.{emotion}: is no emotion of ours{told}")
        mixtures[:, POSITION[emotion]] = _numbers(file, f"emotions.{emotion}", shares, count)
    return mixtures


def _numbers(file: Path, field: str, value: Any, count: int | None) -> np.ndarray:
    if not isinstance(value, list) or any(isinstance(x, bool) or not isinstance(x, int | float) for x in value):
        raise DataError(f"{file}: {field}: must be a list of numbers")
    if count is not None and len(value) != count:
        raise DataError(f"{file}: {field}: {len(value)} numbers where {count} are expected")
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except OverflowError:
        numbers = np.asarray([np.inf])
    if not np.isfinite(numbers).all():
        raise DataError(f"{file}: {field}: a number is not finite")
    return numbers


def _refuse(file: Path, field: str, times: np.ndarray, mixtures: np.ndarray) -> None:
    for time, mixture in zip(times, mixtures, strict=True):
        if (mixture < 0).any():
            emotion = EMOTIONS[int(mixture.argmin())]
            raise DataError(f"{file}: {field}: the share of {emotion} at {time:g} s is {mixture.min():g}, below 0")
        if abs(mixture.sum() - 1) > 1e-3:
            raise DataError(f"{file}: {field}: the shares at {time:g} s sum to {mixture.sum():.4g} instead of 1")
