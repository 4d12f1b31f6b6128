"""Keyframes for NVIDIA's Audio2Face-3D: the `emotion_with_timecode_list` of its sample clients' configuration."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from valenza.errors import UsageError
from valenza.timeline.formats.options import Options, legible
from valenza.timeline.post import A2F, Keyframes, slots, spread
from valenza.timeline.timeline import Timeline

RATE = 10
"""Keyframes a second at most: Audio2Face draws straight lines between them."""


def write(timelines: Sequence[Timeline], options: Options) -> str:
    """Return YAML, or JSON of the same structure: `emotion_with_timecode1` and so on, each with all ten emotions.

    Values are shares by the correspondence of `avatar.animator`, so that neutral is all zeros; the service smooths and
    scales them itself. With `options.audio2emotion` they are what NVIDIA's post-processing makes of them, a keyframe
    every frame, for networks that are fed without the service. Raises `UsageError` where no class is an emotion of
    Audio2Face.
    """
    (timeline,) = timelines
    try:
        keyframes = _keyframes(timeline, options)
    except ValueError as error:
        raise UsageError(f"{timeline.name or 'this timeline'}: {error}") from None
    if options.form == "json":
        return json.dumps({"emotion_with_timecode_list": dict(_entries(keyframes))}) + "\n"
    return "\n".join(_yaml(timeline.name, keyframes)) + "\n"


def _keyframes(timeline: Timeline, options: Options) -> Keyframes:
    if options.audio2emotion is not None:
        post = options.audio2emotion
        return (post if options.rate is None else replace(post, frame_rate=float(options.rate))).apply(timeline)
    most = RATE if options.rate is None else options.rate
    if len(timeline.times) > most * timeline.duration or options.rate is not None:
        timeline = timeline.resample(most)
    return Keyframes(timeline.times, spread(timeline.mixtures, slots(timeline.classes)))


def _entries(keyframes: Keyframes) -> Iterator[tuple[str, dict[str, object]]]:
    rows = zip(keyframes.times.tolist(), keyframes.values.clip(0.0, 1.0).tolist(), strict=True)
    for number, (time, row) in enumerate(rows, 1):
        emotions = {name: round(value, 6) for name, value in zip(A2F, row, strict=True)}
        yield f"emotion_with_timecode{number}", {"time_code": round(time, 6), "emotions": emotions}


def _yaml(name: str, keyframes: Keyframes) -> Iterator[str]:
    if name:
        yield f"# {json.dumps(legible(name))}"
    yield "emotion_with_timecode_list:"
    rows = zip(keyframes.times.tolist(), keyframes.values.clip(0.0, 1.0).tolist(), strict=True)
    for number, (time, row) in enumerate(rows, 1):
        yield f"  emotion_with_timecode{number}:"
        yield f"    time_code: {time:.6f}"
        yield "    emotions:"
        yield from (f"      {emotion}: {value:.6f}" for emotion, value in zip(A2F, row, strict=True))
