"""Everything that is known of recordings as one JSON document, which is read back too."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
from pydantic import BaseModel, ConfigDict, FiniteFloat

from valenza.errors import DataError
from valenza.timeline.formats.options import Options, legible, resampled
from valenza.timeline.timeline import Timeline

FORMAT = 1


def write(timelines: Sequence[Timeline], options: Options) -> str:
    """Return `{"format": 1, "recordings": [{…}, …]}`.

    Of each: `name`; `duration` in seconds; `classes`; `times` in seconds; `mixtures`, a row of shares for each time,
    to a millionth; `concentration`, of Dirichlet heads only, to six digits; `segments`, each with `start`, `end`,
    `label` and `share`.
    """
    recordings = [_recording(timeline, options) for timeline in timelines]
    return json.dumps({"format": FORMAT, "recordings": recordings}, ensure_ascii=False, allow_nan=False) + "\n"


def _recording(timeline: Timeline, options: Options) -> dict[str, Any]:
    # Rounded first, so that the segments are those of the shares that are written.
    timeline = replace(timeline, mixtures=np.round(timeline.mixtures, 6))
    segments = timeline.segments(options.segmenting)
    drawn = resampled(timeline, options.rate)
    told: dict[str, Any] = {
        "name": legible(timeline.name),
        "duration": timeline.duration,
        "classes": list(timeline.classes),
        "times": drawn.times.tolist(),
        "mixtures": np.round(drawn.mixtures, 6).tolist(),
    }
    if drawn.concentration is not None:
        told["concentration"] = [float(f"{value:.6g}") for value in drawn.concentration.tolist()]
    told["segments"] = [
        {
            "start": round(segment.start, 6),
            "end": round(segment.end, 6),
            "label": segment.label,
            "share": round(segment.share, 6),
        }
        for segment in segments
    ]
    return told


class _Recording(BaseModel):
    """What is read of a recording: segments follow from the rest."""

    model_config = ConfigDict(extra="ignore")

    name: str
    duration: FiniteFloat
    classes: Annotated[tuple[str, ...], pydantic.Field(min_length=1)]
    times: list[FiniteFloat]
    mixtures: list[list[FiniteFloat]]
    concentration: list[FiniteFloat] | None = None


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore")

    format: Literal[1]
    recordings: list[_Recording]


def read(text: str) -> list[Timeline]:
    """Return the recordings of a document; raises `DataError` that names the field that is wrong."""
    try:
        held = _Document.model_validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"timelines: {'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}") from None
    return [_timeline(recording, number) for number, recording in enumerate(held.recordings)]


def read_one(text: str) -> Timeline:
    """Return the recording of a document that holds one; raises `DataError`."""
    found = read(text)
    if len(found) != 1:
        raise DataError(f"timelines: recordings: there are {len(found)} where one is wanted")
    return found[0]


def _timeline(told: _Recording, number: int) -> Timeline:
    place = f"timelines: recordings.{number}"
    if wrong := [key for key, row in enumerate(told.mixtures) if len(row) != len(told.classes)]:
        raise DataError(f"{place}.mixtures.{wrong[0]}: there are {len(told.classes)} classes")
    sure = None if told.concentration is None else np.asarray(told.concentration, np.float64)
    mixtures = np.asarray(told.mixtures, np.float64).reshape(-1, len(told.classes))
    try:
        return Timeline(np.asarray(told.times, np.float64), told.classes, mixtures, told.duration, sure, told.name)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None
