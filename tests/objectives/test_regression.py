"""The rating error against scikit-learn's mean squared error of sigmoids."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import mean_squared_error

from valenza.objectives.regression import rating_error


def test_equals_the_mean_squared_error_of_sigmoids() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, ratings = 3 * torch.randn(20, 9, generator=generator), torch.rand(20, 9, generator=generator)
    found = rating_error(logits, ratings, torch.ones(20, 9, dtype=torch.bool))
    assert found.shape == (20,)
    for row in range(20):
        wanted = mean_squared_error(ratings[row].numpy(), expit(logits[row].numpy()))
        assert float(found[row]) == pytest.approx(wanted, rel=1e-5)


def test_what_nobody_rated_is_left_out() -> None:
    logits, ratings = torch.zeros(2, 3), torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]])
    rated = torch.tensor([[True, True, False], [False, False, False]])
    assert rating_error(logits, ratings, rated).tolist() == [0.125, 0.0]


def test_its_gradient_is_that_of_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, generator=generator).requires_grad_()
    ratings, rated = torch.rand(3, 4, generator=generator), torch.rand(3, 4, generator=generator) < 0.8
    rating_error(logits, ratings, rated).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    x, y, mask = logits.detach().double().numpy(), ratings.double().numpy(), rated.numpy()

    def value(z: np.ndarray) -> float:
        return float((np.square(expit(z) - y) * mask / mask.sum(1, keepdims=True).clip(1)).sum())

    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-5
        wanted = (value(x + step) - value(x - step)) / 2e-5
        assert float(logits.grad[place]) == pytest.approx(wanted, rel=1e-3, abs=1e-6)
