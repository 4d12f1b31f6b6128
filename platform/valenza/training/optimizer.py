"""AdamW, and learning rates that are a function of the step alone."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from valenza.recipe import Training

_START = 1 / 25
"""The share of the peak at which a cycle begins."""
_END = _START / 1e4


def build_optimizer(network: nn.Module, settings: Training) -> torch.optim.AdamW:
    """Return AdamW over what is trained: encoder and new parts apart; no decay on biases, scales and mixtures."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        peak = settings.peak_lr if name.startswith("encoder.") or settings.head_lr is None else settings.head_lr
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((peak, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "lr": peak, "peak": peak, "weight_decay": decay} for (peak, decay), p in groups.items()]
    )


def one_cycle(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at a step (0 … steps − 1): a cosine up, then a cosine down to ~0.

    Equal to torch's `OneCycleLR` with its defaults (Smith & Topin 2018).
    """
    top = warmup * steps - 1
    last = steps - 1
    if step <= top:
        return _cosine(_START, 1.0, step / top if top > 0 else 1.0)
    return _cosine(1.0, _END, (step - top) / (last - top) if last > top else 1.0)


def set_rates(optimizer: torch.optim.Optimizer, step: int, settings: Training) -> float:
    """Give every group its learning rate for a step (0-based); returns the encoder's."""
    share = 1.0 if settings.schedule == "constant" else one_cycle(step, settings.steps, settings.warmup)
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share
    return settings.peak_lr * share


def trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that are not frozen."""
    return [p for p in parameters if p.requires_grad]


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
