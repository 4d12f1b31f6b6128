"""The preference loss against the formula written out, its invariants, and a tuned model that follows preferences."""

import math

import numpy as np
import torch
from scipy.stats import dirichlet

from valenza.objectives.dirichlet import log_density
from valenza.objectives.preference import dirichlet_dpo, of_frames, rewards


def case(batch: int = 3, frames: int = 5, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    alpha, reference = (torch.tensor(rng.gamma(2, 2, (batch, frames, classes))) for _ in range(2))
    chosen, rejected = (torch.tensor(rng.dirichlet(np.ones(classes), (batch, frames))) for _ in range(2))
    return alpha, reference, chosen, rejected


def test_it_is_equation_7_written_out() -> None:
    alpha, reference, chosen, rejected = case()
    expected = []
    for b in range(3):
        losses = []
        for f in range(5):
            density = [
                dirichlet.logpdf(e[b, f].numpy(), a[b, f].numpy())
                for e, a in ((chosen, alpha), (chosen, reference), (rejected, alpha), (rejected, reference))
            ]
            gap = 0.7 * (density[0] - density[1]) - 0.7 * (density[2] - density[3])
            losses.append(math.log1p(math.exp(-gap)))
        expected.append(sum(losses) / 5)
    got = dirichlet_dpo(alpha, reference, chosen, rejected, beta=0.7)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-9)


def test_the_reference_itself_costs_log_two() -> None:
    alpha, _, chosen, rejected = case()
    torch.testing.assert_close(dirichlet_dpo(alpha, alpha, chosen, rejected), torch.full((3,), math.log(2)).double())


def test_frames_outside_the_mask_do_not_count_whatever_they_are() -> None:
    alpha, reference, chosen, rejected = case()
    mask = torch.tensor([[True] * 5, [True, True, False, False, False], [False] * 5])
    whole = dirichlet_dpo(alpha, reference, chosen, rejected, mask=mask)
    short = dirichlet_dpo(alpha[1:2, :2], reference[1:2, :2], chosen[1:2, :2], rejected[1:2, :2])
    torch.testing.assert_close(whole[1:2], short)
    assert whole[2] == 0
    chosen[1, 2:] = 1 / 4
    torch.testing.assert_close(dirichlet_dpo(alpha, reference, chosen, rejected, mask=mask), whole)
    assert of_frames(torch.tensor([[1.0, torch.inf]]), torch.tensor([[True, False]])).item() == 1


def test_only_the_tuned_model_has_a_gradient() -> None:
    alpha, reference, chosen, rejected = (t.requires_grad_(True) for t in case())
    dirichlet_dpo(alpha, reference, chosen.detach(), rejected.detach()).sum().backward()
    assert alpha.grad is not None
    assert reference.grad is None


def test_tuning_follows_the_preferences_and_tells_so() -> None:
    _, reference, chosen, rejected = case(batch=1, frames=40, seed=3)
    chosen = chosen[:, :1].expand(1, 40, 4)
    rejected = rejected[:, :1].expand(1, 40, 4)
    x = reference.sqrt().clone().requires_grad_(True)
    optimizer = torch.optim.Adam([x], lr=0.02)
    before = (reference / reference.sum(dim=-1, keepdim=True) - chosen).abs().mean()
    for _ in range(60):
        optimizer.zero_grad()
        dirichlet_dpo(x.square() + 1e-6, reference, chosen, rejected, beta=0.5).sum().backward()
        optimizer.step()
    alpha = x.detach().square()
    after = (alpha / alpha.sum(dim=-1, keepdim=True) - chosen).abs().mean()
    assert after < before
    gap = log_density(alpha, chosen) - log_density(alpha, rejected)
    gap = gap - log_density(reference, chosen) + log_density(reference, rejected)
    told = rewards(gap, beta=0.5)
    assert told.right.tolist() == [1]
    torch.testing.assert_close(told.margin, 0.5 * gap.mean(dim=1))
