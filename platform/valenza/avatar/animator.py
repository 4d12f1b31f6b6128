"""What turns audio and emotion into face animation, and tells how its output follows from the emotion."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from valenza.avatar.arkit import ARKIT
from valenza.avatar.rig import Rig, read_rig, voice_of
from valenza.errors import DataError, UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.sequences import FRAME_RATE
from valenza.labels.taxonomy import EMOTIONS, POSITION


@runtime_checkable
class Animator(Protocol):
    """A face: it shows an emotion in each frame, while its mouth follows the audio."""

    @property
    def frame_rate(self) -> float:
        """Frames a second, of the emotion and of the animation."""

    @property
    def channels(self) -> tuple[str, ...]:
        """What it moves."""

    @property
    def shown(self) -> tuple[str, ...]:
        """Emotions that it can show, each unlike the others; the rest look like one of these."""

    def __call__(
        self, audio: Float[Tensor, " samples"], emotion: Float[Tensor, "frames classes"]
    ) -> Float[Tensor, "frames channels"]:
        """Return the animation of 16 kHz audio, differentiable in the emotion, which is over the whole taxonomy.

        A frame of the animation depends on the whole audio, but of the emotion on the same frame alone.
        """


class RigAnimator:
    """Our own rig."""

    frame_rate = float(FRAME_RATE)
    channels = ARKIT

    def __init__(self, rig: Rig | None = None) -> None:
        self.rig = read_rig() if rig is None else rig
        self.shown = self.rig.shown

    def __call__(
        self, audio: Float[Tensor, " samples"], emotion: Float[Tensor, "frames classes"]
    ) -> Float[Tensor, "frames channels"]:
        """Return ARKit's weights; frames after the end of the audio are silent."""
        voice = voice_of(audio)[: len(emotion)]
        silence = voice.new_zeros(len(emotion) - len(voice))
        return self.rig.weights(emotion, torch.cat([voice, silence]))


EXPLICIT = {"surprise": 0, "anger": 1, "disgust": 3, "fear": 4, "happiness": 6, "sadness": 9}
"""Slot of each emotion among the 10 that Audio2Face-3D is told: NVIDIA's correspondence, and amazement for surprise,
which is ours. Neutral is all zeros; nothing there is like `other`."""
IMPLICIT, SLOTS, WINDOW = 16, 10, 8320
"""Values of a speaker's style and of the emotion, and samples (0.52 s) that a frame is made from."""
_MOVED = [POSITION[emotion] for emotion in EXPLICIT]
_STEP = 1e-2
"""Of the differences: wide enough for single precision, narrow enough for a smooth network."""
_ROWS = 520
"""Windows in one call of the network: 17 MB of audio."""


