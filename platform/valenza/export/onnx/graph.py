"""A trained model as one ONNX file: recordings in, emotions of each and of its frames out."""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from valenza.errors import UsageError
from valenza.export.onnx.weights import draft, keep, write
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.recogniser import Recogniser
from valenza.labels.sequences import FRAME_RATE
from valenza.labels.taxonomy import EMOTIONS
from valenza.version import __version__

Source = Literal["waveform", "mel"]
Precision = Literal["fp32", "fp16", "int8"]
SOURCES: tuple[Source, ...] = ("waveform", "mel")
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
FORMAT = "1"
"""Of the names of inputs, outputs and properties."""


class OfMel(nn.Module):
    """A recogniser that is given spectrograms, for engines whose audio becomes one elsewhere."""

    def __init__(self, recogniser: Recogniser) -> None:
        super().__init__()
        self.recogniser = recogniser

    def forward(self, mel: Float[Tensor, "batch mels steps"], lengths: Int64[Tensor, " batch"]) -> tuple[Tensor, ...]:
        """Return the outputs for Whisper's spectrograms, of which each row has so many frames of two steps."""
        return self.recogniser.of_mel(mel, lengths)


def to_onnx(recogniser: Recogniser, source: Source = "waveform") -> Any:
    """Return a recogniser as an ONNX model in single precision, with any batch and any length up to its window.

    Inputs: `audio` [batch, samples], 16 kHz in −1 … 1, and `lengths` [batch] in samples; or `mel` [batch, mels, steps]
    and `lengths` in frames of two steps. Outputs as `Recogniser.outputs` names them. Raises `UsageError` where the
    encoder takes in no spectrograms.
    """
    try:
        import onnxscript  # noqa: F401 - what torch's exporter is made of
    except ImportError:
        raise UsageError("ONNX files need onnx and onnxscript; `pip install valenza[export]`") from None
    inputs, names, axes = _example(recogniser, source)
    module: nn.Module = recogniser if source == "waveform" else OfMel(recogniser)
    with quiet():
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            dynamic_shapes=(dict.fromkeys(axes, torch.export.Dim.DYNAMIC), {0: torch.export.Dim.DYNAMIC}),
            input_names=names,
            output_names=list(recogniser.outputs),
            verbose=False,
        )
    assert program is not None  # noqa: S101 - only the old exporter returns nothing
    model = program.model_proto
    _name_axes(model, source)
    return model


def _example(recogniser: Recogniser, source: Source) -> tuple[tuple[Tensor, Tensor], list[str], tuple[int, ...]]:
    place = next(recogniser.parameters()).device
    samples = 3 * SAMPLE_RATE
    audio = torch.rand(2, samples, generator=torch.Generator().manual_seed(1)).to(place) * 0.2 - 0.1
    if source == "waveform":
        return (audio, torch.tensor([samples, samples - 7000], device=place)), ["audio", "lengths"], (0, 1)
    if recogniser.spectrogram is None:
        raise UsageError("--source mel: the encoder takes in waveforms; only Whisper hears spectrograms")
    frames = torch.tensor([150, 129], device=place)
    return (recogniser.spectrogram(audio, frames), frames), ["mel", "lengths"], (0, 2)


def _name_axes(model: Any, source: Source) -> None:
    """Call the axes what they are; the exporter has formulas there."""
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        axes[0].dim_param = "batch"
        if value.name == "audio":
            axes[1].dim_param = "samples"
        elif value.name == "mel":
            axes[2].dim_param = "steps"
        elif value.name in ("frames", "frame_concentration"):
            axes[1].dim_param = "frames"


def properties(recogniser: Recogniser, source: Source, more: Mapping[str, str]) -> dict[str, str]:
    """Return what an ONNX file says of itself in `metadata_props`: enough to use it without this project."""
    hearing = recogniser.network.encoder.hearing
    shares = recogniser.shares
    seen = [emotion for emotion, banned in zip(EMOTIONS, shares.banned.tolist(), strict=True) if banned == 0]
    if source == "mel":
        heard = f"log-mel spectrogram as Whisper's feature extractor makes it, {hearing.mels} bands, 100 steps a second"
    else:
        heard = "mono PCM in -1..1; mel spectrogram or normalisation are inside the graph"
    own = {
        "format": FORMAT,
        "labels": json.dumps(EMOTIONS),
        "seen": json.dumps(seen),
        "sample_rate": str(SAMPLE_RATE),
        "frame_rate": str(FRAME_RATE),
        "longest_seconds": f"{hearing.window_samples / SAMPLE_RATE:g}",
        "source": source,
        "preprocessing": heard,
        "mels": str(hearing.mels) if hearing.kind == "mel" else "",
        "temperature": repr(float(shares.temperature)),
        "prior_shift": json.dumps(shares.shift.tolist()),
        "valenza": __version__,
        "torch": torch.__version__.partition("+")[0],
    }
    return own | dict(more)


def finish(model: Any, known: Mapping[str, str]) -> Any:
    """Write properties into a model, and take out the exporter's notes on this machine's files."""
    import onnx

    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.helper.set_model_props(model, dict(known))
    model.producer_name, model.producer_version = "valenza", __version__
    return model


def save(model: Any, path: Path) -> None:
    """Write a model whole or not at all, and leave it as it is; large weights go into `<name>.data` beside it.

    Raises `WriteError`.
    """
    with draft(path) as held:
        write(model, held)
        keep(held, path)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's talk of other packages, and of what it will change, from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
