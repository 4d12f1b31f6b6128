"""Least squares of mixtures that hang together over time."""

import torch
from jaxtyping import Float64
from torch import Tensor

_STEPS = 3000
_STILL = 1e-7


def project(points: Float64[Tensor, "frames emotions"]) -> Float64[Tensor, "frames emotions"]:
    """Return the nearest points of the simplex (Duchi et al. 2008, fig. 1)."""
    falling = points.sort(dim=1, descending=True).values
    over = (falling.cumsum(dim=1) - 1) / torch.arange(1, points.shape[1] + 1).to(points)
    positive = (falling > over).sum(dim=1, keepdim=True)
    return (points - over.gather(1, positive - 1)).clamp(min=0.0)


def least(
    curvature: Float64[Tensor, "frames emotions emotions"],
    slope: Float64[Tensor, "frames emotions"],
    around: Float64[Tensor, "frames emotions"],
    smoothness: float,
) -> Float64[Tensor, "frames emotions"]:
    """Return the mixtures x that minimise Σ_f (slope·d + d·curvature·d / 2 + smoothness · |x_f+1 − x_f|²).

    d is x − `around`, where the search begins. Accelerated projected gradients, with a step length for each frame and
    a fresh start of a frame's momentum where it points uphill (Beck and Teboulle 2009, §4; O'Donoghue and Candès 2015,
    §3.2). `curvature` is positive semidefinite.
    """
    # A second difference is at most 4 times as long as what it is taken of, and the term is a square.
    steepest = torch.linalg.eigvalsh(curvature)[:, -1:] + 8 * smoothness
    rate = 1 / steepest.clamp(min=1e-12)
    here = ahead = around
    momentum = torch.ones_like(rate)
    for _ in range(_STEPS):
        uphill = slope + (curvature @ (ahead - around)[:, :, None])[:, :, 0]
        if smoothness:
            bends = 2 * smoothness * ahead.diff(dim=0)
            uphill = (
                uphill - torch.nn.functional.pad(bends, (0, 0, 0, 1)) + torch.nn.functional.pad(bends, (0, 0, 1, 0))
            )
        there = project(ahead - rate * uphill)
        moved = there - here
        if float(moved.abs().max()) < _STILL and float((there - ahead).abs().max()) < _STILL:
            return there
        fresh = ((ahead - there) * moved).sum(dim=1, keepdim=True) > 0
        after = torch.where(fresh, 1.0, (1 + (1 + 4 * momentum.square()).sqrt()) / 2)
        ahead = there + torch.where(fresh, 0.0, (momentum - 1) / after) * moved
        here, momentum = there, after
    return here
