"""A face that shows a timeline: ARKit's 52 weights in every frame, by the rig of the avatar room."""

import csv
import io
import json
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from valenza.avatar.arkit import ARKIT, NVIDIA, nvidia_column
from valenza.avatar.rig import read_rig, voice_of
from valenza.errors import UsageError
from valenza.labels.sequences import FRAME_RATE, frame_times
from valenza.labels.taxonomy import EMOTIONS, POSITION
from valenza.timeline.formats.options import Options, legible
from valenza.timeline.timeline import Timeline


def write(timelines: Sequence[Timeline], options: Options) -> str:
    """Return CSV, a row of 52 weights for each frame, or JSON; 50 frames a second unless told otherwise.

    In Apple's spelling the columns are `time,eyeBlinkLeft,…`, in NVIDIA's `timeCode,blendShapes.EyeBlinkLeft,…`, as in
    Audio2Face's animation_frames.csv; `valenza invert` reads both. JSON has `format`, `name`, `frame_rate`, `channels`,
    `times` and `weights`, a row for each time. The mouth moves with the audio, where that is given. Raises
    `UsageError` for classes that the rig has no face for.
    """
    (timeline,) = timelines
    rate = float(FRAME_RATE) if options.rate is None else options.rate
    frames = max(2, int(np.ceil(timeline.duration * rate - 1e-6)))  # an animation has at least two
    times = (np.arange(frames) + 0.5) / rate
    weights = _weights(timeline, times, options)
    apple = options.spelling == "apple"
    if options.form == "json":
        told = {
            "format": 1,
            "name": legible(timeline.name),
            "frame_rate": rate,
            "channels": ARKIT if apple else NVIDIA,
            "times": np.round(times, 6).tolist(),
            "weights": np.round(weights, 6).tolist(),
        }
        return json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time", *ARKIT] if apple else ["timeCode", *map(nvidia_column, ARKIT)])
    rows = np.column_stack([times, weights]).tolist()
    writer.writerows([f"{value:.6f}" for value in row] for row in rows)
    return text.getvalue()


def _weights(
    timeline: Timeline, times: Float64[np.ndarray, " frames"], options: Options
) -> Float64[np.ndarray, "frames channels"]:
    if strange := [name for name in timeline.classes if name not in POSITION]:
        raise UsageError(f"the face has no look for {strange[0]}; it knows {', '.join(EMOTIONS)}")
    mixtures = np.zeros((len(times), len(EMOTIONS)))
    mixtures[:, [POSITION[name] for name in timeline.classes]] = timeline.at(times)
    weights = read_rig().weights(torch.from_numpy(mixtures), torch.from_numpy(_voice(times, options)))
    return np.asarray(weights.numpy(), np.float64)


def _voice(times: Float64[np.ndarray, " frames"], options: Options) -> Float64[np.ndarray, " frames"]:
    """Return how far the mouth is open; after the end of the audio it is shut."""
    if options.audio is None or not len(options.audio):
        return np.zeros(len(times))
    voice = voice_of(torch.from_numpy(options.audio.astype(np.float64) / 32_768)).numpy()
    return np.asarray(np.interp(times, frame_times(len(voice)), voice, right=0.0))
