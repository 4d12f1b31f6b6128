"""The loss against torch's own and against a slow version in double precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.objectives.soft_labels import smooth, soft_cross_entropy


def rows(seed: int, count: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, soft targets over what is known, and what is known (at least one class)."""
    rng = np.random.default_rng(seed)
    known = rng.random((count, 8)) < 0.6
    known[np.arange(count), rng.integers(8, size=count)] = True
    target = rng.random((count, 8)) ** 3 * known
    target /= target.sum(axis=1, keepdims=True)
    logits = 5 * rng.standard_normal((count, 8))
    return torch.from_numpy(logits).float(), torch.from_numpy(target).float(), torch.from_numpy(known)


def slow(logits: list[float], target: list[float], known: list[bool]) -> float:
    inside = [np.float64(value) for value, k in zip(logits, known, strict=True) if k]
    if not inside:
        return 0.0
    top = max(inside)
    total = top + np.log(sum(np.exp(v - top) for v in inside))
    return -sum(t * (np.float64(v) - total) for v, t, k in zip(logits, target, known, strict=True) if k)


def test_equals_torchs_own_on_the_classes_that_are_known() -> None:
    logits, target, known = rows(1)
    found = soft_cross_entropy(logits, target, known)
    for i in range(len(logits)):
        own = known[i]
        wanted = torch.nn.functional.cross_entropy(logits[i][own][None], target[i][own][None])
        torch.testing.assert_close(found[i], wanted)


def test_the_gradient_equals_torchs_own_and_leaves_unknown_classes_alone() -> None:
    logits, target, known = rows(2)
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(soft_cross_entropy(logits, target, known).sum(), logits)
    assert (gradient[~known] == 0).all()
    for i in range(len(logits)):
        own = known[i]
        inside = logits[i][own].detach().requires_grad_()
        (wanted,) = torch.autograd.grad(torch.nn.functional.cross_entropy(inside[None], target[i][own][None]), inside)
        torch.testing.assert_close(gradient[i][own], wanted, atol=1e-6, rtol=1e-5)


@settings(max_examples=150, deadline=None)
@given(
    logits=st.lists(st.floats(-300, 300, width=32), min_size=8, max_size=8),
    mass=st.lists(st.floats(0, 1), min_size=8, max_size=8),
    known=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_equals_a_slow_version_in_double_precision(logits: list[float], mass: list[float], known: list[bool]) -> None:
    inside = [m if k else 0.0 for m, k in zip(mass, known, strict=True)]
    target = [m / sum(inside) if sum(inside) > 1e-6 else 0.0 for m in inside]
    given_logits = torch.tensor([logits], requires_grad=True)
    found = soft_cross_entropy(given_logits, torch.tensor([target]), torch.tensor([known]))
    found.sum().backward()  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(found.item(), slow(logits, target, known), rtol=1e-4, atol=1e-4)
    assert given_logits.grad is not None
    assert given_logits.grad.isfinite().all()


def test_rows_that_say_or_know_nothing_cost_nothing() -> None:
    logits = torch.randn(3, 8, requires_grad=True)
    known = torch.tensor([[True] * 8, [False] * 8, [False] * 8])
    target = torch.zeros(3, 8)
    target[2, 0] = 1.0
    loss = soft_cross_entropy(logits, target, known)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert loss.tolist() == [0.0, 0.0, 0.0]
    assert logits.grad is not None
    assert (logits.grad == 0).all()
    torch.testing.assert_close(soft_cross_entropy(logits, smooth(target, known, 0.2), known), torch.zeros(3))


def test_half_precision_is_computed_in_full() -> None:
    logits, target, known = rows(3)
    half = logits.bfloat16().requires_grad_()
    found = soft_cross_entropy(half, target, known)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, soft_cross_entropy(half.detach().float(), target, known))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert half.grad is not None
    assert half.grad.isfinite().all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_smoothing_keeps_the_sum_and_spreads_only_over_what_is_known(share: float) -> None:
    _, target, known = rows(4)
    smoothed = smooth(target, known, share)
    torch.testing.assert_close(smoothed.sum(dim=1), torch.ones(len(target)))
    assert (smoothed[~known] == 0).all()
    torch.testing.assert_close(smoothed, ((1 - share) * target + share * known / known.sum(1, keepdim=True)).float())


def test_smoothing_invents_no_label() -> None:
    """A clip that says nothing must not be taught that all emotions are equal."""
    known = torch.tensor([[True] * 8, [False] * 8])
    assert (smooth(torch.zeros(2, 8), known, 0.3) == 0).all()
