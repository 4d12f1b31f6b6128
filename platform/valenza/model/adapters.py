"""Low-rank adapters: what an encoder learns without changing its weights (Hu et al. 2022)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from valenza.errors import UsageError
from valenza.recipe import Adapters

ADAPTED = ("q_proj", "v_proj")
"""The projections of queries and values, as in that paper's §5."""


class LowRank(nn.Module):
    """A weight matrix W and beside it a product of two thin ones: W + scale · up · down, where up begins as zeros."""

    def __init__(self, rows: int, columns: int, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Parameter(torch.empty(rank, columns))
        self.up = nn.Parameter(torch.zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """Return the adapted matrix."""
        return weight + self.scale * (self.up @ self.down)


def attach(blocks: list[nn.Module], settings: Adapters) -> None:
    """Give the attention of some blocks adapters, which are trained even where the block is frozen.

    Whoever reads a projection's `weight` sees the adapted one, in any implementation of attention. Checkpoints hold the
    weight as it was and the two thin matrices. Raises `UsageError` for a block that is not there.
    """
    chosen = range(len(blocks)) if settings.blocks is None else settings.blocks
    if strange := [number for number in chosen if number >= len(blocks)]:
        raise UsageError(f"encoder.adapters.blocks: there is no block {strange[0]}; there are 0 to {len(blocks) - 1}")
    for number in chosen:
        for linear in _projections(blocks[number]):
            adapter = LowRank(linear.out_features, linear.in_features, settings.rank, settings.scale)
            parametrize.register_parametrization(linear, "weight", adapter)


def merge(module: nn.Module) -> None:
    """Write adapted weights in place of those they adapt, for a module that is used and no longer trained."""
    for inner in list(module.modules()):
        if isinstance(inner, nn.Linear) and parametrize.is_parametrized(inner, "weight"):
            parametrize.remove_parametrizations(inner, "weight", leave_parametrized=True)


def _projections(block: nn.Module) -> list[nn.Linear]:
    named = [(name.rpartition(".")[2], module) for name, module in block.named_modules()]
    return [module for name, module in named if name in ADAPTED and isinstance(module, nn.Linear)]
