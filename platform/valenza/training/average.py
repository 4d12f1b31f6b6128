"""A running mean of the weights, which flattens the noise of the last steps (Izmailov et al. 2018)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from valenza.recipe import Training


def average_rate(step: int, settings: Training) -> float:
    """Return how far the mean moves towards the weights after a step (0-based); 1 makes it equal to them.

    An exponential mean with decay d moves by 1 − d, and by more while it is younger than 1 / (1 − d) steps, so that it
    never leans on where training began. The mean of the last steps gives each of them the same part.
    """
    if isinstance(settings.average, str):
        return 1.0
    if settings.average.ema is not None:
        return max(1 - settings.average.ema, 1 / (step + 1))
    begin = settings.steps - max(1, round((settings.average.last or 0.0) * settings.steps))
    return 1 / max(1, step - begin + 1)


def averaged(network: nn.Module, settings: Training) -> "WeightAverage | None":
    """Return the mean of a network's weights that a recipe asks for."""
    return None if settings.average == "none" else WeightAverage(network, settings)


class WeightAverage:
    """The mean of what is trained in a network; it has no state but the mean itself."""

    def __init__(self, network: nn.Module, settings: Training) -> None:
        self.network, self.settings = network, settings
        self.means = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step (0-based)."""
        rate = average_rate(step, self.settings)
        for name, parameter in self.network.named_parameters():
            if name in self.means:
                self.means[name].lerp_(parameter, rate)

    def weights(self) -> dict[str, Tensor]:
        """Return the network's state with the mean in place of what is trained."""
        return self.network.state_dict() | self.means

    def load(self, weights: dict[str, Tensor]) -> None:
        """Go on from a mean that `weights` returned."""
        for name, mean in self.means.items():
            mean.copy_(weights[name])

    @contextmanager
    @torch.no_grad()
    def used(self) -> Iterator[None]:
        """Let the network have the mean for its weights for a while."""
        own = {n: p.detach().clone() for n, p in self.network.named_parameters() if n in self.means}
        self.network.load_state_dict(self.means, strict=False)
        try:
            yield
        finally:
            self.network.load_state_dict(own, strict=False)
