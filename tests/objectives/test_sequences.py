"""Losses against sequences: slow sums over frames, and tuning that follows what was preferred."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import dirichlet
from torch import Tensor

from valenza.features.batch import SILENCE, Batch, Hearing, Wanted
from valenza.model.encoders import SpeechEncoder
from valenza.model.layers import LayerMixture
from valenza.model.student import Student, StudentHead, moments
from valenza.objectives.preference import dirichlet_dpo
from valenza.objectives.sequences import PreferenceTask, StudentTask, wanted
from valenza.objectives.soft_labels import smooth
from valenza.recipe import Heads, Objective

LENGTHS = (23, 10, 31)
WIDTH = 4
MEANT = Objective(soft_labels=0.25, dirichlet=2.0, label_smoothing=0.1)
TUNED = Objective(dirichlet=1.0, soft_labels=0, label_smoothing=0.1)


def network(emotion: str = "dirichlet") -> Student:
    torch.manual_seed(0)
    heads = Heads(emotion=emotion)  # type: ignore[arg-type]
    reader = LayerMixture(2, 2 * WIDTH)
    return Student(SpeechEncoder(Hearing("mel"), WIDTH, 2), reader, StudentHead(2 * WIDTH, 8, heads), 1.4)


def mixtures(generator: torch.Generator, ways: int, known: Tensor) -> Tensor:
    """Sequences of mixtures over each recording's known classes [batch, ways, frames, classes]."""
    drawn = torch.rand(len(known), ways, max(LENGTHS), 8, generator=generator) * known[:, None, None]
    return drawn / drawn.sum(dim=-1, keepdim=True)


def batch(ways: int, counts: tuple[bool, ...] = (True, True, True), *, everything: bool = False) -> Batch:
    """Three recordings of different lengths as layers, some classes of each unknown."""
    generator = torch.Generator().manual_seed(1)
    known = torch.rand(3, 8, generator=generator) < 0.6
    known[:, [2, 3]], known[:, 6] = True, False
    known |= everything
    own = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return Batch(
        inputs=torch.randn(3, moments(max(LENGTHS)), 2, 2 * WIDTH, generator=generator),
        clip_of_frame=torch.where(own, torch.arange(3)[:, None], SILENCE),
        rows=torch.arange(3),
        targets=torch.zeros(3, 8),
        known=known,
        counts=torch.tensor(counts),
        wanted=Wanted(
            mixtures(generator, ways, known) * own[:, None, :, None],
            torch.zeros(3, max(LENGTHS)),
            torch.tensor([1.0, 0.6, 0.75]),
        ),
    )


def changed(held: Batch, **values: Tensor) -> Batch:
    return replace(held, wanted=replace(wanted(held), **values))


@pytest.mark.parametrize("emotion", ["softmax", "dirichlet"])
@pytest.mark.parametrize("counts", [(True, True, True), (True, False, True)])
def test_a_students_loss_is_the_slow_sum_over_its_frames(emotion: str, counts: tuple[bool, ...]) -> None:
    objective = MEANT if emotion == "dirichlet" else Objective(label_smoothing=0.1)
    one, held = StudentTask(network(emotion), objective), batch(1, counts)
    losses = one(held)
    logits = one.network(held.inputs, held.clip_of_frame).detach().double().numpy()
    cross, density, frames = 0.0, 0.0, 0
    for row, length in enumerate(LENGTHS):
        known = held.known[row].numpy()
        for frame in range(length) if counts[row] else ():
            target = wanted(held).ways[row, 0, frame].double().numpy()[known]
            target = 0.9 * target + 0.1 / known.sum()
            said = logits[row, frame][known]
            cross -= target @ (said - np.log(np.exp(said).sum()))
            if emotion == "dirichlet":
                density += dirichlet.logpdf(target / target.sum(), np.exp(said))
            frames += 1
    assert one.count(held) == frames
    named = {"soft_labels": cross} | ({"dirichlet": -density} if emotion == "dirichlet" else {})
    assert {name: float(loss) for name, loss in losses.named.items()} == pytest.approx(named, rel=1e-4)
    weights = {"soft_labels": objective.soft_labels, "dirichlet": objective.dirichlet}
    assert losses.total.item() == pytest.approx(sum(weights[name] * value for name, value in named.items()), rel=1e-4)


TASKS: dict[str, tuple[int, Callable[[], StudentTask | PreferenceTask]]] = {
    "student": (1, lambda: StudentTask(network(), MEANT)),
    "preference": (2, lambda: PreferenceTask(network(), TUNED, 0.5)),
}
each_task = pytest.mark.parametrize("name", TASKS)


@each_task
def test_stand_ins_count_nothing(name: str) -> None:
    ways, build = TASKS[name]
    one, held = build(), batch(ways, (False, False, False))
    losses = one(held)
    losses.total.backward()
    assert one.count(held) == 0
    assert losses.total == 0
    assert all(value == 0 for value in losses.named.values())
    assert all(p.grad is None or (p.grad == 0).all() for p in one.parameters())


@each_task
def test_what_lies_past_a_recordings_end_counts_nothing(name: str) -> None:
    ways, build = TASKS[name]
    one, held = build(), batch(ways)
    own = held.clip_of_frame != SILENCE
    other = changed(
        held,
        ways=torch.where(own[:, None, :, None], wanted(held).ways, 0.125),
        reference=torch.where(own, wanted(held).reference, 1e6),
    )
    assert one(other).total == one(held).total
    one(held).total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in one.parameters())


