"""A batch of recordings of unequal length says of each what the network says of it alone."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import waveform_config

from valenza.features.batch import FRAME, hear, join
from valenza.inference.hearing import Spectrogram, frames_of
from valenza.inference.recogniser import Decision, Recogniser
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.heads import FrameHead
from valenza.model.network import Network, build_network
from valenza.model.student import Student, build_student
from valenza.recipe import Recipe
from valenza.stages.once import logits

NONE = (0.0,) * len(EMOTIONS)
FAMILIES: dict[str, dict[str, Any]] = {
    "whisper": {"new": {"family": "whisper", "width": 16, "layers": 2, "mels": 16}},
    "whisper, clip": {"new": {"family": "whisper", "width": 16, "layers": 2, "mels": 16}, "attention": "clip"},
    "every third": {
        "new": {"family": "whisper", "width": 16, "layers": 2},
        "attention": "clip",
        "every": 3,
        "blocks": 1,
    },
    "in parts": {"new": {"family": "whisper", "width": 16, "layers": 2}, "attention": "clip", "chunk": 0.7},
    "both": {"new": {"family": "whisper", "width": 16, "layers": 2}, "attention": "clip", "chunk": 0.7, "every": 4},
    "wav2vec2": {"new": {"family": "wav2vec2", "width": 16, "layers": 2}},
    "hubert": {"new": {"family": "hubert", "width": 16, "layers": 2}},
    "wavlm": {"new": {"family": "wavlm", "width": 16, "layers": 2}},
}


def recipe(
    encoder: dict[str, Any],
    *,
    stage: str = "utterance",
    heads: dict[str, Any] | None = None,
    layers: Literal["last", "mixture", "joined"] = "joined",
    level: str = "frame",
) -> Recipe:
    dirichlet = (heads or {}).get("emotion") == "dirichlet"
    objective = {"level": level} | ({"dirichlet": 1.0, "label_smoothing": 0.1} if dirichlet else {})
    return Recipe.model_validate(
        {
            "stage": stage,
            "data": {"shards": "shards", "train": {"a": 1}},
            "encoder": {**encoder, "layers": layers},
            "heads": heads or {},
            "objective": objective,
            "training": {"steps": 1, "windows_per_step": 1, "peak_lr": 1e-3},
        }
    )


def scrambled(network: Network | Student) -> Network | Student:
    """The network with scales as training would leave them, so that none is 0 or 1 by chance."""
    with torch.no_grad():
        for buffer in (network.layer_reader.mean, network.layer_reader.scale):
            buffer.copy_(torch.rand(buffer.shape) + 0.5)
        for name, parameter in network.named_parameters():
            if "norm" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.2)
    return network.eval()


def voices(lengths: list[int], seed: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        (9000 * np.sin(np.arange(n) * rng.uniform(0.02, 0.3)) + 2000 * rng.standard_normal(n)).astype(np.int16)
        for n in lengths
    ]


def together(model: Recogniser, clips: list[np.ndarray], garbage: float = 0.0) -> dict[str, np.ndarray]:
    lengths = torch.tensor([len(clip) for clip in clips])
    audio = torch.full((len(clips), int(lengths.max())), garbage)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip).float() / 32768
    with torch.inference_mode():
        said = model(audio, lengths)
    return {name: value.numpy() for name, value in zip(model.outputs, said, strict=True)}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "heads", [{}, {"emotion": "dirichlet", "projection": 8, "hidden": "gelu"}], ids=["linear", "α"]
)
def test_each_row_is_what_the_network_says_of_it_alone(family: str, heads: dict[str, Any]) -> None:
    torch.manual_seed(5)
    network = scrambled(build_network(recipe(FAMILIES[family], heads=heads)))
    model = Recogniser(network, Decision(EMOTIONS, NONE)).eval()
    clips = voices([16_000, 7_777, 31_999, 800])
    said = together(model, clips)
    for row, clip in enumerate(clips):
        frames = logits(network, clip)
        shares = torch.from_numpy(frames).softmax(dim=1).numpy()
        assert said["frames"][row, : len(frames)] == pytest.approx(shares, abs=1e-5)
        assert (said["frames"][row, len(frames) :] == 0).all()
        alone = together(model, [clip])
        for name in model.outputs:
            ended = said[name][row][: alone[name].shape[1]] if name.startswith("frame") else said[name][row]
            assert ended == pytest.approx(alone[name][0], abs=2e-5, rel=1e-4), name
        if "frame_concentration" in said:
            strength = np.exp(frames).sum(axis=1)
            assert said["frame_concentration"][row, : len(frames)] == pytest.approx(strength, rel=1e-3)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
def test_large_models_scale_what_they_hear_and_every_layer(family: str) -> None:
    torch.manual_seed(5)
    import transformers

    from valenza.model.encoders import WaveformStack
    from valenza.model.layers import JoinedLayers

    config = waveform_config(
        family,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
    )
    stack = WaveformStack(transformers.AutoModel.from_config(config), normalise=True)
    reader = JoinedLayers(2, 16)
    network = scrambled(Network(stack, reader, FrameHead(reader.width, 8, 0.0)))
    model = Recogniser(network, Decision(EMOTIONS, NONE)).eval()
    clips = voices([16_000, 9_600, 20_001])
    said = together(model, clips)
    for row, clip in enumerate(clips):
        shares = torch.from_numpy(logits(network, clip)).softmax(dim=1).numpy()
        assert said["frames"][row, : len(shares)] == pytest.approx(shares, abs=1e-5)


@pytest.mark.parametrize("level", ["frame", "clip"])
@pytest.mark.parametrize("layers", ["last", "mixture", "joined"])
def test_a_recording_is_its_mean(level: str, layers: Literal["last", "mixture", "joined"]) -> None:
    from valenza.evaluation.listen import listen

    torch.manual_seed(5)
    heads = {"projection": 8, "hidden": "tanh"}
    network = scrambled(build_network(recipe(FAMILIES["whisper, clip"], heads=heads, layers=layers, level=level)))
    model = Recogniser(network, Decision(EMOTIONS, NONE)).eval()
    clips = voices([16_000, 7_777, 31_999])
    said = together(model, clips)
    heard = listen(network, clips, len(clips), padding="none", label="")
    assert said["logits"] == pytest.approx(heard.logits["masked"], abs=2e-5)


@pytest.mark.parametrize(
    "heads", [{}, {"emotion": "dirichlet", "projection": 8, "hidden": "relu"}], ids=["linear", "α"]
)
def test_a_student_follows_each_recording(heads: dict[str, Any]) -> None:
    torch.manual_seed(5)
    student = scrambled(build_student(recipe(FAMILIES["every third"], heads=heads)))
    model = Recogniser(student, Decision(EMOTIONS, NONE)).eval()
    clips = voices([40_000, 9_999, 16_000])
    said = together(model, clips)
    for row, clip in enumerate(clips):
        frames = logits(student, clip)
        shares = torch.from_numpy(frames).softmax(dim=1).numpy()
        assert said["frames"][row, : len(frames)] == pytest.approx(shares, abs=1e-5)
        assert said["mixture"][row] == pytest.approx(shares.mean(axis=0), abs=1e-5)
        assert np.exp(said["logits"][row]) == pytest.approx(shares.mean(axis=0), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(640, 20_000), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_spectrogram_is_that_of_each_recording_alone(lengths: list[int], seed: int) -> None:
    clips = voices(lengths, seed)
    whole = -(-max(lengths) // FRAME) * FRAME
    audio = torch.zeros(len(clips), whole)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip).float() / 32768
    mel = Spectrogram(80)(audio, frames_of(torch.tensor(lengths)))
    for row, clip in zip(mel, clips, strict=True):
        waveform, clip_of_frame = (tensor[None] for tensor in join([clip]))
        from valenza.features.batch import Hearing

        alone = hear(waveform, clip_of_frame, Hearing("mel", 80))[0]
        torch.testing.assert_close(row[:, : alone.shape[1]], alone, atol=2e-4, rtol=0)
        assert (row[:, alone.shape[1] :] == 0).all()


def test_what_lies_past_the_end_is_never_heard() -> None:
    torch.manual_seed(5)
    for encoder in (FAMILIES["whisper"], FAMILIES["wav2vec2"]):
        model = Recogniser(scrambled(build_network(recipe(encoder))), Decision(EMOTIONS, NONE)).eval()
        clips = voices([8_000, 16_000])
        silent, noisy = together(model, clips), together(model, clips, garbage=0.7)
        for name in model.outputs:
            assert (silent[name] == noisy[name]).all(), name


def test_shares_are_those_of_the_protocol() -> None:
    from valenza.evaluation.protocol import predict

    rng = np.random.default_rng(1)
    prior = np.array([0.3, 0.2, 0.0, 0.1, 0.0, 0.2, 0.0, 0.2])
    seen = tuple(e for e, mass in zip(EMOTIONS, prior, strict=True) if mass > 0)
    shift = tuple(float(np.log(mass)) if mass > 0 else 0.0 for mass in prior)
    torch.manual_seed(5)
    network = scrambled(build_network(recipe(FAMILIES["whisper"])))
    model = Recogniser(network, Decision(seen, shift, temperature=1.7))
    some = rng.normal(size=(40, 8)) * 4
    wanted = predict(some, seen, prior, temperature=1.7)
    found = model.shares(torch.from_numpy(some).float()).numpy()
    assert found == pytest.approx(wanted, abs=1e-6)
    assert (found[:, prior == 0] == 0).all()
