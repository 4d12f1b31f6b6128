"""Trained networks as stock Transformers classifiers, where those compute the same."""

from copy import deepcopy
from typing import Any

import torch
import transformers
from jaxtyping import Float64
from torch import Tensor, nn
from transformers import PreTrainedModel, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.hub import labels
from valenza.inference.recogniser import Decision
from valenza.inference.whisper import FAR
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.encoders import WaveformStack, WhisperStack
from valenza.model.layers import JoinedLayers, LayerMixture
from valenza.model.network import Network
from valenza.model.student import Student
from valenza.recipe import Recipe

FAMILIES = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}
_ALIKE = 1e-6
"""By how much shares of layers may differ from channel to channel and still be one share."""


def obstacle(recipe: Recipe, network: Network | Student) -> str:
    """Return why no stock class computes what this network does; empty where one does."""
    if isinstance(network, Student):
        return "a student's moments, context and smoothing are in no stock class"
    head, reader = network.head, network.layer_reader
    if head.emotion == "dirichlet":
        return "a Dirichlet head squares what it reads"
    if head.projection is not None and not isinstance(head.projection[1], nn.Identity):
        return f"the head's projection ends with {recipe.heads.hidden}"
    if isinstance(reader, JoinedLayers) and reader.depth > 1:
        return "the head reads all layers side by side"
    if isinstance(reader, LayerMixture) and folded_layers(reader) is None:
        return "each layer's channels have scales of their own, and a stock mixture has one weight a layer"
    if isinstance(network.encoder, WhisperStack):
        return _whisper_obstacle(recipe)
    stack: Any = network.encoder
    if stack.model.config.do_stable_layer_norm:
        # A mixture is no way round: before Transformers 5.16 its last layer too is read after that norm.
        return "the run reads its last block before the encoder's final norm, and stock classes read it after"
    return ""


def _whisper_obstacle(recipe: Recipe) -> str:
    """The stock class pads to 30 s, attends to all of it and averages all of it, silence too."""
    settings = recipe.evaluation
    if settings.padding != "window" or settings.frames != "unmasked" or recipe.encoder.attention != "window":
        return "stock Whisper averages the silence up to 30 s too, and this run is scored without"
    if recipe.encoder.blocks is not None or recipe.encoder.layers != "last":
        return "stock Whisper reads its last normalised layer, and this run reads others"
    return ""


def folded_layers(
    reader: LayerMixture | JoinedLayers,
) -> tuple[Float64[Tensor, " depth"], Float64[Tensor, " width"], Float64[Tensor, " width"]] | None:
    """Return one share a layer, one factor a channel and what is taken from it, if that is all that a mixture does.

    What is read is Σ_l factor[l, c] · (h[l, c] − mean[l, c]); the factors must be a layer's share times a channel's.
    """
    scale, mean = reader.scale.double(), reader.mean.double()
    share = (
        reader.scores.detach().double().softmax(dim=0) if isinstance(reader, LayerMixture) else torch.ones(1).double()
    )
    factor = share[:, None] / scale
    channel = factor.sum(dim=0)
    of_layer = factor / channel
    if (of_layer - of_layer[:, :1]).abs().max() > _ALIKE:
        return None
    return of_layer.mean(dim=1), channel, (factor * mean).sum(dim=0)


def folded_head(network: Network, decision: Decision) -> tuple[Tensor, Tensor]:
    """Return weight [classes, width] and bias of all that is linear after the layers' shares, the decision included.

    An emotion that training never had gets a weight of zeros and a bias at which its share is 0.
    """
    folded = folded_layers(network.layer_reader)
    assert folded is not None  # noqa: S101 - `obstacle` has looked
    _, factor, taken = folded
    weight, bias = (value.detach().double() for value in (network.head.linear.weight, network.head.linear.bias))
    if network.head.projection is not None:
        first: Any = network.head.projection[0]
        bias = bias + weight @ first.bias.detach().double()
        weight = weight @ first.weight.detach().double()
    bias = (bias - weight @ taken - torch.tensor(decision.shift, dtype=torch.float64)) / decision.temperature
    weight = weight * factor / decision.temperature
    never = torch.tensor([emotion not in decision.seen for emotion in EMOTIONS])
    return weight.masked_fill(never[:, None], 0.0).float(), bias.masked_fill(never, FAR).float()


@torch.no_grad()
def stock_model(network: Network, decision: Decision) -> PreTrainedModel:
    """Return a network as `…ForSequenceClassification` or `WhisperForAudioClassification`, which shares its encoder."""
    weight, bias = folded_head(network, decision)
    stack: Any = network.encoder
    whisper = isinstance(stack, WhisperStack)
    config: Any = deepcopy(stack.encoder.config if whisper else stack.model.config)
    config.update({**labels(), "classifier_proj_size": len(EMOTIONS)})
    config.use_weighted_layer_sum = network.layer_reader.depth > 1
    family = "Whisper" if whisper else FAMILIES[config.model_type]
    task = "AudioClassification" if whisper else "SequenceClassification"
    with torch.device("meta"):
        model: Any = getattr(transformers, f"{family}For{task}")(config)
    if whisper:
        model.encoder = stack.encoder
    else:
        setattr(model, model.base_model_prefix, stack.model)
    # The stock head has two linear layers: the first does it all.
    model.projector = _linear(weight, bias)
    model.classifier = _linear(torch.eye(len(EMOTIONS)), torch.zeros(len(EMOTIONS)))
    _ban(model.projector, model.classifier)
    if config.use_weighted_layer_sum:
        folded = folded_layers(network.layer_reader)
        assert folded is not None  # noqa: S101 - `obstacle` has looked
        model.layer_weights = nn.Parameter(torch.cat([torch.tensor([FAR]), folded[0].log().float()]))
    model.eval()
    written: PreTrainedModel = model
    return written


def _ban(first: nn.Linear, last: nn.Linear) -> None:
    """Move the bias of what is never told to the last layer, where a reader of the folder finds it."""
    never = first.bias <= FAR / 2
    last.bias[never] = first.bias[never]
    first.bias[never] = 0.0


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.copy_(weight)
    linear.bias.copy_(bias)
    return linear


def extractor(network: Network | Student, *, stock: bool) -> Wav2Vec2FeatureExtractor | WhisperFeatureExtractor:
    """Return what turns recordings into a model's inputs.

    Our class takes waveforms as they are with a mask. Encoders with a group norm were trained without masks, and a
    stock class then hears padding: such recordings go through it one at a time.
    """
    stack = network.encoder
    if not stock:
        return Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)
    if isinstance(stack, WhisperStack):
        return WhisperFeatureExtractor(feature_size=stack.hearing.mels)
    assert isinstance(stack, WaveformStack)  # noqa: S101 - there are two kinds
    masked = stack.model.config.feat_extract_norm == "layer"
    return Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLE_RATE, do_normalize=stack.hearing.normalise, return_attention_mask=masked
    )
