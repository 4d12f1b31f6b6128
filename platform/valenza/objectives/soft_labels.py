"""Cross-entropy against soft labels, over the classes that a corpus could choose."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def soft_cross_entropy(
    logits: Float[Tensor, "*batch classes"],
    target: Float[Tensor, "*batch classes"],
    known: Bool[Tensor, "*batch classes"],
) -> Float[Tensor, "*batch"]:
    """Return the cross-entropy of each row against its soft target, in nats.

    A class that nobody could choose leaves the softmax instead of counting as a zero. `target` sums to 1 over
    `known`; a row whose target is all zero, or that knows no class, costs nothing. (Osman et al. 2023, §2.5.)
    """
    logits = logits.float().masked_fill(~known, -torch.inf)
    # A row without known classes would be NaN, also in its gradient; its logits are replaced before the softmax.
    logits = torch.where(known.any(dim=-1, keepdim=True), logits, torch.zeros_like(logits))
    log_p = logits.log_softmax(dim=-1).masked_fill(~known, 0.0)
    return -(target.float() * log_p).sum(dim=-1)


def smooth(
    target: Float[Tensor, "*batch classes"], known: Bool[Tensor, "*batch classes"], share: float
) -> Float[Tensor, "*batch classes"]:
    """Spread `share` of each target evenly over its known classes; its sum stays (Szegedy et al. 2016, §7)."""
    if not share:
        return target
    even = known.float() / known.sum(dim=-1, keepdim=True).clamp(min=1)
    return (1 - share) * target + share * even * target.sum(dim=-1, keepdim=True)
