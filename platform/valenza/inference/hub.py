"""Trained networks as Transformers models; importing this module registers them with its Auto classes.

`from_pretrained` and `pipeline("audio-classification")` then load an exported folder like any other: its code is this
file's, and none that lies beside the weights.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForAudioClassification,
    PreTrainedConfig,
    PreTrainedModel,
    WhisperConfig,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from transformers.utils import ModelOutput

from valenza.errors import UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.hearing import Spectrogram
from valenza.inference.model import SHORTEST
from valenza.inference.recogniser import Decision, Recogniser, Shares
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.encoders import WaveformStack, WhisperStack
from valenza.model.heads import FrameHead
from valenza.model.layers import JoinedLayers, LayerMixture
from valenza.model.network import Network
from valenza.model.student import Student, StudentHead
from valenza.recipe import Encoder, Heads, Recipe

KIND = "valenza"
WAVEFORM = ("wav2vec2", "hubert", "wavlm")
READS = ("attention", "layers", "blocks", "every", "chunk")
"""What a recipe says of how its encoder hears and is read."""
OF_ELSEWHERE = ("_name_or_path", "architectures", "transformers_version", "dtype", "id2label", "label2id")
"""What the configuration of an encoder says of where it came from."""


class ValenzaConfig(PreTrainedConfig):  # type: ignore[misc]
    """All that a network is built from but its weights; `from_pretrained` asks no hub for the encoder under it."""

    model_type = KIND
    encoder: dict[str, Any] | None
    """The encoder's own configuration, as Transformers has it."""
    reads: dict[str, Any] | None
    """As a recipe's `encoder`: `attention`, `layers`, `blocks`, `every`, `chunk`."""
    normalise: bool
    """Whether waveforms are brought to zero mean and unit variance."""
    heads: dict[str, Any] | None
    """As in a recipe."""
    per_clip: bool
    """Whether the head's projection acts on a recording's mean, as `objective.level: clip` has it."""
    framewise: bool
    """Whether it follows emotions over time."""
    seen: list[str]
    """Emotions that training had; no other is ever told."""
    shift: list[float]
    """What is taken from each logit: the logarithm of the training prior, or nothing."""
    temperature: float
    longest: int
    """Samples that are heard at once."""
    about: dict[str, str]
    """Where it comes from."""

    def __init__(
        self,
        *,
        encoder: dict[str, Any] | None = None,
        reads: dict[str, Any] | None = None,
        normalise: bool = False,
        heads: dict[str, Any] | None = None,
        per_clip: bool = False,
        framewise: bool = False,
        seen: list[str] | None = None,
        shift: list[float] | None = None,
        temperature: float = 1.0,
        longest: int = 30 * SAMPLE_RATE,
        about: dict[str, str] | None = None,
        **others: Any,
    ) -> None:
        self.encoder, self.reads, self.heads = encoder, reads, heads
        self.normalise, self.per_clip, self.framewise = normalise, per_clip, framewise
        self.seen = list(EMOTIONS) if seen is None else seen
        self.shift = [0.0] * len(EMOTIONS) if shift is None else shift
        self.temperature, self.longest, self.about = temperature, longest, about or {}
        super().__init__(**others)


@dataclass
class EmotionOutput(ModelOutput):  # type: ignore[misc]
    """What is said of a batch of recordings."""

    logits: Float[Tensor, "batch classes"] | None = None
    """Of whole recordings: their softmax is the mixture, exactly 0 for emotions that training never had."""
    frames: Float[Tensor, "batch frames classes"] | None = None
    """The mixture of every 20 ms; zeros past a recording's end."""
    concentration: Float[Tensor, " batch"] | None = None
    """Of Dirichlet heads: Σα, how sure it is."""
    frame_concentration: Float[Tensor, "batch frames"] | None = None
    """The same of every 20 ms."""


