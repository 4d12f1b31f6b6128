"""Models that `valenza export --to hf` wrote, and stock Transformers classifiers of the same emotions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from valenza.errors import UsageError
from valenza.features.batch import FRAME
from valenza.features.spectrogram import SAMPLE_RATE, log_mel
from valenza.inference.hub import KIND, WAVEFORM, ValenzaForAudioClassification, decision
from valenza.inference.model import Model, TorchEngine
from valenza.inference.recogniser import Decision, Recogniser
from valenza.inference.whisper import FAR
from valenza.labels.taxonomy import EMOTIONS, POSITION
from valenza.model.encoders import WaveformStack
from valenza.model.heads import FrameHead
from valenza.model.layers import LayerMixture
from valenza.model.network import Network
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
    details |= {str(key): str(value) for key, value in (getattr(config, "about", None) or {}).items()}
    if isinstance(model, ValenzaForAudioClassification):
        recogniser = model.__dict__["recogniser"].eval().to(device())
        seen, longest = decision(config).seen, config.longest
        return Model(name, TorchEngine(recogniser), seen, config.framewise, longest, details)
    columns = _columns(name, config.id2label)
    seen = _told(model, columns)
    if config.model_type == "whisper":
        engine = WindowEngine(model.eval().to(device()), tuple(columns))
        return Model(name, engine, seen, framewise=False, longest=WINDOW, details=details)
    recogniser = Recogniser(_network(name, model, columns, normalise=normalise), Decision(seen, (0.0,) * len(EMOTIONS)))
    longest = recogniser.network.encoder.hearing.window_samples
    return Model(
        name, TorchEngine(recogniser.eval().to(device())), seen, framewise=False, longest=longest, details=details
    )


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


@torch.no_grad()
def _network(name: str, model: Any, columns: Sequence[int], *, normalise: bool) -> Network:
    """Return a stock classifier of waveforms as our network: it then hears recordings of unequal length together."""
    stack = WaveformStack(getattr(model, model.base_model_prefix), normalise=normalise)
    weighted = bool(model.config.use_weighted_layer_sum)
    reader = LayerMixture(stack.depth if weighted else 1, stack.width)
    if weighted:
        if model.layer_weights.softmax(dim=0)[0] > 1e-6:
            raise UsageError(f"{name}: reads what goes into the first block too, which our networks do not")
        reader.scores.copy_(model.layer_weights[1:])
    head = FrameHead(stack.width, len(EMOTIONS), 0.0, projection=model.config.classifier_proj_size)
    assert head.projection is not None  # noqa: S101 - it was asked for
    head.projection[0] = model.projector
    nn.init.zeros_(head.linear.weight)
    nn.init.zeros_(head.linear.bias)
    head.linear.weight[list(columns)] = model.classifier.weight
    head.linear.bias[list(columns)] = model.classifier.bias
    return Network(stack, reader, head)


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
        heard = torch.nn.functional.pad(torch.from_numpy(audio), (0, WINDOW - audio.shape[1])).to(place)
        logits: Tensor = self.model(log_mel(heard, self.model.config.num_mel_bins, None)).logits
        mixture = np.zeros((len(audio), len(EMOTIONS)), np.float32)
        mixture[:, list(self.columns)] = logits.softmax(dim=-1).float().cpu().numpy()
        frames = -(-audio.shape[1] // FRAME)
        return {"mixture": mixture, "frames": np.repeat(mixture[:, None], frames, axis=1)}
