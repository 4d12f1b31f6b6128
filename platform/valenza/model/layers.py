"""What is read from the layers of an encoder: the last one, a learned mixture, or all of them side by side."""

from collections.abc import Iterable, Sequence
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ScaledLayers(nn.Module):
    """The last `depth` layers, each channel brought to zero mean and unit scale.

    The last layers of a speech recogniser hold words; the middle ones hold the voice. What tells emotions apart
    varies little beside what all frames share, so without the scaling a linear head learns hundreds of times slower.
    The scales are measured once, on training windows, before the first step.
    """

    def __init__(self, depth: int, width: int, read: int) -> None:
        super().__init__()
        self.depth = depth
        self.width = read
        """Of what is read."""
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(depth, width))
        self.register_buffer("scale", torch.ones(depth, width))

    @torch.no_grad()
    def calibrate(self, heard: Iterable[Sequence[Float[Tensor, "rows width"]]]) -> None:
        """Measure the scales: `heard` yields, pass by pass, the spoken frames (or the clips' means) of every layer."""
        count = 0
        sums = torch.zeros(2, *self.mean.shape, dtype=torch.float64)
        for layers in heard:
            frames = torch.stack(list(layers)).double().cpu()
            count += frames.shape[1]
            sums += torch.stack([frames.sum(dim=1), frames.square().sum(dim=1)])
        mean = sums[0] / max(count, 1)
        variance = (sums[1] / max(count, 1) - mean.square()).clamp(min=1e-8)
        self.mean.copy_(mean)
        self.scale.copy_(variance.sqrt())


class LayerMixture(ScaledLayers):
    """A learned softmax mixture over scaled layers."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__(depth, width, width)
        self.scores = nn.Parameter(torch.zeros(depth))

    def forward(self, layers: Sequence[Float[Tensor, "batch frames width"]]) -> Float[Tensor, "batch frames width"]:
        """Return the mixture of the last `depth` layers."""
        share = self.scores.softmax(dim=0)
        chosen = layers[-self.depth :]
        # One pass over each layer: the scaling is folded into the mixture's weight and a constant.
        factor = share[:, None] / self.scale
        mixed = torch.zeros_like(chosen[0], dtype=torch.float32)
        for weight, layer in zip(factor, chosen, strict=True):
            mixed = torch.addcmul(mixed, layer.float(), weight)
        return mixed - (factor * self.mean).sum(dim=0)


class JoinedLayers(ScaledLayers):
    """The scaled layers side by side, divided by √depth so that their length does not grow with the depth.

    A head then weighs every channel of every layer by itself; it wants a strong weight decay.
    """

    def __init__(self, depth: int, width: int) -> None:
        super().__init__(depth, width, depth * width)

    def forward(self, layers: Sequence[Float[Tensor, "batch frames width"]]) -> Float[Tensor, "batch frames read"]:
        """Return the last `depth` layers, first to last along the channels."""
        chosen = zip(layers[-self.depth :], self.mean, self.scale, strict=True)
        return torch.cat([(layer.float() - mean) / scale for layer, mean, scale in chosen], dim=-1) / sqrt(self.depth)
