"""Exported files in ONNX Runtime."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64

from valenza.errors import DataError, UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.hearing import Spectrogram, frames_of, own, whole
from valenza.inference.model import Model
from valenza.labels.taxonomy import EMOTIONS


@dataclass(frozen=True)
class OnnxEngine:
    """Runs an exported file on this machine's CPU, or on its GPU where ONNX Runtime was built for it."""

    session: Any
    spectrogram: Spectrogram | None = None
    """Of a file that is given spectrograms."""

    def __call__(
        self, audio: Float32[np.ndarray, "batch samples"], lengths: Int64[np.ndarray, " batch"]
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a recogniser by name."""
        names = [output.name for output in self.session.get_outputs()]
        said = self.session.run(names, self._inputs(audio, lengths))
        return dict(zip(names, said, strict=True))

    @torch.inference_mode()
    def _inputs(self, audio: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        if self.spectrogram is None:
            return {"audio": audio, "lengths": lengths}
        samples, heard = torch.from_numpy(lengths), whole(torch.from_numpy(audio))
        frames = frames_of(samples)
        mel = self.spectrogram(heard * own(heard.shape[1], samples), frames)
        return {"mel": mel.numpy(), "lengths": frames.numpy()}


def open_session(path: Path) -> Any:
    """Return an ONNX file ready to run; raises `UsageError` without ONNX Runtime, `DataError` for what is no such file.

    It uses as many threads as PyTorch does here.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(f"{path} needs ONNX Runtime; `pip install valenza[export]`") from None
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [provider for provider in wanted if provider in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # the library's own classes share no base but this one
        raise DataError(f"{path}: cannot be read as an ONNX network: {str(error).splitlines()[0]}") from None


def load_onnx(path: Path) -> Model:
    """Return the model of a file that `valenza export` wrote; raises `DataError` for any other network."""
    session = open_session(path)
    known = dict(session.get_modelmeta().custom_metadata_map)
    try:
        if tuple(json.loads(known["labels"])) != EMOTIONS:
            raise DataError(f"{path}: tells {known['labels']}, and not the emotions of this version")
        seen = tuple(str(emotion) for emotion in json.loads(known["seen"]))
        longest = int(float(known["longest_seconds"]) * SAMPLE_RATE)
        spectrogram = Spectrogram(int(known["mels"])).eval() if known["source"] == "mel" else None
        framewise = known["framewise"] == "true"
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: was not written by `valenza export`: {error} in its properties") from None
    return Model(str(path), OnnxEngine(session, spectrogram), seen, framewise, longest, known)
