"""The network and its losses behind one `forward`, so that the loop wraps a single module for every stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from valenza.features.batch import Batch
from valenza.model.heads import clip_means
from valenza.model.network import Network
from valenza.objectives.adversarial import DomainAdversary, clip_sizes
from valenza.objectives.dirichlet import dirichlet_nll
from valenza.objectives.regression import rating_error
from valenza.objectives.soft_labels import smooth, soft_cross_entropy
from valenza.recipe import Objective


@dataclass(frozen=True)
class Losses:
    """What one pass adds to a step."""

    total: Float[Tensor, ""]
    """Weighted sum over what counts in this pass, to be divided by the step's global count."""
    named: dict[str, Float[Tensor, ""]]
    """The unweighted sum of each loss, and of what else is worth following."""


class UtteranceTask(nn.Module):
    """One loss for every frame, or for the mean of every clip, and the domain adversary beside it."""

    def __init__(
        self,
        network: Network,
        objective: Objective,
        *,
        loss: Literal["soft_labels", "regression"] = "soft_labels",
        adversary: DomainAdversary | None = None,
    ) -> None:
        super().__init__()
        self.network, self.objective, self.loss, self.adversary = network, objective, loss, adversary
        self.progress = 0.0
        """Share of the steps that are done; the loop sets it."""

    def count(self, batch: Batch) -> int:
        """Return how many frames (or clips) of a pass the loss is summed over."""
        if self.objective.level == "clip":
            return int(batch.counts.sum())
        own = batch.clip_of_frame >= 0
        return int(batch.counts[batch.clip_of_frame[own]].sum())

    def forward(self, batch: Batch) -> Losses:
        """Return the sums of the losses over this pass."""
        clips, head, frame = len(batch.rows), self.network.head, batch.clip_of_frame
        read = self.network.read(batch.inputs, frame).float()
        of_clip = batch.counts.float()
        if self.objective.level == "clip":
            representation = head.represent(clip_means(read, frame, clips))
            logits = head.classify(representation)
            each = self._errors(logits, batch.targets, batch.known)
            losses = {name: (error * batch.counts).sum() for name, error in each.items()}
        else:
            own = frame >= 0
            clip = frame[own]
            logits = head.classify(read)[own]
            each = self._errors(logits, batch.targets[clip], batch.known[clip])
            losses = {name: (error * batch.counts[clip]).sum() for name, error in each.items()}
        named: dict[str, Tensor] = {name: loss.detach() for name, loss in losses.items()}
        weighted = weigh(self.objective, losses)
        if self.adversary is None:
            return Losses(weighted, named)
        if self.objective.level == "frame":  # as if each of its frames carried the clip's domain loss
            representation = head.represent(clip_means(read, frame, clips))
            of_clip = of_clip * clip_sizes(frame, clips)
        domain = self.adversary(representation, batch.rows, self.progress)
        named |= {"domain": (domain.cross_entropy * of_clip).sum(), "domain_accuracy": (domain.right * of_clip).sum()}
        return Losses(weighted + (domain.added * of_clip).sum(), named)

    def _errors(
        self,
        logits: Float[Tensor, "rows classes"],
        target: Float[Tensor, "rows classes"],
        known: Bool[Tensor, "rows classes"],
    ) -> dict[str, Float[Tensor, " rows"]]:
        if self.loss == "regression":
            return {"regression": rating_error(logits, target, known)}
        return label_errors(self.objective, logits, target, known)


def label_errors(
    objective: Objective,
    logits: Float[Tensor, "rows classes"],
    target: Float[Tensor, "rows classes"],
    known: Bool[Tensor, "rows classes"],
) -> dict[str, Float[Tensor, " rows"]]:
    """Return each loss against soft labels that an objective names, of every row, before it is weighed."""
    target = smooth(target, known, objective.label_smoothing)
    errors = {"soft_labels": soft_cross_entropy(logits, target, known)}
    if objective.dirichlet:
        meant = target.sum(dim=-1, keepdim=True) > 0  # a row that means nothing has no density, and costs nothing
        errors["dirichlet"] = dirichlet_nll(logits.exp(), target, known & meant)
    return errors


def weigh(objective: Objective, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
    """Return the sum of losses, each times its weight in the objective; 1 for those that have none."""
    weights = {"soft_labels": objective.soft_labels, "dirichlet": objective.dirichlet}
    return torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()
