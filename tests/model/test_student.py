"""The frame-level network against slow loops: what it hears around a moment, and what it makes of a frame."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from valenza.features.batch import SILENCE, Batch
from valenza.model.student import HOP, Context, Student, StudentHead, build_student, moments
from valenza.recipe import Heads, NewEncoder, Recipe

LENGTHS = st.lists(st.integers(1, 75), min_size=1, max_size=4)
WAYS: dict[str, dict[str, object]] = {
    "clip": {"attention": "clip"},
    "cut": {"attention": "clip", "blocks": 1, "every": 2, "chunk": 0.4},
    "window": {"attention": "window"},
    "waveform": {"family": "wav2vec2"},
}
each_way = pytest.mark.parametrize("way", WAYS)


def student(way: str = "cut", heads: Heads | None = None, **settings: object) -> Student:
    """A student with random weights; layers are brought to scales that a calibration would give."""
    torch.manual_seed(3)
    settings = {"layers": "joined", **WAYS[way], **settings}
    new = NewEncoder(family=settings.pop("family", "whisper"), width=32, layers=2, attention_heads=2)  # type: ignore[arg-type]
    heads = heads or Heads(projection=8, hidden="gelu")
    dirichlet = {"dirichlet": 0.1, "label_smoothing": 0.05} if heads.emotion == "dirichlet" else {}
    recipe = Recipe.model_validate(
        {
            "stage": "utterance",
            "data": {"shards": "s", "train": {"a": 1}},
            "training": {"steps": 1},
            "encoder": {"new": new.model_dump(), **settings},
            "heads": heads.model_dump(),
            "objective": dirichlet,
        }
    )
    built = build_student(recipe).eval()
    built.layer_reader.scale.fill_(0.3)
    return built


def own_of(lengths: list[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def clips_of(lengths: list[int]) -> Tensor:
    """Which recording is heard in each frame of a batch."""
    return torch.where(own_of(lengths), torch.arange(len(lengths))[:, None], SILENCE)


def sounds(lengths: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [(3000 * torch.randn(320 * frames, generator=generator)).short() for frames in lengths]


def batch_of(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Recordings as waveforms, filled up with silence."""
    filled = [nn.functional.pad(sound, (0, 320 * max(lengths) - len(sound))) for sound in sounds(lengths)]
    return torch.stack(filled), clips_of(lengths)


