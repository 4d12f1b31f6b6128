"""Models that `valenza export --to hf` wrote, and stock Transformers classifiers of the same emotions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from valenza.errors import UsageError
from valenza.features.batch import FRAME
from valenza.features.spectrogram import SAMPLE_RATE, log_mel
from valenza.inference.hearing import normalised
from valenza.inference.hub import KIND, WAVEFORM, ValenzaForAudioClassification, decision
from valenza.inference.model import Model, TorchEngine
from valenza.inference.whisper import FAR
from valenza.labels.taxonomy import EMOTIONS, POSITION
from valenza.stages.trained import device

WINDOW = 30 * SAMPLE_RATE
_NEVER = FAR / 2
"""A class whose logit has such a bias is never told."""


def load_hf(place: str | Path) -> Model:
    """Return the model of a folder with a Transformers model, or of one on the hub.

    Loads what `valenza export --to hf` writes, and any Wav2Vec2, HuBERT, WavLM or Whisper classifier whose labels are
    emotions of the taxonomy. Raises `UsageError` for what is neither; no code that lies beside the weights is run.
    """
    name = str(Path(place).expanduser()) if Path(place).expanduser().is_dir() else str(place)
    model, normalise = _read(name)
    config = model.config
    details = {"folder" if Path(name).is_dir() else "hub": Path(name).name if Path(name).is_dir() else name}
    about = getattr(config, "about", None) or {}
    details |= {str(key): str(value) for key, value in about.items()}
    if isinstance(model, ValenzaForAudioClassification):
        recogniser = model.__dict__["recogniser"].eval().to(device())
        seen, longest = decision(config).seen, config.longest
        return Model(name, TorchEngine(recogniser), seen, config.framewise, longest, details)
    columns = tuple(_columns(name, config.id2label))
    seen = _told(model, columns)
    stock = model.eval().to(device())
    engine: WindowEngine | WaveformEngine = WindowEngine(stock, columns)
    if config.model_type != "whisper":
        engine = WaveformEngine(stock, columns, normalise, ours="valenza" in about)
    return Model(name, engine, seen, framewise=False, longest=WINDOW, details=details)


def _read(name: str) -> tuple[Any, bool]:
    """Return a model with all of its weights, and whether its feature extractor normalises."""
    try:
        config = AutoConfig.from_pretrained(name)
        if config.model_type not in {KIND, "whisper", *WAVEFORM}:
            raise UsageError(
                f"{name}: is a {config.model_type} model; {KIND}, whisper, {', '.join(WAVEFORM)} are known"
            )
        model, report = AutoModelForAudioClassification.from_pretrained(
            name, config=config, dtype=torch.float32, output_loading_info=True
        )
        normalise = config.model_type in WAVEFORM and AutoFeatureExtractor.from_pretrained(name).do_normalize
    except (OSError, ValueError, RuntimeError, SafetensorError, json.JSONDecodeError) as error:
        raise UsageError(f"{name}: cannot be loaded: {str(error).strip().splitlines()[0]}") from None
    if absent := sorted(report["missing_keys"]):
        raise UsageError(f"{name}: is no trained classifier: it has no weights for {absent[0]}")
    if config.model_type == KIND and (strange := sorted(report["unexpected_keys"])):
        raise UsageError(f"{name}: holds weights of {strange[0]}, for which its configuration has no place")
    return model, bool(normalise)


def _columns(name: str, labels: Mapping[int, str]) -> list[int]:
    """Return the place in the taxonomy of each label."""
    said = [str(labels[number]).lower() for number in sorted(labels)]
    if strange := [label for label in said if label not in POSITION]:
        raise UsageError(f"{name}: its label {strange[0]!r} is not one of {', '.join(EMOTIONS)}")
    return [POSITION[label] for label in said]


def _told(model: Any, columns: Sequence[int]) -> tuple[str, ...]:
    bias = model.classifier.bias.tolist()
    told = {column for column, value in zip(columns, bias, strict=True) if value > _NEVER}
    return tuple(emotion for number, emotion in enumerate(EMOTIONS) if number in told)


@dataclass(frozen=True)
class WaveformEngine:
    """Runs a stock Wav2Vec2, HuBERT or WavLM classifier, and tells what it says of each frame too.

    It is the class itself that hears: which layers it reads, and on which side of the last norm, differs between
    classes and versions of Transformers. It would hear padding, so recordings of one length go through it together.
    """

    model: Any
    columns: tuple[int, ...]
    normalise: bool
    ours: bool
    """Whether a run became this class: runs hear silence up to a whole frame, and the last frame of the class twice."""

    @torch.inference_mode()
    def __call__(
        self, audio: Float32[np.ndarray, "batch samples"], lengths: Int64[np.ndarray, " batch"]
    ) -> dict[str, np.ndarray]:
        """Return the mixture of each recording and of each of its frames, which are 0 past its end."""
        count = -(-audio.shape[1] // FRAME)
        heard = nn.functional.pad(torch.from_numpy(audio), (0, count * FRAME - audio.shape[1]))
        ends = -(-lengths // FRAME) * FRAME if self.ours else lengths
        mixture = np.zeros((len(audio), len(EMOTIONS)), np.float32)
        frames = np.zeros((len(audio), count, len(EMOTIONS)), np.float32)
        for end in np.unique(ends):
            rows = np.flatnonzero(ends == end)
            logits = self._logits(heard[rows, :end])
            each = logits[:, self._places(-(-int(end) // FRAME), logits.shape[1])]
            mixture[rows] = _shares((each if self.ours else logits).mean(dim=1), self.columns)
            frames[rows, : each.shape[1]] = _shares(each, self.columns)
        return {"mixture": mixture, "frames": frames}

    def _logits(self, audio: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch heard classes"]:
        """Return the logits of the frames that the convolutions give; those of a recording are their mean."""
        model = self.model
        if self.normalise:
            audio = normalised(audio, torch.full((len(audio),), -(-audio.shape[1] // FRAME)))
        weighted = bool(model.config.use_weighted_layer_sum)
        encoder = getattr(model, model.base_model_prefix)
        said = encoder(audio.to(encoder.device), output_hidden_states=weighted, return_dict=True)
        read: Tensor = said.last_hidden_state
        if weighted:
            read = torch.stack(said.hidden_states, dim=-1) @ model.layer_weights.softmax(dim=0)
        logits: Tensor = model.classifier(model.projector(read))
        return logits

    def _places(self, count: int, heard: int) -> Int64[Tensor, " count"]:
        """Return which of its frames stands at each 20 ms; the last one for what the convolutions lose at the end."""
        samples = int(self.model.config.inputs_to_logits_ratio)
        return (torch.arange(count) * FRAME // samples).clamp(max=heard - 1)


@dataclass(frozen=True)
class WindowEngine:
    """Runs a stock Whisper classifier, which hears every recording with silence up to 30 s and averages it all."""

    model: Any
    columns: tuple[int, ...]

    @torch.inference_mode()
    def __call__(
        self, audio: Float32[np.ndarray, "batch samples"], lengths: Int64[np.ndarray, " batch"]
    ) -> dict[str, np.ndarray]:
        """Return the mixture of each recording, and the same as that of each of its frames."""
        place = next(self.model.parameters()).device
        heard = nn.functional.pad(torch.from_numpy(audio), (0, WINDOW - audio.shape[1])).to(place)
        logits: Tensor = self.model(log_mel(heard, self.model.config.num_mel_bins, None)).logits
        mixture = _shares(logits, self.columns)
        frames = -(-audio.shape[1] // FRAME)
        return {"mixture": mixture, "frames": np.repeat(mixture[:, None], frames, axis=1)}


def _shares(logits: Float[Tensor, "*batch classes"], columns: Sequence[int]) -> Float32[np.ndarray, "*batch emotions"]:
    """Return the shares of all emotions, 0 of those that the classes leave out."""
    shares = np.zeros((*logits.shape[:-1], len(EMOTIONS)), np.float32)
    shares[..., list(columns)] = logits.softmax(dim=-1).float().cpu().numpy()
    return shares
