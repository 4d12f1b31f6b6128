"""The whole model: an encoder, what is read from its layers, and the heads."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from valenza.features.batch import SILENCE, Batch, hear
from valenza.labels.native import outputs
from valenza.model.encoders import SpeechEncoder, load_encoder
from valenza.model.heads import FrameHead, clip_means
from valenza.model.layers import JoinedLayers, LayerMixture
from valenza.recipe import Recipe


class Network(nn.Module):
    """Speech to logits of the 8 emotions or of an adapted head's outputs, for every 50 Hz frame."""

    def __init__(self, encoder: SpeechEncoder, layer_reader: LayerMixture | JoinedLayers, head: FrameHead) -> None:
        super().__init__()
        self.encoder, self.layer_reader, self.head = encoder, layer_reader, head

    def layers(
        self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> list[Float[Tensor, "batch frames width"]]:
        """Return the encoder's layers. Inputs are `Batch.inputs`: 16-bit samples, features, or the layers."""
        if inputs.ndim == 4:
            return list(inputs.unbind(dim=2))
        if not inputs.is_floating_point():
            inputs = hear(inputs, clip_of_frame, self.encoder.hearing)
        return self.encoder(inputs, clip_of_frame)  # type: ignore[no-any-return]

    def read(self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]) -> Float[Tensor, "batch frames read"]:
        """Return what the heads read of every frame; its mean over a clip goes to `represent` or to `head`."""
        return self.head.before(self.layer_reader(self.layers(inputs, clip_of_frame)))

    def represent(self, means: Float[Tensor, "clips read"]) -> Float[Tensor, "clips width"]:
        """Return what the emotion head's last layer reads of clips, given the mean of `read` over each clip's frames.

        This is what the domain adversary acts on, and what a fresh probe for the domain reads.
        """
        return self.head.represent(means)

    def forward(
        self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames classes"]:
        """Return the logits of every frame."""
        return self.head(self.read(inputs, clip_of_frame))  # type: ignore[no-any-return]

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Measure the scales of the layers that are read on these batches, with the encoder as it is.

        They are those of what the loss sees: of frames, or of clips' means, which vary less and in other directions.
        """
        self.eval()
        depth = self.layer_reader.depth

        def heard() -> Iterable[list[Tensor]]:
            for batch in batches:
                frame = batch.clip_of_frame
                layers = self.layers(batch.inputs, frame)[-depth:]
                if self.head.per_clip:  # of clips that could be heard
                    yield [clip_means(layer, frame, len(batch.rows))[batch.counts] for layer in layers]
                else:
                    yield [layer[frame != SILENCE] for layer in layers]

        self.layer_reader.calibrate(heard())


def build_network(recipe: Recipe) -> Network:
    """Build the network of a recipe; what is new in it draws from torch's generator."""
    encoder = load_encoder(recipe.encoder)
    heads, reads = recipe.heads, recipe.encoder.layers
    depth = 1 if reads == "last" else encoder.depth
    layer_reader = (JoinedLayers if reads == "joined" else LayerMixture)(depth, encoder.width)
    head = FrameHead(
        layer_reader.width,
        len(outputs(recipe)),
        heads.dropout,
        projection=heads.projection,
        hidden=heads.hidden,
        per_clip=recipe.objective.level == "clip",
        emotion=heads.emotion,
    )
    return Network(encoder, layer_reader, head)