@given(LENGTHS, st.floats(0.05, 3.0))
def test_context_is_mean_and_deviation_of_the_frames_around_a_moment(lengths: list[int], seconds: float) -> None:
    frames = torch.from_numpy(np.random.default_rng(0).normal(1, 2, (len(lengths), max(lengths), 3)))
    context = Context(seconds)
    found = context(frames, own_of(lengths)).numpy()
    assert found.shape == (len(lengths), moments(max(lengths)), 6)
    assert context.groups % 2 == 1
    assert abs(context.groups - max(1, seconds * 5)) <= 1.5
    for row, length in enumerate(lengths):
        for moment in range(moments(max(lengths))):
            first = HOP * (moment - context.groups // 2)
            around = frames[row, max(first, 0) : max(min(first + HOP * context.groups, length), 0)].numpy()
            mean, deviation = found[row, moment, :3], found[row, moment, 3:]
            if not len(around):
                assert (mean == 0).all()
                assert (deviation <= 1e-3 + 1e-9).all()
                continue
            np.testing.assert_allclose(mean, around.mean(axis=0), atol=1e-6)
            np.testing.assert_allclose(deviation, np.maximum(around.std(axis=0), 1e-3), atol=1e-5)


def test_context_is_not_moved_by_what_is_not_the_recordings_own() -> None:
    context, own = Context(1.4), own_of([7, 33])
    frames = torch.randn(2, 33, 4)
    other = torch.where(own[..., None], frames, 1e4)
    torch.testing.assert_close(context(frames, own), context(other, own))


@torch.no_grad()
@each_way
@pytest.mark.parametrize("lengths", [[47, 80], [1, 33, 95], [60, 20, 60]])
def test_a_recording_in_a_batch_is_heard_as_it_is_alone(way: str, lengths: list[int]) -> None:
    if way == "waveform":
        lengths = [frames + 5 for frames in lengths]  # its convolutions need a few frames
    network = student(way)
    together = network(*batch_of(lengths))
    assert together.shape == (len(lengths), max(lengths), 8)
    said = [network(sound[None], torch.zeros(1, len(sound) // 320, dtype=torch.long))[0] for sound in sounds(lengths)]
    for row, alone in zip(together, said, strict=True):
        torch.testing.assert_close(row[: len(alone)], alone, atol=1e-5, rtol=0)
    assert max(float((alone - alone[0]).abs().max()) for alone in said) > 1e-3  # or it would say the same of everything


@torch.no_grad()
@each_way
def test_layers_that_were_kept_are_as_good_as_the_audio(way: str) -> None:
    network, (sound, clips) = student(way), batch_of([44, 71])
    kept = torch.stack(network.layers(sound, clips), dim=2)
    assert kept.shape == (2, moments(71), network.encoder.depth, 2 * network.encoder.width)
    torch.testing.assert_close(network(kept, clips), network(sound, clips), atol=1e-6, rtol=0)


@torch.no_grad()
@each_way
def test_a_dirichlet_heads_logits_are_those_of_its_mean(way: str) -> None:
    network = student(way, Heads(emotion="dirichlet", projection=8))
    outputs: list[Tensor] = []
    network.head.linear.register_forward_hook(lambda *told: outputs.append(told[2]))
    logits = network(*batch_of([30, 52]))
    alpha = outputs[0].square() + 1e-6
    torch.testing.assert_close(logits.exp(), alpha)
    torch.testing.assert_close(logits.softmax(dim=-1), alpha / alpha.sum(dim=-1, keepdim=True))
    assert (network.head.linear.bias == 1).all()


def plain_head(smooth: int) -> StudentHead:
    """A head that says of each frame what its last layer reads of it."""
    head = StudentHead(8, 8, Heads(smooth=smooth)).eval()
    nn.init.eye_(head.linear.weight)
    nn.init.zeros_(head.linear.bias)
    return head


@torch.no_grad()
@given(LENGTHS, st.sampled_from([1, 3, 5, 31]))
def test_between_moments_lie_straight_lines_and_then_a_moving_average(lengths: list[int], smooth: int) -> None:
    read = torch.from_numpy(np.random.default_rng(1).normal(size=(len(lengths), moments(max(lengths)), 8))).float()
    found = plain_head(smooth)(read, own_of(lengths)).numpy()
    assert found.shape == (len(lengths), max(lengths), 8)
    side = smooth // 2
    for row, length in enumerate(lengths):
        own = read[row, : moments(length)].numpy()
        middles = HOP * np.arange(len(own)) + (HOP - 1) / 2
        at = np.arange(-side, length + side)
        lines = np.stack([np.interp(at, middles, column) for column in own.T], axis=1)
        wanted = np.stack([lines[i : i + smooth].mean(axis=0) for i in range(length)])
        np.testing.assert_allclose(found[row, :length], wanted, atol=1e-5)


@each_way
@pytest.mark.parametrize("emotion", ["softmax", "dirichlet"])
def test_gradients_of_silence_are_finite(way: str, emotion: str) -> None:
    network = student(way, Heads(emotion=emotion)).train()  # type: ignore[arg-type]
    logits = network(torch.zeros(2, 320 * 40, dtype=torch.int16), clips_of([40, 23]))
    logits.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    assert network.head.linear.weight.grad is not None


def test_the_scales_are_those_of_the_recordings_own_moments() -> None:
    network = student("cut", layers="mixture")
    held = [batch_of([44, 71]), batch_of([12, 25, 3])]
    batches = [
        Batch(sound, clips, torch.zeros(3).long(), torch.zeros(3, 8), torch.ones(3, 8).bool(), torch.ones(3).bool())
        for sound, clips in held
    ]
    network.calibrate(batches)
    with torch.no_grad():
        rows = []
        for (sound, clips), lengths in zip(held, ([44, 71], [12, 25, 3]), strict=True):
            (layer,) = network.layers(sound, clips)
            rows += [layer[i, : moments(length)] for i, length in enumerate(lengths)]
    heard = torch.cat(rows).double()
    torch.testing.assert_close(network.layer_reader.mean[0], heard.mean(dim=0).float())
    deviation = heard.std(dim=0, correction=0).clamp(min=1e-4).float()
    torch.testing.assert_close(network.layer_reader.scale[0], deviation, rtol=1e-4, atol=1e-6)
