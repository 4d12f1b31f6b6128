"""The domain adversary: what the heads read shall not tell corpus, speaker and language (Osman et al. 2023, §2.5)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from valenza.model.adversary import DomainHead
from valenza.recipe import Domain


def grown(progress: float, warmup: float) -> float:
    """Return which share of its weight the adversary has after the share `progress` of the steps.

    Ganin et al. 2016, §5.2: 2 / (1 + exp(−10 p)) − 1, where p grows from 0 to 1 over the share `warmup`; then 1.
    """
    if progress >= warmup:
        return 1.0
    return 2 / (1 + math.exp(-10 * progress / warmup)) - 1


@dataclass(frozen=True)
class DomainLoss:
    """One value a clip."""

    added: Float[Tensor, " clips"]
    """What enters the total."""
    cross_entropy: Float[Tensor, " clips"]
    """Of the domain head, in nats, without its graph."""
    right: Float[Tensor, " clips"]
    """1 where the head names the domain."""


class DomainAdversary(nn.Module):
    """The domain head and its part of the loss.

    It reads one vector a clip, the mean over the clip's frames: a domain belongs to a clip, the mean is what the fresh
    probe reads, and logits of thousands of speakers for each of 1,500 frames would outweigh the encoder.
    """

    domain_of_row: Int64[Tensor, " rows"]

    def __init__(self, settings: Domain, domain_of_row: Int64[Tensor, " rows"], width: int) -> None:
        super().__init__()
        self.settings = settings
        self.head = DomainHead(width, int(domain_of_row.max()) + 1)
        self.register_buffer("domain_of_row", domain_of_row, persistent=False)

    def forward(
        self, representation: Float[Tensor, "clips width"], rows: Int64[Tensor, " clips"], progress: float
    ) -> DomainLoss:
        """Return the losses of clips; `progress` is the share of the steps that are done.

        `ascent` adds −weight · CE_domain, for the domain head too, which can win by becoming useless. `reversal` adds
        CE_domain, by which the head learns, and reverses its gradient, times the weight, into what is read. `penalty`
        keeps the head smooth: of a linear one, the squared gradient by what is read is that of its weights.
        """
        weight = self.settings.weight * grown(progress, self.settings.warmup)
        ascent = self.settings.mode == "ascent"
        logits = self.head(representation, None if ascent else weight).float()
        domain = self.domain_of_row[rows]
        each = nn.functional.cross_entropy(logits, domain, ignore_index=-1, reduction="none")
        right = (logits.argmax(dim=1) == domain).float()
        smooth = self.settings.penalty * self.head.linear.weight.float().square().sum()
        return DomainLoss((-weight * each if ascent else each) + smooth, each.detach(), right)


def clip_sizes(clip_of_frame: Int64[Tensor, "batch frames"], clips: int) -> Int64[Tensor, " clips"]:
    """Return how many frames each clip has."""
    return torch.bincount(clip_of_frame[clip_of_frame >= 0], minlength=clips)