@each_task
def test_classes_that_nobody_could_choose_leave_the_loss(name: str) -> None:
    """What the network says of them, and what a sequence gives to them, changes nothing."""
    ways, build = TASKS[name]
    one, held = build(), batch(ways)
    unknown = ~held.known.any(dim=0)
    assert unknown.any()
    before = one(held)
    with torch.no_grad():
        one.network.head.linear.bias[unknown] += 3
    torch.testing.assert_close(one(held).total, before.total)
    before.total.backward()
    gradient = one.network.head.linear.weight.grad
    assert gradient is not None
    assert (gradient[unknown] == 0).all()
    assert (gradient[~unknown] != 0).any()


@each_task
def test_passes_add_up_to_the_whole(name: str) -> None:
    ways, build = TASKS[name]
    one, held = build(), batch(ways)
    parts = []
    for row, length in enumerate(LENGTHS):
        told = wanted(held)
        parts.append(
            Batch(
                held.inputs[row : row + 1, : moments(length)],
                torch.zeros(1, length, dtype=torch.long),
                held.rows[row : row + 1],
                held.targets[row : row + 1],
                held.known[row : row + 1],
                held.counts[row : row + 1],
                Wanted(
                    told.ways[row : row + 1, :, :length],
                    told.reference[row : row + 1, :length],
                    told.weights[row : row + 1],
                ),
            )
        )
    assert sum(one.count(part) for part in parts) == one.count(held)
    torch.testing.assert_close(sum(one(part).total for part in parts), one(held).total, rtol=1e-4, atol=1e-4)


def referred(held: Batch, reference: Student) -> Batch:
    """A batch with what a frozen network thinks of its two sequences."""
    with torch.no_grad():
        return changed(held, reference=PreferenceTask(reference, TUNED, 0.5).preferred(held))


@pytest.mark.parametrize("beta", [0.1, 0.5, 10.0])
def test_preferences_cost_what_dirichlet_dpo_says(beta: float) -> None:
    reference, tuned = network(), network()
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    held = referred(batch(2, everything=True), reference)
    losses = PreferenceTask(tuned, TUNED, beta)(held)
    own, known = held.clip_of_frame != SILENCE, held.known[:, None].expand(3, max(LENGTHS), 8)
    alpha, alpha_ref = (one(held.inputs, held.clip_of_frame).exp() for one in (tuned, reference))
    chosen, rejected = (smooth(way, known, 0.1) for way in wanted(held).ways.unbind(dim=1))
    each = dirichlet_dpo(alpha, alpha_ref, chosen, rejected, beta=beta, mask=own)
    expected = (each * wanted(held).weights).sum()
    torch.testing.assert_close(losses.total, expected)
    torch.testing.assert_close(losses.named["preference"], expected.detach())
    assert (losses.named["margin"] != 0, PreferenceTask(tuned, TUNED, beta).count(held)) == (True, 3)


def test_the_reference_itself_is_neither_right_nor_wrong() -> None:
    held = referred(batch(2), network())
    losses = PreferenceTask(network(), TUNED, 0.5)(held)
    assert losses.named["margin"] == 0
    assert losses.named["accuracy"] == 0
    torch.testing.assert_close(losses.total.detach(), torch.log(torch.tensor(2.0)) * (1 + 0.6 + 0.75))
    swapped = changed(held, ways=wanted(held).ways.flip(dims=[1]), reference=-wanted(held).reference)
    torch.testing.assert_close(PreferenceTask(network(), TUNED, 0.5)(swapped).total, losses.total)


def test_a_preference_counts_as_much_as_it_weighs() -> None:
    held = referred(batch(2), network())
    tuned = network()
    with torch.no_grad():
        tuned.head.linear.weight += 0.2 * torch.randn_like(tuned.head.linear.weight)
    one = PreferenceTask(tuned, TUNED, 0.5)
    each = [one(changed(held, weights=torch.eye(3)[row])) for row in range(3)]
    weighed = one(changed(held, weights=torch.tensor([0.5, 0.0, 2.0])))
    torch.testing.assert_close(weighed.total, 0.5 * each[0].total + 2 * each[2].total)
    for name in ("margin", "accuracy"):
        torch.testing.assert_close(weighed.named[name], 0.5 * each[0].named[name] + 2 * each[2].named[name])


def test_tuning_ends_with_what_was_always_preferred() -> None:
    """Of every pair the first emotion is preferred to the second one: the accuracy becomes 1, the margin grows."""
    liked, disliked = torch.eye(8)[0], torch.eye(8)[5]
    held = batch(2, everything=True)
    ways = torch.stack([liked, disliked])[None, :, None].expand(3, 2, max(LENGTHS), 8)
    held = referred(changed(held, ways=ways, weights=torch.ones(3)), network())
    tuned = network()
    one, optimizer = PreferenceTask(tuned, TUNED, 0.5), torch.optim.Adam(tuned.parameters(), lr=1e-2)
    before, margins = tuned(held.inputs, held.clip_of_frame).softmax(dim=-1), []
    for _ in range(20):
        losses = one(held)
        margins.append(float(losses.named["margin"]))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    losses = one(held)
    assert losses.named["accuracy"] == 3
    assert 0 == margins[0] < margins[9] < float(losses.named["margin"])
    own = held.clip_of_frame != SILENCE
    after = tuned(held.inputs, held.clip_of_frame).softmax(dim=-1)
    assert after[own][:, 0].mean() > before[own][:, 0].mean()
    assert after[own][:, 5].mean() < before[own][:, 5].mean()


def test_a_batch_of_clips_is_refused() -> None:
    with pytest.raises(ValueError, match="no sequences"):
        wanted(replace(batch(1), wanted=None))
