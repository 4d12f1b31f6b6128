"""The mean of the weights, against means taken slowly from a list of all of them."""

import pytest
import torch
from torch import nn

from valenza.recipe import Average, Training
from valenza.training.average import WeightAverage, average_rate

STEPS = 40


def walk(average: Average) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The weights after every step of a random walk, and the mean after each."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    network[1].requires_grad_(False)
    kept = WeightAverage(network, Training(steps=STEPS, average=average))
    path, means = [], []
    for step in range(STEPS):
        with torch.no_grad():
            for parameter in network[0].parameters():
                parameter.add_(torch.randn_like(parameter))
        kept.update(step)
        path.append(network[0].weight.detach().clone())
        means.append(kept.weights()["0.weight"].clone())
    return path, means


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0, 0.001])
def test_the_last_share_is_a_plain_mean(share: float) -> None:
    path, means = walk(Average(last=share))
    count = max(1, round(share * STEPS))
    torch.testing.assert_close(means[-1], torch.stack(path[-count:]).mean(0))
    for step in range(STEPS - count):
        assert torch.equal(means[step], path[step])  # until then, the weights as they are


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_an_exponential_mean_forgets_at_its_rate(decay: float) -> None:
    path, means = walk(Average(ema=decay))
    young = min(STEPS, round(1 / (1 - decay)))
    torch.testing.assert_close(means[young - 1], torch.stack(path[:young]).mean(0), rtol=1e-4, atol=1e-5)
    shares = [0.0] * STEPS
    for step in range(STEPS):  # the part of every step, by the definition
        rate = max(1 - decay, 1 / (step + 1))
        shares = [(1 - rate) * s for s in shares]
        shares[step] = rate
    assert sum(shares) == pytest.approx(1)
    torch.testing.assert_close(means[-1], sum(s * w for s, w in zip(shares, path, strict=True)), rtol=1e-4, atol=1e-5)


def test_without_a_mean_it_is_the_weights() -> None:
    assert [average_rate(step, Training(steps=4)) for step in range(4)] == [1.0] * 4


def test_the_mean_is_lent_and_given_back() -> None:
    network = nn.Linear(2, 2)
    kept = WeightAverage(network, Training(steps=4, average=Average(last=1.0)))
    first = network.weight.detach().clone()
    kept.update(0)
    with torch.no_grad():
        network.weight.add_(1)
    kept.update(1)
    second = network.weight.detach().clone()
    with kept.used():
        torch.testing.assert_close(network.weight, (first + second) / 2)
        with pytest.raises(ValueError, match="in the middle"), kept.used():
            raise ValueError("in the middle")
    assert torch.equal(network.weight, second)
    assert network.weight.requires_grad


def test_a_mean_goes_on_from_what_was_kept() -> None:
    torch.manual_seed(0)
    settings = Training(steps=9, average=Average(ema=0.7))
    network = nn.Linear(3, 3)
    whole = WeightAverage(network, settings)
    moves = [torch.randn(3, 3) for _ in range(9)]
    parts: WeightAverage | None = None
    for step, move in enumerate(moves):
        with torch.no_grad():
            network.weight.add_(move)
        whole.update(step)
        if parts is not None:
            parts.update(step)
        if step == 4:
            parts = WeightAverage(network, settings)
            parts.load(whole.weights())
    assert parts is not None
    assert torch.equal(parts.weights()["weight"], whole.weights()["weight"])
