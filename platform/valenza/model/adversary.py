"""A head that tells where a clip comes from, and the layer that turns its gradient round."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


def reverse(values: Float[Tensor, "*batch width"], factor: float) -> Float[Tensor, "*batch width"]:
    """Return the values as they are; their gradient comes back times −`factor` (Ganin et al. 2016, eq. 17–18)."""
    reversed_: Tensor = _Reversal.apply(values, factor)  # type: ignore[no-untyped-call]
    return reversed_


class DomainHead(nn.Module):
    """One linear layer from what the emotion head reads of a clip to the domains of the training clips."""

    def __init__(self, width: int, domains: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, domains)

    def forward(
        self, representation: Float[Tensor, "clips width"], reversal: float | None
    ) -> Float[Tensor, "clips domains"]:
        """Return logits; with `reversal`, what is read receives the gradient times minus that."""
        read = representation if reversal is None else reverse(representation, reversal)
        logits: Tensor = self.linear(read)
        return logits
