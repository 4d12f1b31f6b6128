"""AdamW, and learning rates that are a function of the step alone."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from valenza.model.encoders import SpeechEncoder
from valenza.objectives.adversarial import DomainAdversary
from valenza.recipe import Training

_START = 1 / 25
"""The share of the peak at which a cycle begins."""
_END = _START / 1e4


def build_optimizer(task: nn.Module, network: nn.Module, settings: Training) -> torch.optim.AdamW:
    """Return AdamW over what is trained: encoder and new parts apart; no decay on biases, scales and mixtures.

    `task` holds the network and what learns beside it. A domain head may have a constant rate of its own; it has a
    penalty instead of decay. With `layer_decay` each part of `network.encoder` has a rate of its own too (`depths`).
    """
    new = settings.peak_lr if settings.head_lr is None else settings.head_lr
    encoder: Any = network.encoder
    inside = {id(p) for p in encoder.parameters()}
    below = depths(encoder) if settings.layer_decay < 1 else {}
    adversary = [m for m in task.modules() if isinstance(m, DomainAdversary)]
    constant = {id(p): m.settings.lr for m in adversary for p in m.parameters()}
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for parameter in trained(task.parameters()):
        depth, own = below.get(id(parameter), 0), constant.get(id(parameter))
        peak = settings.peak_lr * settings.layer_decay**depth if id(parameter) in inside else own or new
        decay = settings.weight_decay if parameter.ndim > 1 and id(parameter) not in constant else 0.0
        groups.setdefault((peak, decay, own is not None), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": p, "lr": peak, "peak": peak, "weight_decay": decay, "constant": constant}
            for (peak, decay, constant), p in groups.items()
        ]
    )


def depths(encoder: SpeechEncoder) -> dict[int, int]:
    """Return by a parameter's `id` how many blocks lie above it: 0 in the last block and in the final norm."""
    parts = encoder.parts()
    count = sum(name.startswith("blocks.") for name in parts)
    found = {id(parameter): count for parameter in encoder.parameters()}  # convolutions and positions: below them all
    for name, modules in parts.items():
        if name == "norm" or name.startswith("blocks."):
            depth = 0 if name == "norm" else count - 1 - int(name.removeprefix("blocks."))
            found |= {id(parameter): depth for module in modules for parameter in module.parameters()}
    return found


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
        group["lr"] = group["peak"] * (1.0 if group["constant"] else share)
    return settings.peak_lr * share


def trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Return the parameters that are not frozen."""
    return [p for p in parameters if p.requires_grad]


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
