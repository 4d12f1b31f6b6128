"""The network and its losses behind one `forward`, so that the loop wraps a single module for every stage."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from valenza.features.batch import Batch
from valenza.model.heads import clip_means
from valenza.model.network import Network
from valenza.objectives.soft_labels import smooth, soft_cross_entropy
from valenza.recipe import Objective


@dataclass(frozen=True)
class Losses:
    """What one pass adds to a step."""

    total: Float[Tensor, ""]
    """Weighted sum over what counts in this pass, to be divided by the step's global count."""
    named: dict[str, Float[Tensor, ""]]
    """The unweighted sum of each loss."""


class UtteranceTask(nn.Module):
    """Soft cross-entropy on every frame, or on the mean logits of every clip."""

    def __init__(self, network: Network, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def count(self, batch: Batch) -> int:
        """Return how many frames (or clips) of a pass the loss is summed over."""
        if self.objective.level == "clip":
            return int(batch.counts.sum())
        own = batch.clip_of_frame >= 0
        return int(batch.counts[batch.clip_of_frame[own]].sum())

    def forward(self, batch: Batch) -> Losses:
        """Return the sums of the losses over this pass."""
        frames = self.network(batch.inputs, batch.clip_of_frame).float()
        target = smooth(batch.targets, batch.known, self.objective.label_smoothing)
        if self.objective.level == "clip":
            logits = clip_means(frames, batch.clip_of_frame, len(batch.rows))
            each = soft_cross_entropy(logits, target, batch.known) * batch.counts
        else:
            own = batch.clip_of_frame >= 0
            clip = batch.clip_of_frame[own]
            each = soft_cross_entropy(frames[own], target[clip], batch.known[clip]) * batch.counts[clip]
        total = each.sum()
        return Losses(self.objective.soft_labels * total, {"soft_labels": total.detach()})
