"""A TensorRT engine at work on this machine's GPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from valenza.errors import DataError, UsageError
from valenza.export.engines.sidecar import Reach, Sidecar, import_library, listener, read_engine
from valenza.features.batch import FRAME
from valenza.inference.hearing import Spectrogram, frames_of, own, whole


class EngineRunner:
    """Runs an engine as `inference.model.Engine`: recordings in, the outputs of a recogniser by name out.

    Of the engine's profiles, the first that takes a batch's shapes is used. `eager` compiles kernels for each new
    shape before its first run and not behind it, as a measurement wants it. Raises `UsageError` without a GPU or the
    library, `DataError` for an engine that this GPU cannot load or that is not what its sidecar says.
    """

    def __init__(self, path: Path, *, eager: bool = False) -> None:
        self.sidecar = read_engine(path)
        trt = import_library(self.sidecar.library)
        if not torch.cuda.is_available():
            raise UsageError(f"{path}: engines run on NVIDIA GPUs, and torch finds none on this machine")
        self.heard = listener(trt)
        self.runtime = trt.Runtime(self.heard)  # an engine does not outlive it
        self.engine = self.runtime.deserialize_cuda_engine(path.read_bytes())
        if self.engine is None:
            targets = ", ".join(f"SM{number}" for number in self.sidecar.compute_capabilities)
            told = "; ".join(self.heard.errors[-3:])
            raise DataError(f"{path}: built by {self.sidecar.title} for {targets}, this GPU cannot load it: {told}")
        _compare(path, self.engine, self.sidecar)
        self.context = _context(trt, self.engine, eager=eager)
        if self.context is None:
            raise DataError(f"{path}: this GPU cannot run it: " + "; ".join(self.heard.errors[-3:]))
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.profile = -1
        mel = self.sidecar.properties["source"] == "mel"
        self.spectrogram = Spectrogram(int(self.sidecar.properties["mels"])).cuda() if mel else None

    def __call__(
        self, audio: Float32[np.ndarray, "batch samples"], lengths: Int64[np.ndarray, " batch"]
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a recogniser by name; raises `UsageError` for a batch that no profile takes."""
        said = self.run(self.inputs(torch.from_numpy(audio).cuda(), torch.from_numpy(lengths).cuda()))
        frames = -(-audio.shape[1] // FRAME)
        return {name: _cut(name, value, frames).float().cpu().numpy() for name, value in said.items()}

    def inputs(self, audio: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return what the engine takes in of waveforms, with silence up to the shortest that it takes."""
        if self.spectrogram is None:
            return {"audio": padded(audio, least(self.sidecar, "audio", audio.shape)), "lengths": lengths}
        heard = whole(audio)
        frames = frames_of(lengths)
        mel = self.spectrogram(heard * own(heard.shape[1], lengths), frames)
        return {"mel": padded(mel, least(self.sidecar, "mel", mel.shape)), "lengths": frames}

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the outputs for inputs that are on the GPU; they are there too, and complete."""
        chosen = choose(self.sidecar, {name: tuple(value.shape) for name, value in inputs.items()})
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            if chosen != self.profile:
                self._expect(self.context.set_optimization_profile_async(chosen, self.stream.cuda_stream))
                self.profile = chosen
            held = {name: value.contiguous() for name, value in inputs.items()}
            for name, value in held.items():
                self._expect(self.context.set_input_shape(name, tuple(value.shape)))
                self._expect(self.context.set_tensor_address(name, value.data_ptr()))
            said = {}
            for tensor in self.sidecar.outputs:
                shape = tuple(self.context.get_tensor_shape(tensor.name))
                said[tensor.name] = torch.empty(shape, dtype=getattr(torch, tensor.dtype), device="cuda")
                self._expect(self.context.set_tensor_address(tensor.name, said[tensor.name].data_ptr()))
            self._expect(self.context.execute_async_v3(self.stream.cuda_stream))
        self.stream.synchronize()
        return said

    def _expect(self, done: bool) -> None:
        if not done:
            raise DataError(f"{self.sidecar.engine.file}: " + "; ".join(self.heard.errors[-3:]))


def choose(sidecar: Sidecar, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the number of the first profile that takes inputs of these shapes; raises `UsageError` for none."""
    for number, profile in enumerate(sidecar.profiles.values()):
        if all(profile[name].takes(shape) for name, shape in shapes.items()):
            return number
    name = next(iter(shapes))
    limits = ", ".join(f"{title} {reach[name].min} … {reach[name].max}" for title, reach in sidecar.profiles.items())
    raise UsageError(f"{sidecar.engine.file} takes no {name} of {shapes[name]}; its profiles: {limits}")


def least(sidecar: Sidecar, name: str, shape: Sequence[int]) -> int:
    """Return how long an input of this shape has to be made for the profile that takes it with the least silence.

    0 where no profile takes so many recordings, or so long ones.
    """
    return min(
        (
            reach.min[-1]
            for reach in (profile[name] for profile in sidecar.profiles.values())
            if reach.takes((*shape[:-1], max(shape[-1], reach.min[-1])))
        ),
        default=0,
    )


def padded(values: Tensor, size: int) -> Tensor:
    """Return a tensor whose last axis has at least `size` places, the new ones zero."""
    return torch.nn.functional.pad(values, (0, max(0, size - values.shape[-1])))


def _cut(name: str, value: Tensor, frames: int) -> Tensor:
    return value[:, :frames] if name in ("frames", "frame_concentration") else value


def _context(trt: Any, engine: Any, *, eager: bool) -> Any:
    if not eager or not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):  # the library for RTX alone has it
        return engine.create_execution_context()
    config = engine.create_runtime_config()
    config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    return engine.create_execution_context(config)


def _compare(path: Path, engine: Any, sidecar: Sidecar) -> None:
    """Raise `DataError` where an engine's profiles are not those of its sidecar."""
    for number, (title, profile) in enumerate(sidecar.profiles.items()):
        for name, reach in profile.items():
            least, best, most = (tuple(shape) for shape in engine.get_tensor_profile_shape(name, number))
            if Reach(min=least, opt=best, max=most) != reach:
                raise DataError(f"{path}: profile {title} takes {name} of {least} … {most}, its sidecar says otherwise")
