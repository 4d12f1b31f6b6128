"""Learning rates against torch's own schedule, and which parameters decay."""

import pytest
import torch
from torch import nn

from valenza.recipe import Training
from valenza.training.optimizer import build_optimizer, one_cycle, set_rates, trained


@pytest.mark.parametrize("steps", [20, 100, 333])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.5, 0.9, 1.0])
def test_one_cycle_equals_torchs_own(steps: int, warmup: float) -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.5, total_steps=steps, pct_start=warmup, cycle_momentum=False
    )
    for step in range(steps):
        assert 0.5 * one_cycle(step, steps, warmup) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12
        )
        optimizer.step()
        if step < steps - 1:
            schedule.step()


@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_short_runs_have_rates_too(steps: int, warmup: float) -> None:
    shares = [one_cycle(step, steps, warmup) for step in range(steps)]
    assert all(0 <= share <= 1 for share in shares)


class Small(nn.Module):
    """An encoder with a frozen part, and something new."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"a": nn.Linear(3, 3), "norm": nn.LayerNorm(3), "frozen": nn.Linear(3, 3)})
        self.encoder["frozen"].requires_grad_(False)
        self.head = nn.Linear(3, 2)
        self.scores = nn.Parameter(torch.zeros(4))


def test_groups_have_their_own_rates_and_only_matrices_decay() -> None:
    network = Small()
    settings = Training(steps=100, peak_lr=1e-5, head_lr=1e-3, weight_decay=0.1)
    optimizer = build_optimizer(network, settings)
    names = {id(p): name for name, p in network.named_parameters()}
    found = {names[id(p)]: (g["peak"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert found == {
        "encoder.a.weight": (1e-5, 0.1),
        "encoder.a.bias": (1e-5, 0.0),
        "encoder.norm.weight": (1e-5, 0.0),
        "encoder.norm.bias": (1e-5, 0.0),
        "head.weight": (1e-3, 0.1),
        "head.bias": (1e-3, 0.0),
        "scores": (1e-3, 0.0),
    }
    assert len(trained(network.parameters())) == len(found)
    for step in (0, 9, 50, 99):
        told = set_rates(optimizer, step, settings)
        assert told == pytest.approx(1e-5 * one_cycle(step, 100, 0.1))
        assert all(g["lr"] == pytest.approx(g["peak"] * one_cycle(step, 100, 0.1)) for g in optimizer.param_groups)


def test_a_constant_schedule_and_one_rate_for_all() -> None:
    settings = Training(steps=5, peak_lr=1e-4, schedule="constant")
    optimizer = build_optimizer(Small(), settings)
    assert set_rates(optimizer, 3, settings) == 1e-4
    assert {g["lr"] for g in optimizer.param_groups} == {1e-4}
