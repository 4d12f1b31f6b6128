"""The domain loss in a task: its signs, its weight as it grows, and what it counts, against slow loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from valenza.evaluation.domain import domain_probe
from valenza.features.batch import Batch, Hearing
from valenza.model.encoders import SpeechEncoder
from valenza.model.heads import FrameHead
from valenza.model.layers import LayerMixture
from valenza.model.network import Network
from valenza.objectives.adversarial import DomainAdversary, clip_sizes, grown
from valenza.objectives.task import UtteranceTask
from valenza.recipe import Domain, Objective

FRAMES = torch.tensor([[0, 0, 0, 1, 1, -1], [2, 2, 2, 2, -1, -1], [3, 3, 4, 4, 4, 4]])
DOMAIN_OF_ROW = torch.tensor([1, -1, 0, 2, 1, 0, -1])
ROWS = torch.tensor([0, 2, 3, 4, 5])


def batch(counts: list[bool]) -> Batch:
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(5, 8, generator=generator).softmax(dim=1)
    inputs = torch.randn(3, 6, 2, 4, generator=generator)
    return Batch(inputs, FRAMES, ROWS, target, torch.ones(5, 8, dtype=torch.bool), torch.tensor(counts))


def task(
    mode: str,
    level: str,
    *,
    weight: float = 0.25,
    warmup: float = 0.0,
    penalty: float = 0.0,
    projection: int | None = 3,
) -> UtteranceTask:
    torch.manual_seed(0)
    domain = Domain(mode=mode, weight=weight, warmup=warmup, penalty=penalty)  # type: ignore[arg-type]
    objective = Objective(level=level, domain=domain)  # type: ignore[arg-type]
    hidden = "tanh" if projection else "linear"
    head = FrameHead(4, 8, 0.0, projection=projection, hidden=hidden, per_clip=level == "clip")
    network = Network(SpeechEncoder(Hearing("mel"), 4, 2), LayerMixture(2, 4), head)
    nn.init.normal_(network.layer_reader.scores)
    adversary = None if mode == "none" else DomainAdversary(domain, DOMAIN_OF_ROW, head.width)
    return UtteranceTask(network, objective, adversary=adversary)


def gradients(one: UtteranceTask, held: Batch) -> dict[str, torch.Tensor]:
    one.zero_grad()
    one(held).total.backward()
    return {name: p.grad.clone() for name, p in one.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("projection", [None, 3])
@pytest.mark.parametrize("counts", [[True] * 5, [True, True, False, True, True]])
@pytest.mark.parametrize("level", ["frame", "clip"])
def test_sums_equal_slow_loops(level: str, counts: list[bool], projection: int | None) -> None:
    one, held = task("ascent", level, projection=projection), batch(counts)
    losses, plain = one(held), task("none", level, projection=projection)(held)
    assert one.adversary is not None
    network = one.network
    mixed = network.layer_reader(list(held.inputs.unbind(dim=2)))
    total, right = 0.0, 0.0
    for clip in range(5):
        own = [mixed[b, t] for b in range(3) for t in range(6) if FRAMES[b, t] == clip]
        if projection is None:
            seen = torch.stack(own).mean(0)
        elif level == "clip":  # it bends the mean
            seen = network.head.projection(torch.stack(own).mean(0))
        else:  # it bends each frame
            seen = torch.stack([network.head.projection(frame) for frame in own]).mean(0)
        logits = one.adversary.head.linear(seen)
        wanted = DOMAIN_OF_ROW[ROWS[clip]]
        times = counts[clip] * (len(own) if level == "frame" else 1)
        total += times * -logits.log_softmax(0)[wanted].item()
        right += times * float(logits.argmax() == wanted)
    assert float(losses.named["domain"]) == pytest.approx(total, rel=1e-5)
    assert float(losses.named["domain_accuracy"]) == right
    torch.testing.assert_close(losses.named["soft_labels"], plain.named["soft_labels"])
    assert losses.total.item() == pytest.approx(plain.total.item() - 0.25 * total, rel=1e-4)


@pytest.mark.parametrize("level", ["frame", "clip"])
def test_ascent_and_reversal_differ_in_the_head_alone(level: str) -> None:
    """Both drive what is read uphill with the same weight; the domain head goes uphill too, or downhill in full."""
    held = batch([True] * 5)
    none, ascent, reversal = (gradients(task(mode, level), held) for mode in ("none", "ascent", "reversal"))
    head = {name for name in ascent if name.startswith("adversary.")}
    assert head == {"adversary.head.linear.weight", "adversary.head.linear.bias"}
    for name in head:
        torch.testing.assert_close(ascent[name], -0.25 * reversal[name])
        assert reversal[name].abs().max() > 0
    for name in ascent.keys() - head:
        torch.testing.assert_close(ascent[name], reversal[name], rtol=1e-4, atol=1e-5)
    pushed = (ascent["network.head.projection.0.weight"] - none["network.head.projection.0.weight"]).abs().max()
    assert pushed > 1e-3
    for name in ("network.head.linear.weight", "network.head.linear.bias"):
        torch.testing.assert_close(ascent[name], none[name])  # the emotion head is not the adversary's


@pytest.mark.parametrize("mode", ["ascent", "reversal"])
def test_the_weight_grows_with_the_steps(mode: str) -> None:
    held, name = batch([True] * 5), "network.head.projection.0.weight"
    none = gradients(task("none", "clip"), held)[name]
    full = gradients(task(mode, "clip"), held)[name] - none
    one = task(mode, "clip", warmup=0.4)
    assert torch.equal(gradients(one, held)[name], none)  # before the first step
    for progress, share in ((0.1, grown(0.1, 0.4)), (0.4, 1.0), (0.9, 1.0)):
        one.progress = progress
        torch.testing.assert_close(gradients(one, held)[name] - none, share * full, rtol=1e-3, atol=1e-5)


@given(progress=st.floats(0, 1), warmup=st.floats(0, 1))
def test_growth_is_ganins_schedule_and_never_falls(progress: float, warmup: float) -> None:
    share = grown(progress, warmup)
    assert 0 <= share <= 1
    assert grown(min(1.0, progress + 0.01), warmup) >= share
    if progress < warmup:
        assert share == pytest.approx(2 / (1 + math.exp(-10 * progress / warmup)) - 1)
    else:
        assert share == 1


@pytest.mark.parametrize("level", ["frame", "clip"])
def test_stand_ins_count_nothing(level: str) -> None:
    held = batch([False] * 5)
    assert all((g == 0).all() for g in gradients(task("reversal", level), held).values())


def test_sizes_of_clips() -> None:
    assert clip_sizes(FRAMES, 6).tolist() == [3, 2, 4, 2, 4, 0]


@pytest.mark.parametrize("mode", ["ascent", "reversal"])
def test_the_penalty_is_the_squared_jacobian_of_the_logits(mode: str) -> None:
    torch.manual_seed(2)
    domains = torch.tensor([0, 1, 2, 1])
    read, rows = torch.randn(4, 5), torch.arange(4)
    smooth = DomainAdversary(Domain(mode=mode, penalty=0.7), domains, 5)  # type: ignore[arg-type]
    plain = DomainAdversary(Domain(mode=mode), domains, 5)  # type: ignore[arg-type]
    plain.load_state_dict(smooth.state_dict())
    found, without = smooth(read, rows, 1.0), plain(read, rows, 1.0)
    for clip in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda one: smooth.head(one[None], None)[0], read[clip])
        wanted = without.added[clip] + 0.7 * jacobian.square().sum()
        torch.testing.assert_close(found.added[clip], wanted)
    assert torch.equal(found.cross_entropy, without.cross_entropy)
    # It pulls the head's weights to zero whichever way the head is driven, and nothing else.
    given, bare = (
        torch.autograd.grad(one.added.mean(), [w.weight, w.bias])
        for one, w in ((found, smooth.head.linear), (without, plain.head.linear))
    )
    torch.testing.assert_close(given[0] - bare[0], 2 * 0.7 * smooth.head.linear.weight)
    torch.testing.assert_close(given[1], bare[1])


@pytest.mark.parametrize("level", ["frame", "clip"])
def test_a_task_adds_the_penalty_once_whatever_the_clips_weigh(level: str) -> None:
    held = batch([True, True, False, True, True])
    plain, smooth = task("reversal", level), task("reversal", level, penalty=0.3)
    assert smooth.adversary is not None
    gap = (smooth(held).total - plain(held).total).item() / smooth.count(held)
    assert gap == pytest.approx(0.3 * smooth.adversary.head.linear.weight.square().sum().item(), rel=1e-4)
    before, after = gradients(plain, held), gradients(smooth, held)
    for name in before:
        if name != "adversary.head.linear.weight":
            torch.testing.assert_close(after[name], before[name])


def told_after(seed: int, settings: Domain) -> tuple[float, float]:
    """Train a linear layer whose input holds three emotions and four loud domains; how well each is told from it."""
    generator = torch.Generator().manual_seed(seed)
    emotion = torch.randint(3, (1200,), generator=generator)
    domain = torch.randint(4, (1200,), generator=generator)
    x = 0.5 * torch.randn(1200, 12, generator=generator)
    x[:, :3] += 2 * torch.eye(3)[emotion]
    x[:, 3:7] = 2 * (x[:, 3:7] + 2 * torch.eye(4)[domain])
    torch.manual_seed(seed)
    layer, head = nn.Linear(12, 8), nn.Linear(8, 3)
    adversary = DomainAdversary(settings, domain, 8)
    learned = [*layer.parameters(), *head.parameters(), *adversary.parameters()]
    optimizer, rows = torch.optim.AdamW(learned, lr=0.02, weight_decay=0.01), torch.arange(1200)
    for step in range(400):
        read = layer(x)
        loss = nn.functional.cross_entropy(head(read), emotion)
        if settings.mode != "none":
            loss = loss + adversary(read, rows, step / 400).added.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    names = {
        "corpus": domain.numpy().astype(str),
        "speaker": np.array(["s"] * 1200),
        "language": np.array(["x"] * 1200),
    }
    probe = domain_probe(layer(x).detach().numpy(), **names, held_out=np.arange(1200) % 4 == 0)
    return float((head(layer(x)).argmax(1) == emotion).float().mean()), probe["corpus"]["accuracy"]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_fresh_probe_is_near_chance_after_reversal_with_a_penalty_and_not_without(seed: int) -> None:
    """Four domains, so that chance is a quarter; the emotions stay as clear as they were."""
    none = told_after(seed, Domain(mode="none"))
    bare = told_after(seed, Domain(mode="reversal", weight=1.0))
    smooth = told_after(seed, Domain(mode="reversal", weight=1.0, penalty=0.1))
    assert min(none[0], bare[0], smooth[0]) > 0.95
    assert none[1] > 0.95
    assert smooth[1] < 0.45 < 0.55 < bare[1]