class ValenzaForAudioClassification(PreTrainedModel):  # type: ignore[misc]
    """Recordings to emotions; a padded row says what its recording alone would."""

    config_class = ValenzaConfig
    main_input_name = "input_values"
    _supports_sdpa = True

    def __init__(self, config: ValenzaConfig, recogniser: Recogniser | None = None) -> None:
        super().__init__(config)
        trained = recogniser is not None
        recogniser = recogniser or Recogniser(build(config), decision(config))
        # Its rows hold the encoder a second time; weights are told and written once, under the names of a checkpoint.
        self.__dict__["recogniser"] = recogniser
        self.network, self.shares, self.spectrogram = recogniser.network, recogniser.shares, recogniser.spectrogram
        if trained:
            for module in self.modules():
                module._is_hf_initialized = True
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: torch.nn.Module) -> None:
        """Fill what is not in the file of weights; Transformers builds a model without values before it loads it."""
        fresh: torch.nn.Module
        if isinstance(module, Spectrogram):
            fresh = Spectrogram(module.filters.shape[0])
        elif isinstance(module, Shares):
            fresh = Shares(decision(self.config))
        else:
            super()._init_weights(module)
            return
        for name, buffer in module.named_buffers():
            buffer.copy_(fresh.get_buffer(name))

    def forward(
        self,
        input_values: Float[Tensor, "batch samples"],
        attention_mask: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> EmotionOutput | tuple[Tensor, ...]:
        """Return what is said of 16 kHz audio in −1 … 1; the mask is 1 for each recording's own samples, 0 after them.

        What is shorter than 0.1 s is heard with silence after it. Raises `ValueError` for what is longer than the
        encoder's window; `valenza predict` cuts such recordings.
        """
        samples = input_values.shape[1]
        if samples > self.config.longest:
            limit = self.config.longest / SAMPLE_RATE
            raise ValueError(f"{samples / SAMPLE_RATE:.1f} s of audio where {limit:g} s are heard at once: cut it")
        lengths = _lengths(input_values, attention_mask)
        audio = torch.nn.functional.pad(input_values.float(), (0, max(0, SHORTEST - samples)))
        recogniser: Recogniser = self.__dict__["recogniser"]
        said = dict(zip(recogniser.outputs, recogniser(audio, lengths), strict=True))
        shares = recogniser.shares
        output = EmotionOutput(
            logits=(said["logits"] - shares.shift) / shares.temperature + shares.banned,
            frames=said["frames"],
            concentration=said.get("concentration"),
            frame_concentration=said.get("frame_concentration"),
        )
        return output if return_dict is not False else output.to_tuple()


def _lengths(audio: Float[Tensor, "batch samples"], mask: Tensor | None) -> Int64[Tensor, " batch"]:
    if mask is None:
        return torch.full(audio.shape[:1], max(audio.shape[1], SHORTEST), device=audio.device)
    if not (mask[:, 1:] <= mask[:, :-1]).all():
        raise ValueError("attention_mask: padding stands after a recording, not before or within it")
    return mask.sum(dim=1).long().clamp(min=SHORTEST)


def decision(config: ValenzaConfig) -> Decision:
    """Return how logits become shares."""
    return Decision(tuple(config.seen), tuple(config.shift), config.temperature)


def config_of(recipe: Recipe, recogniser: Recogniser, chosen: Decision, about: dict[str, str]) -> ValenzaConfig:
    """Return the configuration of a recipe's network, trained, and of how it decides."""
    stack: Any = recogniser.network.encoder
    encoder = stack.encoder.config if isinstance(stack, WhisperStack) else stack.model.config
    return ValenzaConfig(
        encoder=_portable(encoder),
        reads=recipe.encoder.model_dump(mode="json", include=set(READS)),
        normalise=stack.hearing.normalise,
        heads=recipe.heads.model_dump(mode="json"),
        per_clip=recipe.objective.level == "clip",
        framewise=isinstance(recogniser.network, Student),
        seen=list(chosen.seen),
        shift=list(chosen.shift),
        temperature=chosen.temperature,
        longest=stack.hearing.window_samples,
        about=about,
        **labels(),
    )


def labels() -> dict[str, dict[Any, Any]]:
    """Return `id2label` and `label2id` of the taxonomy, whatever of it training had."""
    return {"id2label": dict(enumerate(EMOTIONS)), "label2id": {name: i for i, name in enumerate(EMOTIONS)}}


def _portable(encoder: PreTrainedConfig) -> dict[str, Any]:
    """Return what an encoder's configuration says of its network, and nothing of where it came from."""
    said = encoder.to_diff_dict()
    kept = {name: value for name, value in said.items() if name not in OF_ELSEWHERE}
    return {**kept, "model_type": encoder.model_type}


def build(config: ValenzaConfig) -> Network | Student:
    """Return the network of a configuration, without its weights; raises `UsageError` for one that is not ours."""
    said = dict(config.encoder or {})
    family = said.pop("model_type", None)
    reads = Encoder.model_validate({"new": {}, **(config.reads or {})})
    heads = Heads.model_validate(config.heads or {})
    stack: WhisperStack | WaveformStack
    if family == "whisper":
        whisper = WhisperEncoder(WhisperConfig(**said))
        alone = reads.attention == "clip"
        stack = WhisperStack(whisper, alone=alone, blocks=reads.blocks, every=reads.every, chunk=reads.chunk)
    elif family in WAVEFORM:
        stack = WaveformStack(AutoModel.from_config(AutoConfig.for_model(family, **said)), normalise=config.normalise)
    else:
        raise UsageError(
            f"config.json: its encoder is of the kind {family!r}; whisper, {', '.join(WAVEFORM)} are known"
        )
    depth = 1 if reads.layers == "last" else stack.depth
    width = 2 * stack.width if config.framewise else stack.width
    reader = (JoinedLayers if reads.layers == "joined" else LayerMixture)(depth, width)
    if config.framewise:
        return Student(stack, reader, StudentHead(reader.width, len(EMOTIONS), heads), heads.context)
    head = FrameHead(
        reader.width,
        len(EMOTIONS),
        heads.dropout,
        projection=heads.projection,
        hidden=heads.hidden,
        per_clip=config.per_clip,
        emotion=heads.emotion,
    )
    return Network(stack, reader, head)


def _register() -> None:
    AutoConfig.register(KIND, ValenzaConfig, exist_ok=True)
    AutoModelForAudioClassification.register(ValenzaConfig, ValenzaForAudioClassification, exist_ok=True)
    # `pipeline` looks here for the classes of its task, and complains of others.
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES[KIND] = ValenzaForAudioClassification.__name__


_register()
