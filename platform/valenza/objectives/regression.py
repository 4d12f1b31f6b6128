"""Shares that are rated one by one: a sigmoid for each output, and the mean squared error (Osman et al. 2023, §3.2)."""

from jaxtyping import Bool, Float
from torch import Tensor


def rating_error(
    logits: Float[Tensor, "*batch classes"],
    rating: Float[Tensor, "*batch classes"],
    rated: Bool[Tensor, "*batch classes"],
) -> Float[Tensor, "*batch"]:
    """Return each row's mean over its rated outputs of (sigmoid(logit) − rating)²; 0 where none is rated.

    Ratings lie in 0 … 1 and need not sum to 1: a voice can be amused and tired at once.
    """
    error = (logits.float().sigmoid() - rating.float()).square() * rated
    return error.sum(dim=-1) / rated.sum(dim=-1).clamp(min=1)
