"""Which networks a stock class of Transformers computes, and which it does not."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny import waveform_config

from valenza.export.hub.stock import folded_layers, obstacle, stock_model
from valenza.inference.recogniser import Decision, Recogniser
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.encoders import WaveformStack
from valenza.model.heads import FrameHead
from valenza.model.layers import LayerMixture
from valenza.model.network import Network
from valenza.recipe import Recipe

DECISION = Decision(EMOTIONS, (0.0,) * len(EMOTIONS))
DATA = {"shards": "shards", "train": {"a": 1}}
TRAINING = {"steps": 1, "windows_per_step": 1, "peak_lr": 1e-3}


def network_of(family: str, *, stable: bool, depth: int) -> Network:
    """A network that reads the last `depth` layers of an encoder whose norms are not as they began."""
    torch.manual_seed(1)
    config = waveform_config(
        family,
        do_stable_layer_norm=stable,
    )
    stack = WaveformStack(transformers.AutoModel.from_config(config), normalise=False)
    network = Network(stack, LayerMixture(depth, 16), FrameHead(16, len(EMOTIONS), 0.0)).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "norm" in name or name == "head.linear.weight":
                value.add_(torch.randn(value.shape) * 0.5)
    return network


def differ(network: Network) -> float:
    """The most by which the shares of a network and of its stock class differ, over the frames that both have."""
    audio = torch.from_numpy(np.random.default_rng(1).uniform(-0.5, 0.5, (1, 16_000)).astype(np.float32))
    with torch.inference_mode():
        frames = Recogniser(network, DECISION).rows(audio, torch.tensor([50]))
        mine = network.head(network.layer_reader(frames)[:, :-1].mean(dim=1)).softmax(dim=-1)
        stock: Any = stock_model(network, DECISION)
        return float((stock(audio).logits.softmax(dim=-1) - mine).abs().max())


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_an_encoder_with_a_final_norm_is_no_stock_class(family: str, depth: int) -> None:
    """Our networks read its last block before that norm, and stock classes after; of a mixture before 5.16 only."""
    layers = "last" if depth == 1 else "mixture"
    encoder = {"new": {"family": family}, "layers": layers}
    recipe = Recipe.model_validate({"stage": "utterance", "data": DATA, "encoder": encoder, "training": TRAINING})
    plain, large = (network_of(family, stable=stable, depth=depth) for stable in (False, True))
    assert obstacle(recipe, plain) == ""
    assert differ(plain) < 1e-5
    assert "before the encoder's final norm" in obstacle(recipe, large)
    if depth == 1:
        assert differ(large) > 1e-3


def test_scales_that_are_a_layers_times_a_channels_fold_into_a_stock_mixture() -> None:
    torch.manual_seed(0)
    reader = LayerMixture(3, 5)
    reader.scores.data = torch.randn(3)
    assert folded_layers(reader) is not None
    of_layer, of_channel = torch.rand(3, 1) + 0.5, torch.rand(1, 5) + 0.5
    reader.scale.copy_(of_layer * of_channel)
    reader.mean.copy_(torch.randn(3, 5))
    share, factor, taken = folded_layers(reader) or ()
    layers = [torch.randn(1, 4, 5) for _ in range(3)]
    stock = sum(weight * layer.double() for weight, layer in zip(share, layers, strict=True)) * factor - taken
    torch.testing.assert_close(stock.float(), reader(layers).detach())
    assert share.sum().item() == pytest.approx(1)
    reader.scale[1, 2] *= 1.01
    assert folded_layers(reader) is None
