"""Classifiers of others say in `load_hf` what their own class says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import waveform_config
from transformers import AutoModelForAudioClassification, PreTrainedModel, Wav2Vec2FeatureExtractor

from valenza.errors import UsageError
from valenza.features.batch import FRAME
from valenza.inference.pretrained import load_hf
from valenza.labels.taxonomy import EMOTIONS

LABELS = ("Sadness", "neutral", "ANGER", "happiness")
LENGTHS = (16_000, 1_600, 16_001, 16_079, 23_456, 16_080, 16_000, 16_319)
"""Around a whole frame, around the frame that the convolutions lose, and one of them twice."""
Write = Callable[..., PreTrainedModel]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a tiny classifier to `tmp_path`, so scrambled that every norm, layer and frame matters."""

    def written(family: str, *, stable: bool = False, weighted: bool = False, **others: Any) -> PreTrainedModel:
        torch.manual_seed(1)
        config = waveform_config(
            family,
            classifier_proj_size=6,
            feat_extract_norm="layer" if stable else "group",
            conv_bias=stable,
            do_stable_layer_norm=stable,
            use_weighted_layer_sum=weighted,
            **{"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}} | others,
        )
        model: PreTrainedModel = AutoModelForAudioClassification.from_config(config).eval()
        with torch.no_grad():
            for name, value in model.named_parameters():
                value.add_(torch.randn(value.shape) * (0.5 if "norm" in name or "weights" in name else 0.2))
            model.classifier.weight.mul_(4)
        model.save_pretrained(tmp_path)
        Wav2Vec2FeatureExtractor(do_normalize=stable, return_attention_mask=False).save_pretrained(tmp_path)
        return model

    return written


def voices() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [
        (9000 * np.sin(np.arange(n) * rng.uniform(0.02, 0.3)) + 2000 * rng.standard_normal(n)).astype(np.int16)
        for n in LENGTHS
    ]


@pytest.mark.parametrize("weighted", [False, True], ids=["last", "weighted"])
@pytest.mark.parametrize("stable", [False, True], ids=["plain", "stable"])
@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
@torch.inference_mode()
def test_a_recording_of_any_length_gets_the_shares_of_the_stock_class(
    family: str, stable: bool, weighted: bool, write: Write, tmp_path: Path
) -> None:
    stock = write(family, stable=stable, weighted=weighted)
    extract = Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)
    model, clips = load_hf(tmp_path), voices()
    assert model.seen == ("happiness", "sadness", "anger", "neutral")
    columns = [EMOTIONS.index(label.lower()) for label in LABELS]
    told = model.hear(clips)
    for said, clip in zip(told, clips, strict=True):
        inputs = extract(clip / np.float32(32768), sampling_rate=16_000, return_tensors="pt")
        wanted = stock(inputs["input_values"]).logits[0].softmax(dim=-1).numpy()
        np.testing.assert_allclose(said.mixture[columns], wanted, atol=1e-5)
        assert said.mixture.sum() == pytest.approx(1)
    apart = np.ptp([said.mixture for said in told], axis=0).max()
    assert apart > 1e-3, "what all recordings get alike tells nothing of how they were heard"


@torch.inference_mode()
def test_a_frame_gets_the_shares_of_what_the_class_averages(write: Write, tmp_path: Path) -> None:
    stock: Any = write("wav2vec2")
    columns = [EMOTIONS.index(label.lower()) for label in LABELS]
    clips = voices()
    for said, clip in zip(load_hf(tmp_path).hear(clips), clips, strict=True):
        hidden = stock.wav2vec2(torch.from_numpy(clip / np.float32(32768))[None]).last_hidden_state
        wanted = stock.classifier(stock.projector(hidden))[0].softmax(dim=-1).numpy()
        assert len(said.frames) == -(-len(clip) // FRAME)
        np.testing.assert_allclose(said.frames[: len(wanted), columns], wanted, atol=1e-5)
        lost = said.frames[len(wanted) :]
        assert len(lost) in (1, 2)
        assert (lost == said.frames[len(wanted) - 1]).all(), "what the convolutions lose is as the frame before it"


def test_frames_of_another_length_stand_where_they_were_heard(write: Write, tmp_path: Path) -> None:
    """A class that hears a frame in 40 ms tells each of them for 40 ms."""
    write("hubert", conv_stride=(5, 2, 2, 2, 2, 2, 4))
    frames = load_hf(tmp_path).hear(voices()[:1])[0].frames
    assert len(frames) == 50
    assert (frames[::2] == frames[1::2]).all()
    assert len(np.unique(frames, axis=0)) == 25


def test_labels_that_are_no_emotions_of_ours_are_refused(write: Write, tmp_path: Path) -> None:
    write("wav2vec2", id2label={0: "boredom", 1: "anger"}, label2id={"boredom": 0, "anger": 1})
    with pytest.raises(UsageError, match="its label 'boredom' is not one of happiness"):
        load_hf(tmp_path)
