"""What lies on top of the encoder, against slow loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.model.heads import FrameHead, clip_means, log_concentration
from valenza.model.layers import JoinedLayers, LayerMixture


def test_joined_layers_stand_side_by_side_and_keep_their_length() -> None:
    torch.manual_seed(0)
    layers = [torch.randn(2, 300, 4) * 10**k + k for k in range(4)]
    joined = JoinedLayers(3, 4)
    joined.calibrate([[layer.flatten(0, 1) for layer in layers[-3:]]])
    read = joined(layers)
    assert read.shape == (2, 300, joined.width)
    for k in range(3):
        own = layers[k + 1]
        wanted = (own - own.mean(dim=(0, 1))) / own.std(dim=(0, 1), unbiased=False) / 3**0.5
        torch.testing.assert_close(read[..., 4 * k : 4 * k + 4], wanted, atol=1e-4, rtol=1e-4)
    assert read.square().sum(-1).mean() == pytest.approx(4, rel=1e-3)  # as one layer alone
    assert not list(joined.parameters())


def test_calibrated_layers_have_zero_mean_and_unit_scale() -> None:
    torch.manual_seed(0)
    passes = [
        [torch.randn(n, 6) * torch.tensor([1.0, 5, 0.1, 20, 1, 3]) + 100 * k for k in range(3)] for n in (40, 7, 90)
    ]
    mixture = LayerMixture(3, 6)
    mixture.calibrate(iter(passes))
    for k in range(3):
        with torch.no_grad():
            mixture.scores.copy_(torch.tensor([float("-inf")] * 3).index_fill(0, torch.tensor(k), 0.0))
        heard = torch.cat([mixture([layer[None] for layer in layers])[0] for layers in passes]).detach()
        torch.testing.assert_close(heard.mean(dim=0), torch.zeros(6), atol=1e-3, rtol=0)
        torch.testing.assert_close(heard.std(dim=0, unbiased=False), torch.ones(6), atol=1e-3, rtol=0)


def test_a_mixture_is_the_softmax_sum_of_its_scaled_layers() -> None:
    torch.manual_seed(1)
    layers = [torch.randn(2, 5, 4) for _ in range(4)]
    mixture = LayerMixture(3, 4)
    mixture.calibrate([[layer.flatten(0, 1) for layer in layers[-3:]]])
    with torch.no_grad():
        mixture.scores.copy_(torch.tensor([0.3, -1.0, 2.0]))
    share = mixture.scores.softmax(dim=0)
    wanted = sum(share[k] * (layers[k + 1] - mixture.mean[k]) / mixture.scale[k] for k in range(3))
    torch.testing.assert_close(mixture(layers), wanted)
    (gradient,) = torch.autograd.grad(mixture(layers).square().sum(), mixture.scores)
    assert gradient.abs().min() > 0


def test_a_channel_that_never_changes_stays_finite() -> None:
    mixture = LayerMixture(1, 2)
    mixture.calibrate([[torch.ones(10, 2)]])
    assert mixture([torch.full((1, 3, 2), 1.0)]).abs().max() < 1e-3
    assert set(mixture.state_dict()) == {"scores", "mean", "scale"}


@settings(max_examples=60, deadline=None)
@given(numbers=st.lists(st.lists(st.integers(-1, 4), min_size=7, max_size=7), min_size=1, max_size=3))
def test_clip_means_equal_a_slow_loop(numbers: list[list[int]]) -> None:
    torch.manual_seed(2)
    frames = torch.randn(len(numbers), 7, 3)
    found = clip_means(frames, torch.tensor(numbers), 5)
    for clip in range(5):
        own = [frames[b, t] for b in range(len(numbers)) for t in range(7) if numbers[b][t] == clip]
        wanted = torch.stack(own).mean(dim=0) if own else torch.zeros(3)
        torch.testing.assert_close(found[clip], wanted)


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4)])
def test_the_head_reads_each_frame_alone(shape: tuple[int, ...]) -> None:
    head = FrameHead(4, 8, 0.5).eval()
    frames = torch.randn(shape)
    torch.testing.assert_close(head(frames)[1], head(frames[1]))
    assert head(frames).shape == (*shape[:-1], 8)


def test_a_dirichlet_head_gives_logits_whose_softmax_is_its_mean() -> None:
    torch.manual_seed(0)
    head = FrameHead(6, 8, 0.0, emotion="dirichlet")
    read = torch.randn(5, 6) * 3
    alpha = head.linear(read).square() + 1e-6
    logits = head(read)
    torch.testing.assert_close(logits.exp(), alpha)
    torch.testing.assert_close(logits.softmax(dim=-1), alpha / alpha.sum(dim=-1, keepdim=True))
    assert log_concentration(torch.zeros(2, dtype=torch.bfloat16)).isfinite().all()


def test_a_new_dirichlet_head_begins_where_the_square_has_a_slope() -> None:
    torch.manual_seed(0)
    head = FrameHead(6, 8, 0.0, emotion="dirichlet")
    head(torch.randn(50, 6) * 0.1).sum().backward()
    assert head.linear.bias.grad is not None
    assert (head.linear.bias.grad.abs() > 1).all()
