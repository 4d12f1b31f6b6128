"""The whole model: an encoder, what is read from its layers, and the heads."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from valenza.features.batch import SILENCE, Batch, hear
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.encoders import SpeechEncoder, load_encoder
from valenza.model.heads import FrameHead, LayerMixture
from valenza.recipe import Recipe


class Network(nn.Module):
    """Speech to logits of the 8 emotions, for every 50 Hz frame."""

    def __init__(self, encoder: SpeechEncoder, *, mixed_layers: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.mixture = LayerMixture(mixed_layers, encoder.width)
        self.head = FrameHead(encoder.width, len(EMOTIONS), dropout)

    def layers(
        self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> list[Float[Tensor, "batch frames width"]]:
        """Return the encoder's layers. Inputs are `Batch.inputs`: 16-bit samples, features, or the layers."""
        if inputs.ndim == 4:
            return list(inputs.unbind(dim=2))
        if not inputs.is_floating_point():
            inputs = hear(inputs, clip_of_frame, self.encoder.hearing)
        return self.encoder(inputs, clip_of_frame)  # type: ignore[no-any-return]

    def read(self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]) -> Float[Tensor, "batch frames width"]:
        """Return what the heads read."""
        return self.mixture(self.layers(inputs, clip_of_frame))  # type: ignore[no-any-return]

    def forward(
        self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames classes"]:
        """Return the logits of every frame."""
        return self.head(self.read(inputs, clip_of_frame))  # type: ignore[no-any-return]

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Measure the scales of the layers that are read on these batches, with the encoder as it is."""
        self.eval()
        depth = len(self.mixture.scores)

        def heard() -> Iterable[list[Tensor]]:
            for batch in batches:
                spoken = batch.clip_of_frame != SILENCE
                yield [layer[spoken] for layer in self.layers(batch.inputs, batch.clip_of_frame)[-depth:]]

        self.mixture.calibrate(heard())


def build_network(recipe: Recipe) -> Network:
    """Build the network of a recipe; what is new in it draws from torch's generator."""
    encoder = load_encoder(recipe.encoder)
    depth = encoder.depth if recipe.encoder.layers == "mixture" else 1
    return Network(encoder, mixed_layers=depth, dropout=recipe.heads.dropout)
