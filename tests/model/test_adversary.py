"""The reversed gradient, against differences of values and nothing of autograd's."""

import pytest
import torch
from torch import nn

from valenza.model.adversary import DomainHead, reverse

WANTED = torch.tensor([2, 0, 1, 2])


def setting() -> tuple[nn.Linear, DomainHead, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Linear(3, 4).double(), DomainHead(4, 3).double(), torch.randn(4, 3, dtype=torch.float64)


def loss(below: nn.Linear, head: DomainHead, inputs: torch.Tensor, reversal: float | None) -> torch.Tensor:
    return nn.functional.cross_entropy(head(below(inputs).tanh(), reversal), WANTED)


def slope(parameter: nn.Parameter, value: object) -> torch.Tensor:
    """Central differences of a loss by each number of a parameter."""
    found = torch.zeros_like(parameter)
    with torch.no_grad():
        for i in range(parameter.numel()):
            kept = float(parameter.view(-1)[i])
            sides = []
            for step in (1e-5, -1e-5):
                parameter.view(-1)[i] = kept + step
                sides.append(float(value()))  # type: ignore[operator]
            parameter.view(-1)[i] = kept
            found.view(-1)[i] = (sides[0] - sides[1]) / 2e-5
    return found


@pytest.mark.parametrize("factor", [1.0, 0.3, 0.0])
def test_the_head_goes_downhill_and_what_is_below_uphill(factor: float) -> None:
    below, head, inputs = setting()
    loss(below, head, inputs, factor).backward()  # type: ignore[no-untyped-call]
    for module, sign in ((below, -factor), (head.linear, 1.0)):
        for parameter in module.parameters():
            wanted = sign * slope(parameter, lambda: loss(below, head, inputs, factor))
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-6, atol=1e-8)


def test_without_reversal_both_go_downhill() -> None:
    below, head, inputs = setting()
    loss(below, head, inputs, None).backward()  # type: ignore[no-untyped-call]
    for parameter in (*below.parameters(), *head.parameters()):
        wanted = slope(parameter, lambda: loss(below, head, inputs, None))
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-6, atol=1e-8)


def test_values_pass_unchanged() -> None:
    values = torch.randn(2, 5, requires_grad=True)
    assert torch.equal(reverse(values, 0.5), values)
    (once,) = torch.autograd.grad(reverse(values, 0.5).sum(), values)
    (twice,) = torch.autograd.grad(reverse(reverse(values, 0.5), 2.0).sum(), values)
    assert torch.equal(once, torch.full((2, 5), -0.5))
    assert torch.equal(twice, torch.ones(2, 5))


def test_steps_of_reversal_make_the_domain_harder_to_tell_and_the_head_best() -> None:
    """Two groups that one direction tells apart: against the reversed gradient no fresh head finds them again."""
    torch.manual_seed(1)
    domain = torch.arange(200) % 2
    inputs = torch.randn(200, 4)
    inputs[:, 0] += 4.0 * domain
    below, head = nn.Linear(4, 4), DomainHead(4, 2)
    nn.init.eye_(below.weight)
    nn.init.zeros_(below.bias)
    emotion = nn.Linear(4, 2)
    label = (inputs[:, 1] > 0).long()
    modules = nn.ModuleList([below, head, emotion])
    optimizer = torch.optim.Adam(modules.parameters(), lr=0.02)

    def told_apart() -> float:
        seen = below(inputs).detach()
        gap = seen[domain == 1].mean(0) - seen[domain == 0].mean(0)
        return float((gap / seen.std(dim=0)).abs().max())

    before = told_apart()
    for _ in range(300):
        optimizer.zero_grad()
        seen = below(inputs)
        total = nn.functional.cross_entropy(emotion(seen), label)
        total = total + nn.functional.cross_entropy(head(seen, 1.0), domain)
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert before > 1.5
    assert told_apart() < 0.5 * before
    assert (emotion(below(inputs)).argmax(1) == label).float().mean() > 0.9
