"""The scales of the layers: those of frames, or of clips' means, whichever the loss sees."""

import numpy as np
import pytest
import torch

from valenza.features.batch import FRAME, Batch, Hearing, join
from valenza.model.encoders import SpeechEncoder
from valenza.model.heads import FrameHead
from valenza.model.layers import LayerMixture
from valenza.model.network import Network, build_network
from valenza.recipe import Recipe

FRAMES = torch.tensor([[0, 0, 0, 1, 1, -1], [2, 2, 2, 2, -1, -1]])


def heard(inputs: torch.Tensor, frames: torch.Tensor) -> Batch:
    clips = int(frames.max()) + 1
    known = torch.ones(clips, 8, dtype=torch.bool)
    rows = torch.arange(clips)
    return Batch(inputs, frames, rows, torch.full((clips, 8), 1 / 8), known, torch.ones(clips, dtype=torch.bool))


@pytest.mark.parametrize("per_clip", [True, False])
def test_scales_are_of_what_the_loss_sees(per_clip: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    passes = [10 + torch.randn(2, 6, 3, 4, generator=generator) for _ in range(3)]
    network = Network(SpeechEncoder(Hearing("mel"), 4, 3), LayerMixture(2, 4), FrameHead(4, 8, 0.0, per_clip=per_clip))
    network.calibrate(heard(inputs, FRAMES) for inputs in passes)
    for layer in range(2):
        rows = []
        for inputs in passes:
            values = inputs[:, :, layer + 1]
            own = [values[torch.eq(FRAMES, clip)] for clip in range(3)]
            rows += [clip.mean(dim=0, keepdim=True) for clip in own] if per_clip else own
        seen = torch.cat(rows)
        assert len(seen) == (9 if per_clip else 27)
        torch.testing.assert_close(network.layer_reader.mean[layer], seen.mean(dim=0))
        torch.testing.assert_close(
            network.layer_reader.scale[layer], seen.std(dim=0, unbiased=False), rtol=1e-4, atol=1e-5
        )


def test_a_loss_on_clips_calibrates_alike_on_frames_and_on_clips_that_were_heard_once() -> None:
    torch.manual_seed(0)
    recipe = Recipe.model_validate(
        {
            "stage": "utterance",
            "data": {"shards": "none", "train": {"a": 1}},
            "encoder": {
                "new": {"width": 16, "layers": 2, "mels": 16},
                "freeze": ["all"],
                "attention": "clip",
                "layers": "mixture",
            },
            "objective": {"level": "clip"},
            "training": {"steps": 1},
        }
    )
    network = build_network(recipe)
    generator = np.random.default_rng(0)
    clips = [(3000 * generator.standard_normal(n * FRAME)).astype(np.int16) for n in (20, 35, 28)]
    waveform, frames = join(clips)
    network.calibrate([heard(waveform[None], frames[None])])
    scales = network.layer_reader.state_dict()
    means = []
    for clip in clips:
        alone, own = join([clip])
        with torch.no_grad():
            layers = network.layers(alone[None], own[None])
        means.append(torch.stack([layer[0].mean(dim=0) for layer in layers]))
    network.calibrate([heard(torch.stack(means)[None], torch.arange(3)[None])])
    for name, value in network.layer_reader.state_dict().items():
        torch.testing.assert_close(scales[name], value, rtol=1e-3, atol=1e-4)