class OnnxAnimator:
    """A regression network of Audio2Face-3D in ONNX Runtime (v2.3 and v2.3.1), or any of the same signature.

    Inputs `input` [batch, 1, 8320], 16 kHz audio around the middle of the frame, and `emotion` [batch, 1, 26], 16
    implicit and 10 explicit values; output `result` [batch, 1, width]. Where the width is 52 the channels are taken
    for ARKit's in NVIDIA's order, otherwise they are called `result.0` and so on: the networks of NVIDIA give
    components of a mesh, so that what is recorded for them is those, in an .npz file. Audio2Face's diffusion network
    (v3.0) has another signature and remembers past frames: it is no animator here.
    """

    def __init__(
        self, path: Path, *, implicit: Float[np.ndarray, " values"] | None = None, frame_rate: float = FRAME_RATE
    ) -> None:
        self.session = _session(path)
        self.frame_rate = float(frame_rate)
        self.implicit = np.zeros(IMPLICIT, np.float32) if implicit is None else implicit.astype(np.float32)
        if self.implicit.shape != (IMPLICIT,):
            raise UsageError(f"an implicit emotion has {IMPLICIT} values, not {self.implicit.size}")
        self._batch = _batch_of(path, self.session)
        width = self.run(np.zeros((1, WINDOW), np.float32), np.zeros((1, 1, len(EXPLICIT)))).shape[2]
        self.channels = ARKIT if width == len(ARKIT) else tuple(f"result.{number}" for number in range(width))
        self.shown = tuple(emotion for emotion in EMOTIONS if emotion in EXPLICIT or emotion == "neutral")

    def __call__(
        self, audio: Float[Tensor, " samples"], emotion: Float[Tensor, "frames classes"]
    ) -> Float[Tensor, "frames channels"]:
        """Return the network's output; its gradient is by differences, and only the emotion has one."""
        windows = self._windows(audio, len(emotion))
        return _Differences.apply(emotion[:, _MOVED], self, windows).to(emotion)  # type: ignore[no-any-return, no-untyped-call]

    def _windows(self, audio: Float[Tensor, " samples"], frames: int) -> Float32[np.ndarray, "frames window"]:
        """Return the audio around the middle of each frame, with silence before and after."""
        starts = np.rint((np.arange(frames) + 0.5) * SAMPLE_RATE / self.frame_rate).astype(np.int64)
        heard = audio.detach().cpu().float().numpy()
        after = max(0, int(starts[-1]) + WINDOW - len(heard))
        every = np.lib.stride_tricks.sliding_window_view(np.pad(heard, (WINDOW // 2, after)), WINDOW)
        return np.asarray(every[starts])

    def run(
        self, windows: Float32[np.ndarray, "frames window"], told: Float64[np.ndarray, "frames ways emotions"]
    ) -> Float64[np.ndarray, "frames ways channels"]:
        """Return the output for each frame in each of several ways to be told the emotions of `EXPLICIT`."""
        ways = told.shape[1]
        emotion = np.zeros((*told.shape[:2], IMPLICIT + SLOTS), np.float32)
        emotion[..., :IMPLICIT] = self.implicit
        emotion[..., [IMPLICIT + slot for slot in EXPLICIT.values()]] = told
        rows = emotion.reshape(-1, 1, IMPLICIT + SLOTS)
        found = [
            self._call(windows[group // ways], rows[group])
            for group in _groups(len(rows), self._batch or max(1, _ROWS // ways) * ways)
        ]
        return np.concatenate(found).reshape(len(told), ways, -1).astype(np.float64)

    def _call(
        self, windows: Float32[np.ndarray, "rows window"], emotion: Float32[np.ndarray, "rows 1 values"]
    ) -> Float32[np.ndarray, "rows channels"]:
        count = len(windows)
        if self._batch and count < self._batch:  # the network takes a fixed number
            windows = np.resize(windows, (self._batch, WINDOW))
            emotion = np.resize(emotion, (self._batch, 1, emotion.shape[2]))
        try:
            (result,) = self.session.run(["result"], {"input": windows[:, None], "emotion": emotion})
        except Exception as error:  # ONNX Runtime's own errors share no base class
            raise DataError(f"the network fails on its inputs: {str(error).splitlines()[0]}") from None
        return np.asarray(result)[:count, 0]


class _Differences(torch.autograd.Function):
    """The network's value, and its derivative by central differences, which are one-sided at the ends of 0 to 1."""

    @staticmethod
    def forward(ctx: Any, told: Tensor, animator: OnnxAnimator, windows: np.ndarray) -> Tensor:
        here = told.detach().cpu().double().numpy()
        if not ctx.needs_input_grad[0]:
            return torch.from_numpy(animator.run(windows, here[:, None])[:, 0])
        # No network was trained on an emotion outside 0 to 1, so none is asked about there.
        high = np.minimum(here + _STEP, np.maximum(here, 1.0))
        low = np.maximum(here - _STEP, np.minimum(here, 0.0))
        emotions = here.shape[1]
        ways = np.repeat(here[:, None], 1 + 2 * emotions, axis=1)
        for emotion in range(emotions):
            ways[:, 1 + emotion, emotion] = high[:, emotion]
            ways[:, 1 + emotions + emotion, emotion] = low[:, emotion]
        found = animator.run(windows, ways)
        rise = found[:, 1 : 1 + emotions] - found[:, 1 + emotions :]
        ctx.save_for_backward(torch.from_numpy(rise / (high - low)[..., None]).to(told))
        return torch.from_numpy(found[:, 0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return torch.einsum("fec,fc->fe", slope, gradients[0].to(slope)), None, None


def load_animator(name: str, *, implicit: Float[np.ndarray, " values"] | None = None) -> Animator:
    """Return the rig, or the network in an .onnx file; raises `UsageError` for anything else."""
    if name == "rig":
        return RigAnimator()
    if not name.lower().endswith(".onnx"):
        raise UsageError(f"--animator: {name!r} is neither rig nor an .onnx file")
    return OnnxAnimator(Path(name), implicit=implicit)


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(f"{path} needs ONNX Runtime; install it, as in `pip install valenza[export]`") from None
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about graph optimisation
    options.intra_op_num_threads = torch.get_num_threads()  # its own choice is every core, whatever torch was told
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise DataError(f"{path}: cannot be read as an ONNX network: {str(error).splitlines()[0]}") from None


def _batch_of(path: Path, session: Any) -> int | None:
    """Return the batch that a network is made for, or None where it takes any; refuses another signature."""
    found = {node.name: node.shape for node in (*session.get_inputs(), *session.get_outputs())}
    wanted: dict[str, list[int]] = {"input": [1, WINDOW], "emotion": [1, IMPLICIT + SLOTS], "result": [1]}
    for name, sizes in wanted.items():
        if name not in found or len(found[name]) != 3 or found[name][1 : 1 + len(sizes)] != sizes:
            has = f"its {name} is {found[name]}" if name in found else f"it has no {name}, only {', '.join(found)}"
            likeness = ", ".join(map(str, ["batch", *sizes, "width"][:3]))
            raise DataError(f"{path}: no regression network of Audio2Face-3D: {has}; {name} is [{likeness}] there")
    batch = found["input"][0]
    return batch if isinstance(batch, int) else None


def _groups(count: int, size: int) -> Iterator[np.ndarray]:
    for start in range(0, count, size):
        yield np.arange(start, min(start + size, count))
