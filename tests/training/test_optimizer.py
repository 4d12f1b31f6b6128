"""Learning rates against torch's own schedule, and which parameters decay."""

import pytest
import torch
from torch import nn

from valenza.model.encoders import load_encoder
from valenza.objectives.adversarial import DomainAdversary
from valenza.recipe import Domain, Encoder, NewEncoder, Training
from valenza.training.optimizer import build_optimizer, depths, one_cycle, set_rates, trained


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
    optimizer = build_optimizer(network, network, settings)
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
    optimizer = build_optimizer(network := Small(), network, settings)
    assert set_rates(optimizer, 3, settings) == 1e-4
    assert {g["lr"] for g in optimizer.param_groups} == {1e-4}


@pytest.mark.parametrize("family", ["whisper", "wav2vec2"])
def test_each_block_learns_slower_than_the_one_above(family: str) -> None:
    encoder = load_encoder(Encoder(new=NewEncoder(family=family, width=16, layers=3), freeze=("blocks.1",)))  # type: ignore[arg-type]
    network = nn.ModuleDict({"encoder": encoder, "head": nn.Linear(16, 2)})
    settings = Training(steps=9, peak_lr=1e-3, head_lr=1e-2, layer_decay=0.5)
    task = nn.ModuleDict({"network": network, "adversary": nn.Linear(2, 2)})
    optimizer = build_optimizer(task, network, settings)
    peak = {id(p): g["peak"] for g in optimizer.param_groups for p in g["params"]}
    wanted = {"conv": 0.125, "positions": 0.125, "blocks.0": 0.25, "blocks.2": 1.0, "norm": 1.0}
    parts = encoder.parts()
    for name, share in wanted.items():
        found = {peak[id(p)] for m in parts[name] for p in m.parameters() if p.requires_grad}
        assert found == (set() if (family, name) == ("whisper", "positions") else {1e-3 * share}), name
    assert not any(id(p) in peak for p in parts["blocks.1"][0].parameters())
    assert {peak[id(p)] for m in (network["head"], task["adversary"]) for p in m.parameters()} == {1e-2}
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(trained(task.parameters()))
    assert set(depths(encoder)) == {id(p) for p in encoder.parameters()}


@pytest.mark.parametrize("lr", [None, 0.05])
def test_the_domain_head_may_keep_a_rate_of_its_own(lr: float | None) -> None:
    network = Small()
    adversary = DomainAdversary(Domain(mode="reversal", lr=lr), torch.tensor([0, 1, 2]), 3)
    task = nn.ModuleDict({"network": network, "adversary": adversary})
    settings = Training(steps=100, peak_lr=1e-5, head_lr=1e-3, weight_decay=0.1)
    optimizer = build_optimizer(task, network, settings)
    names = {id(p): name for name, p in task.named_parameters()}
    found = {names[id(p)]: (g["peak"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    plain = build_optimizer(network, network, settings)
    own = {names[id(p)]: (g["peak"], g["weight_decay"]) for g in plain.param_groups for p in g["params"]}
    domain = {f"adversary.head.linear.{name}": (lr or 1e-3, 0.0) for name in ("weight", "bias")}
    assert found == own | domain
    for step in (0, 50, 99):
        set_rates(optimizer, step, settings)
        rates = {names[id(p)]: g["lr"] for g in optimizer.param_groups for p in g["params"]}
        assert [rates[name] for name in domain] == [lr or rates["network.head.weight"]] * 2
    assert rates["network.head.weight"] < 1e-6
