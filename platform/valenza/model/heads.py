"""What is learned on top of an encoder to tell the emotions."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

HIDDEN: dict[str, type[nn.Module]] = {"linear": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
"""What a projection may end with."""
FLOOR = 1e-6
"""The least concentration of a class, so that its logarithm is finite."""


def log_concentration(x: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch classes"]:
    """Return log α of a Dirichlet distribution, α = x² + 10⁻⁶ (Fedorov & Korobchenko, §4.2), in single precision.

    The softmax of log α is α / Σα, the mean of the distribution, so these are logits like any others.
    """
    return (x.float().square() + FLOOR).log()


class FrameHead(nn.Module):
    """One linear layer, applied to every frame (Osman et al. 2023, §2.5), with an optional projection before it.

    Means over time are taken between `before` and `represent`. The projection is in the first for a loss on every
    frame, and in the second for a loss on every clip, where whatever bends then acts on the clip's mean; so a clip
    that was heard once gives what its frames would give. The last layer is linear, so the logits of a mean are the
    mean of the logits; those of a Dirichlet head are not, and are read of the mean (mean pooling).
    """

    def __init__(
        self,
        width: int,
        classes: int,
        dropout: float,
        *,
        projection: int | None = None,
        hidden: str = "linear",
        per_clip: bool = False,
        emotion: Literal["softmax", "dirichlet"] = "softmax",
    ) -> None:
        super().__init__()
        self.width = width if projection is None else projection
        """Of what the last layer, the domain adversary and the probes read."""
        self.per_clip = per_clip
        self.projection = None if projection is None else nn.Sequential(nn.Linear(width, projection), HIDDEN[hidden]())
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(self.width, classes)
        self.emotion = emotion
        if emotion == "dirichlet":
            nn.init.ones_(self.linear.bias)  # near 0 the square has no slope, and every class would begin as absent

    def before(self, frames: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch read"]:
        """Return what is averaged over time."""
        return frames if self.per_clip else self._project(frames)

    def represent(self, means: Float[Tensor, "*batch read"]) -> Float[Tensor, "*batch representation"]:
        """Return what the last layer reads of means over time."""
        return self._project(means) if self.per_clip else means

    def classify(self, representation: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch classes"]:
        """Return the logits of representations; of a Dirichlet head, the logarithms of its concentrations."""
        logits: Tensor = self.linear(self.dropout(representation))
        return log_concentration(logits) if self.emotion == "dirichlet" else logits

    def forward(self, means: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch classes"]:
        """Return the logits of means over time, a single frame being its own mean."""
        return self.classify(self.represent(means))

    def _project(self, values: Tensor) -> Tensor:
        if self.projection is None:
            return values
        projected: Tensor = self.projection(values)
        return projected


def clip_means(
    frames: Float[Tensor, "batch frames channels"], clip_of_frame: Int64[Tensor, "batch frames"], clips: int
) -> Float[Tensor, "clips channels"]:
    """Return the mean over each clip's own frames; silence is left out."""
    own = clip_of_frame >= 0
    slot = clip_of_frame[own]
    sums = torch.zeros(clips, frames.shape[-1], dtype=frames.dtype, device=frames.device).index_add(
        0, slot, frames[own]
    )
    count = torch.bincount(slot, minlength=clips).clamp(min=1)
    return sums / count[:, None]
