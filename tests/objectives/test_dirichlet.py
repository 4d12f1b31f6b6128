"""The Dirichlet likelihood against scipy, its gradient against differences, and parameters that it finds again."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import dirichlet

from valenza.objectives.dirichlet import dirichlet_nll, log_density


def mixtures(rows: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), rows)


@given(st.integers(2, 9), st.floats(-3, 4), st.integers(0, 2**16))
def test_it_is_scipys_density(classes: int, size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alpha = np.exp(rng.normal(size, 1, (4, classes)))
    target = 0.98 * mixtures(4, classes, seed) + 0.02 / classes
    expected = [dirichlet.logpdf(t / t.sum(), a) for a, t in zip(alpha, target, strict=True)]
    got = log_density(torch.tensor(alpha), torch.tensor(target))
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-8, atol=1e-7)
    single = dirichlet_nll(torch.tensor(alpha).float(), torch.tensor(target).float())
    np.testing.assert_allclose(single.numpy(), np.negative(expected), rtol=3e-5, atol=3e-4)


def test_a_class_that_nobody_could_choose_leaves_both_sides() -> None:
    alpha, target = torch.rand(5, 8) + 0.1, torch.tensor(mixtures(5, 8, 1)).float()
    known = torch.tensor([True, True, False, True, False, True, False, True]).expand(5, 8)
    part = target[:, known[0]] / target[:, known[0]].sum(dim=1, keepdim=True)
    whole = torch.zeros_like(target)
    whole[:, known[0]] = part
    whole.requires_grad_(False)
    alpha.requires_grad_(True)
    loss = dirichlet_nll(alpha, whole, known)
    torch.testing.assert_close(loss, dirichlet_nll(alpha[:, known[0]], part))
    loss.sum().backward()
    assert alpha.grad is not None
    assert torch.isfinite(alpha.grad).all()
    assert (alpha.grad[:, ~known[0]] == 0).all()


def test_a_row_that_knows_no_class_costs_nothing() -> None:
    alpha = torch.rand(2, 3, requires_grad=True)
    loss = dirichlet_nll(alpha, torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool))
    assert loss.tolist() == [0, 0]
    loss.sum().backward()
    assert alpha.grad is not None
    assert (alpha.grad == 0).all()


def test_the_gradient_is_that_of_differences() -> None:
    alpha = (torch.rand(3, 6, dtype=torch.float64) + 0.2).requires_grad_(True)
    target = torch.tensor(mixtures(3, 6, 2))
    assert torch.autograd.gradcheck(lambda a: dirichlet_nll(a, target), (alpha,))


@pytest.mark.parametrize("truth", [(2.0, 5.0, 1.5, 0.7), (0.3, 0.4, 0.2, 0.6), (40.0, 10.0, 25.0, 5.0)])
def test_known_parameters_are_found_again(truth: tuple[float, ...]) -> None:
    samples = torch.tensor(np.random.default_rng(0).dirichlet(truth, 20_000)).clamp(min=1e-12)
    x = torch.ones(len(truth), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([x], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = dirichlet_nll((x.square() + 1e-6).expand_as(samples), samples).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(x.detach().square().numpy(), truth, rtol=0.03)


def test_half_precision_is_computed_in_single() -> None:
    alpha, target = torch.rand(4, 8) * 30 + 0.01, torch.tensor(mixtures(4, 8, 3)).float()
    half = dirichlet_nll(alpha.bfloat16(), target)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, dirichlet_nll(alpha.bfloat16().float(), target))
