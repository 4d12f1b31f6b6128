"""Whisper's log-mel spectrogram as an ONNX file, for networks that are given spectrograms."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from valenza.errors import UsageError
from valenza.export.onnx.graph import FORMAT, finish, quiet
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.hearing import Spectrogram, frames_of, own, whole

OUTPUTS = ("mel", "mel_lengths")


class OfAudio(nn.Module):
    """Waveforms to what the mel form of a recogniser takes in."""

    def __init__(self, mels: int) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(mels)

    def forward(
        self, audio: Float[Tensor, "batch samples"], lengths: Int64[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch mels steps"], Int64[Tensor, " batch"]]:
        """Return spectrograms of two steps a frame, and how many frames each row has."""
        heard, frames = whole(audio), frames_of(lengths)
        return self.spectrogram(heard * own(heard.shape[1], lengths), frames), frames


def spectrogram_to_onnx(mels: int) -> Any:
    """Return an ONNX model with any batch and any length.

    Inputs: `audio` [batch, samples], 16 kHz in −1 … 1, and `lengths` [batch] in samples. Outputs: `mel`
    [batch, mels, steps] and `mel_lengths` [batch] in frames of two steps, which is what the `mel` and `lengths` of a
    recogniser's mel form are.
    """
    try:
        import onnxscript  # noqa: F401 - what torch's exporter is made of
    except ImportError:
        raise UsageError("ONNX files need onnx and onnxscript; `pip install valenza[export]`") from None
    samples = 3 * SAMPLE_RATE
    audio = torch.rand(2, samples, generator=torch.Generator().manual_seed(1)) * 0.2 - 0.1
    free = torch.export.Dim.DYNAMIC
    with quiet():
        program = torch.onnx.export(
            OfAudio(mels).eval(),
            (audio, torch.tensor([samples, samples - 7000])),
            dynamo=True,
            dynamic_shapes=({0: free, 1: free}, {0: free}),
            input_names=["audio", "lengths"],
            output_names=list(OUTPUTS),
            verbose=False,
        )
    assert program is not None  # noqa: S101 - only the old exporter returns nothing
    model = program.model_proto
    graph = model.graph
    names = {"audio": ("batch", "samples"), "mel": ("batch", None, "steps")}
    for value in (*graph.input, *graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, names.get(value.name, ("batch",)), strict=True):
            if name is not None:
                axis.dim_param = name
    known = {"format": FORMAT, "source": "waveform", "sample_rate": str(SAMPLE_RATE), "mels": str(mels)}
    return finish(model, known)
