"""The sums of a pass against loops over its frames and clips."""

import pytest
import torch
from torch import nn
from torch.distributions import Dirichlet

from valenza.features.batch import Batch, Hearing
from valenza.model.encoders import SpeechEncoder
from valenza.model.heads import FrameHead
from valenza.model.layers import LayerMixture
from valenza.model.network import Network
from valenza.objectives.soft_labels import smooth, soft_cross_entropy
from valenza.objectives.task import UtteranceTask
from valenza.recipe import Objective

FRAMES = torch.tensor([[0, 0, 0, 1, 1, -1], [2, 2, 2, 2, -1, -1], [3, 3, 4, 4, 4, 4]])


def batch(counts: list[bool]) -> Batch:
    generator = torch.Generator().manual_seed(1)
    known = torch.rand(5, 8, generator=generator) < 0.6
    known[:, 3] = True
    target = torch.rand(5, 8, generator=generator) * known
    inputs = torch.randn(3, 6, 2, 4, generator=generator)
    target = target / target.sum(dim=1, keepdim=True)
    return Batch(inputs, FRAMES, torch.arange(5), target, known, torch.tensor(counts))


def task(**objective: object) -> UtteranceTask:
    torch.manual_seed(0)
    network = Network(SpeechEncoder(Hearing("mel"), 4, 2), LayerMixture(2, 4), FrameHead(4, 8, 0.0))
    nn.init.normal_(network.layer_reader.scores)
    return UtteranceTask(network, Objective(**objective))  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("counts", [[True] * 5, [True, True, False, True, True]])
@pytest.mark.parametrize("level", ["frame", "clip"])
def test_sums_equal_slow_loops(level: str, counts: list[bool], share: float) -> None:
    one, held = task(level=level, label_smoothing=share, soft_labels=0.5), batch(counts)
    losses = one(held)
    logits = one.network(held.inputs, held.clip_of_frame)
    target = smooth(held.targets, held.known, share)
    total, number = torch.zeros(()), 0
    for clip in range(5):
        own = [logits[b, t] for b in range(3) for t in range(6) if FRAMES[b, t] == clip]
        heard = own if level == "frame" else [torch.stack(own).mean(dim=0)]
        for row in heard if counts[clip] else []:
            total, number = total + soft_cross_entropy(row, target[clip], held.known[clip]), number + 1
    torch.testing.assert_close(losses.named["soft_labels"], total.detach())
    torch.testing.assert_close(losses.total, 0.5 * total)
    assert one.count(held) == number
    assert not losses.named["soft_labels"].requires_grad


@pytest.mark.parametrize("level", ["frame", "clip"])
def test_stand_ins_count_nothing(level: str) -> None:
    one, held = task(level=level), batch([False] * 5)
    losses = one(held)
    losses.total.backward()
    assert one.count(held) == 0
    assert losses.named["soft_labels"].item() == 0.0
    assert all(p.grad is None or (p.grad == 0).all() for p in one.parameters())


def test_passes_add_up_to_the_whole() -> None:
    """Two passes of half a step give the sums of one pass of all of it."""
    one, held = task(level="frame"), batch([True] * 5)
    parts = []
    for windows, clips in ((slice(0, 2), slice(0, 3)), (slice(2, 3), slice(3, 5))):
        frames = held.clip_of_frame[windows]
        frames = torch.where(frames < 0, frames, frames - clips.start)
        part = Batch(
            held.inputs[windows], frames, held.rows[clips], held.targets[clips], held.known[clips], held.counts[clips]
        )
        parts.append(one(part).total)
    torch.testing.assert_close(sum(parts), one(held).total)


@pytest.mark.parametrize("level", ["frame", "clip"])
def test_a_dirichlet_head_is_taught_by_the_density_of_targets_inside_the_simplex(level: str) -> None:
    torch.manual_seed(0)
    head = FrameHead(4, 8, 0.0, emotion="dirichlet", per_clip=level == "clip")
    network = Network(SpeechEncoder(Hearing("mel"), 4, 2), LayerMixture(2, 4), head)
    objective = Objective(level=level, label_smoothing=0.1, soft_labels=0.25, dirichlet=2.0)  # type: ignore[arg-type]
    held = batch([True, True, False, True, True])
    losses = UtteranceTask(network, objective)(held)
    read = network.read(held.inputs, held.clip_of_frame)
    target = smooth(held.targets, held.known, 0.1)
    density, cross = torch.zeros(()), torch.zeros(())
    for clip in (0, 1, 3, 4):
        own = torch.stack([read[b, t] for b in range(3) for t in range(6) if FRAMES[b, t] == clip])
        for row in own if level == "frame" else own.mean(dim=0, keepdim=True):
            known = held.known[clip]
            alpha = head.linear(row).square() + 1e-6
            density = density + Dirichlet(alpha[known]).log_prob(target[clip][known])
            cross = cross + soft_cross_entropy(alpha.log(), target[clip], known)
    torch.testing.assert_close(losses.named["dirichlet"], -density.detach(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(losses.total, 0.25 * cross - 2 * density, rtol=1e-4, atol=1e-3)


def test_a_clip_that_means_nothing_costs_a_dirichlet_head_nothing() -> None:
    torch.manual_seed(0)
    network = Network(
        SpeechEncoder(Hearing("mel"), 4, 2), LayerMixture(2, 4), FrameHead(4, 8, 0.0, emotion="dirichlet")
    )
    held = batch([True] * 5)
    held.targets[:] = 0
    losses = UtteranceTask(network, Objective(dirichlet=1.0, label_smoothing=0.1))(held)
    assert losses.total == 0
    losses.total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
