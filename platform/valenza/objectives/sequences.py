"""What a frame-level network learns from: the sequences of a teacher, and what people preferred."""

import torch
from torch import nn

from valenza.features.batch import SILENCE, Batch, Wanted
from valenza.model.student import Student
from valenza.objectives.preference import preference_loss, preferred, rewards
from valenza.objectives.soft_labels import smooth
from valenza.objectives.task import Losses, label_errors, weigh
from valenza.recipe import Objective


class StudentTask(nn.Module):
    """Every frame of a recording against the teacher's mixture for it."""

    def __init__(self, network: Student, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective
        self.progress = 0.0
        """Share of the steps that are done; the loop sets it."""

    def count(self, batch: Batch) -> int:
        """Return how many frames of a pass the loss is summed over."""
        return int(((batch.clip_of_frame != SILENCE) & batch.counts[:, None]).sum())

    def forward(self, batch: Batch) -> Losses:
        """Return the sums of the losses over this pass."""
        own = batch.clip_of_frame != SILENCE
        clip = batch.clip_of_frame[own]
        logits = self.network(batch.inputs, batch.clip_of_frame)[own]
        each = label_errors(self.objective, logits, wanted(batch).ways[:, 0][own], batch.known[clip])
        losses = {name: (error * batch.counts[clip]).sum() for name, error in each.items()}
        return Losses(weigh(self.objective, losses), {name: loss.detach() for name, loss in losses.items()})


class PreferenceTask(nn.Module):
    """Pairs of sequences of which one was preferred, under a frozen reference (Fedorov & Korobchenko, eq. 7)."""

    def __init__(self, network: Student, objective: Objective, beta: float) -> None:
        super().__init__()
        self.network, self.objective, self.beta = network, objective, beta
        self.progress = 0.0
        """Share of the steps that are done; the loop sets it."""

    def count(self, batch: Batch) -> int:
        """Return how many pairs of a pass count, those of half weight too."""
        return int(batch.counts.sum())

    def forward(self, batch: Batch) -> Losses:
        """Return the sums over this pass of the loss, the implicit rewards' margin and their accuracy."""
        own = batch.clip_of_frame != SILENCE
        gap = self.preferred(batch) - wanted(batch).reference
        counted = batch.counts * wanted(batch).weights
        loss = (preference_loss(gap, beta=self.beta, mask=own) * counted).sum()
        told = rewards(gap, beta=self.beta, mask=own)
        named = {"preference": loss, "margin": (told.margin * counted).sum(), "accuracy": (told.right * counted).sum()}
        return Losses(loss, {name: value.detach() for name, value in named.items()})

    def preferred(self, batch: Batch) -> torch.Tensor:
        """Return log Dir(chosen) − log Dir(rejected) of every frame [batch, frames] under the network as it is."""
        alpha = self.network(batch.inputs, batch.clip_of_frame).exp()
        # What lies past a recording's end is no mixture, and the slope of its density is not finite.
        known = batch.known[:, None] & (batch.clip_of_frame != SILENCE)[..., None]
        # Both sequences are moved inside the simplex, as the student's targets were.
        chosen, rejected = (
            smooth(way, known, self.objective.label_smoothing) for way in wanted(batch).ways.unbind(dim=1)
        )
        return preferred(alpha, chosen, rejected, known)


def wanted(batch: Batch) -> Wanted:
    """Return the sequences of a batch of recordings; raises `ValueError` for a batch of clips."""
    if batch.wanted is None:
        raise ValueError("this batch has no sequences")
    return batch.wanted
