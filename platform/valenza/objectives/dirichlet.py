"""The likelihood of a mixture under a Dirichlet distribution (Fedorov & Korobchenko, eq. 1–6)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def log_density(
    alpha: Float[Tensor, "*batch classes"],
    target: Float[Tensor, "*batch classes"],
    known: Bool[Tensor, "*batch classes"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Return log Dir(target | alpha) of each row, in nats, computed in single precision or better.

    `alpha` is positive; `target` lies inside the simplex, every share above 0, and sums to 1. With `known`, the other
    classes are left out of both: what remains of a Dirichlet distribution, scaled to sum to 1, is the Dirichlet
    distribution of the remaining alphas, so a class that nobody could choose costs nothing. A row that knows no class
    has density 1.
    """
    if alpha.dtype in (torch.float16, torch.bfloat16):
        alpha = alpha.float()
    target = target.to(alpha.dtype)
    if known is None:
        known = torch.ones_like(alpha, dtype=torch.bool)
    # Both sides of a `where` have a gradient, so what is left out is replaced before the logarithms see it.
    alpha, target = torch.where(known, alpha, 1.0), torch.where(known, target, 1.0)
    total = torch.where(known, alpha, 0.0).sum(dim=-1)
    total = torch.where(known.any(dim=-1), total, 1.0)
    each = (alpha - 1) * target.log() - torch.lgamma(alpha)
    return torch.lgamma(total) + torch.where(known, each, 0.0).sum(dim=-1)


def dirichlet_nll(
    alpha: Float[Tensor, "*batch classes"],
    target: Float[Tensor, "*batch classes"],
    known: Bool[Tensor, "*batch classes"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Return the negative log-likelihood of each row's mixture, in nats; it may be below 0, as densities exceed 1.

    See `log_density` for what is asked of the arguments. A target on the edge of the simplex has density 0 or infinity:
    `soft_labels.smooth` moves it inside. (Fedorov & Korobchenko, eq. 6.)
    """
    return -log_density(alpha, target, known)
