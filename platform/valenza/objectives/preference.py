"""Tuning by preference: the sequence that people chose becomes likelier than the other one."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from valenza.objectives.dirichlet import log_density


def dirichlet_dpo(
    alpha: Float[Tensor, "batch frames classes"],
    alpha_ref: Float[Tensor, "batch frames classes"],
    chosen: Float[Tensor, "batch frames classes"],
    rejected: Float[Tensor, "batch frames classes"],
    *,
    beta: float = 0.5,
    mask: Bool[Tensor, "batch frames"] | None = None,
) -> Float[Tensor, " batch"]:
    """Return the loss of each pair: −log σ(β (r(chosen) − r(rejected))) of every frame, averaged over its own frames.

    r is the implicit reward, log Dir(e | α) − log Dir(e | α_ref). `alpha_ref` is that of the frozen reference. Both
    sequences lie inside the simplex, as `log_density` asks. `mask` is true for the frames that count; a pair without
    any costs nothing. (Fedorov & Korobchenko, eq. 7; Rafailov et al. 2023.)
    """
    # Past a recording's end there is no mixture, and a density of nothing would have no finite slope.
    known = None if mask is None else mask[..., None]
    gap = preferred(alpha, chosen, rejected, known) - preferred(alpha_ref, chosen, rejected, known).detach()
    return preference_loss(gap, beta=beta, mask=mask)


def preference_loss(
    gap: Float[Tensor, "batch frames"], *, beta: float, mask: Bool[Tensor, "batch frames"] | None = None
) -> Float[Tensor, " batch"]:
    """Return the loss of each pair, given r(chosen) − r(rejected) of every frame."""
    return of_frames(-torch.nn.functional.logsigmoid(beta * gap), mask)


def preferred(
    alpha: Float[Tensor, "batch frames classes"],
    chosen: Float[Tensor, "batch frames classes"],
    rejected: Float[Tensor, "batch frames classes"],
    known: Bool[Tensor, "#batch #frames #classes"] | None = None,
) -> Float[Tensor, "batch frames"]:
    """Return log Dir(chosen | α) − log Dir(rejected | α) of every frame, over the known classes alone."""
    known = None if known is None else known.expand_as(alpha)
    return log_density(alpha, chosen, known) - log_density(alpha, rejected, known)


@dataclass(frozen=True)
class Rewards:
    """What the tuned model thinks of pairs, relative to the reference; one value a pair."""

    margin: Float[Tensor, " batch"]
    """β (r(chosen) − r(rejected)), averaged over frames."""
    right: Float[Tensor, " batch"]
    """1 where the chosen sequence has the larger mean reward."""


@torch.no_grad()
def rewards(
    gap: Float[Tensor, "batch frames"], *, beta: float, mask: Bool[Tensor, "batch frames"] | None = None
) -> Rewards:
    """Return margin and accuracy of the implicit rewards; `gap` is r(chosen) − r(rejected) of every frame."""
    margin = beta * of_frames(gap, mask)
    return Rewards(margin, (margin > 0).float())


def of_frames(
    values: Float[Tensor, "batch frames"], mask: Bool[Tensor, "batch frames"] | None
) -> Float[Tensor, " batch"]:
    """Return the mean over each row's own frames; 0 where it has none."""
    if mask is None:
        return values.mean(dim=1)
    # What lies outside may be anything, infinite too; multiplying by 0 would keep it.
    own = torch.where(mask, values, 0.0)
    return own.sum(dim=1) / mask.sum(dim=1).clamp(min=1)
