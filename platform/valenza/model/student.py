"""The frame-level network: one pass over a recording gives the emotions of each of its 50 Hz frames."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from valenza.features.batch import SILENCE, Batch, hear
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.encoders import SpeechEncoder, load_encoder
from valenza.model.heads import HIDDEN, log_concentration
from valenza.model.layers import JoinedLayers, LayerMixture
from valenza.recipe import Heads, Recipe

HOP = 10
"""Frames from one moment to the next. Emotions do not change five times a second; what is learned runs at this rate."""


def moments(frames: int) -> int:
    """Return how many moments so many frames have."""
    return -(-frames // HOP)


class Context(nn.Module):
    """Mean and standard deviation of a recording's frames around each moment (Snyder et al. 2018, §3.1).

    Moments lie in the middle of every 10 frames.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.groups = max(1, round(seconds * 50 / HOP)) | 1
        """How many groups of 10 frames are taken together: an odd number, so that the moment is in the middle."""

    def forward(
        self, frames: Float[Tensor, "batch frames width"], own: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch moments both"]:
        """Return means and then deviations over those frames that are the recording's `own`; 0 where it has none."""
        frames = frames.float() if frames.dtype in (torch.float16, torch.bfloat16) else frames
        counted = own.to(frames.dtype)[..., None]
        # Squares are taken of what differs from the recording's mean, which may be many times as large as that.
        middle = (frames * counted).sum(dim=1, keepdim=True) / counted.sum(dim=1, keepdim=True).clamp(min=1)
        held, count = (frames - middle) * counted, self._around(counted)
        mean, square = (self._around(values) / count.clamp(min=1e-6) for values in (held, held.square()))
        deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
        return torch.cat([mean + middle, deviation], dim=-1) * (count > 0)

    def _around(self, values: Float[Tensor, "batch frames width"]) -> Float[Tensor, "batch moments width"]:
        """Return sums around each moment, all divided by the same number."""
        padded = nn.functional.pad(values.transpose(1, 2), (0, -values.shape[1] % HOP))
        each = nn.functional.avg_pool1d(padded, HOP, HOP)
        return nn.functional.avg_pool1d(each, self.groups, 1, self.groups // 2).transpose(1, 2)


class StudentHead(nn.Module):
    """From what is read at each moment to the logits of each frame.

    Moments are projected; between two of them, what the last layer reads moves in a straight line. A moving average
    over frames follows (Fedorov & Korobchenko, §4.2), and then one linear layer for every frame.
    """

    def __init__(self, width: int, classes: int, heads: Heads) -> None:
        super().__init__()
        self.width = heads.projection or width
        """Of what the last layer reads."""
        self.projection = nn.Linear(width, self.width) if heads.projection else nn.Identity()
        self.hidden = HIDDEN[heads.hidden]()
        self.dropout = nn.Dropout(heads.dropout)
        self.smooth = heads.smooth
        self.linear = nn.Linear(self.width, classes)
        self.emotion = heads.emotion
        if self.emotion == "dirichlet":
            nn.init.ones_(self.linear.bias)  # as in `FrameHead`

    def forward(
        self, read: Float[Tensor, "batch moments read"], own: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames classes"]:
        """Return the logits of every frame; of a Dirichlet head, the logarithms of its concentrations.

        What frames that are not the recording's `own` are given means nothing, and changes no other.
        """
        frames = self._frames(self.dropout(self.hidden(self.projection(read))), own)
        logits: Tensor = self.linear(frames)
        return log_concentration(logits) if self.emotion == "dirichlet" else logits

    def _frames(
        self, values: Float[Tensor, "batch moments width"], own: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames width"]:
        """Return what the last layer reads of each frame; beyond the first and the last moment it stays."""
        counts = (-(-own.sum(dim=1, keepdim=True) // HOP)).clamp(min=1)
        last = torch.minimum(torch.arange(values.shape[1], device=values.device), counts - 1)
        held = values.gather(1, last[..., None].expand_as(values))  # a recording's end is not pulled to its padding
        dense = nn.functional.interpolate(held.transpose(1, 2), scale_factor=HOP, mode="linear")
        side = self.smooth // 2
        padded = nn.functional.pad(dense, (side, side), mode="replicate")
        return nn.functional.avg_pool1d(padded, self.smooth, 1).transpose(1, 2)[:, : own.shape[1]]


class Student(nn.Module):
    """Speech to the logits of the 8 emotions for every 50 Hz frame of a recording, one recording a row."""

    def __init__(
        self, encoder: SpeechEncoder, layer_reader: LayerMixture | JoinedLayers, head: StudentHead, context: float
    ) -> None:
        super().__init__()
        self.encoder, self.layer_reader, self.head = encoder, layer_reader, head
        self.context = Context(context)

    def layers(
        self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> list[Float[Tensor, "batch moments both"]]:
        """Return the encoder's layers around each moment. Inputs are `Batch.inputs`; of layers, those of moments."""
        if inputs.ndim == 4:
            return list(inputs.unbind(dim=2))
        counts = (clip_of_frame != SILENCE).sum(dim=1)
        counts = torch.where(counts > 0, counts, clip_of_frame.shape[1])  # one that could not be heard is silence
        each = inputs.shape[-1] // clip_of_frame.shape[1]
        order, found = [], []
        # Recordings of one length go together: what fills up a shorter one would be heard at its end.
        for frames in sorted(set(counts.tolist())):
            rows = (counts == frames).nonzero()[:, 0]
            heard = self._heard(inputs[rows, ..., : frames * each], clip_of_frame[rows, :frames])
            past = moments(clip_of_frame.shape[1]) - moments(frames)
            found.append([nn.functional.pad(layer, (0, 0, 0, past)) for layer in heard])
            order.append(rows)
        back = torch.cat(order).argsort()
        return [torch.cat(layer)[back] for layer in zip(*found, strict=True)]

    def _heard(
        self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> list[Float[Tensor, "batch moments both"]]:
        if not inputs.is_floating_point():
            inputs = hear(inputs, clip_of_frame, self.encoder.hearing)
        own = clip_of_frame != SILENCE
        return [self.context(layer, own) for layer in self.encoder(inputs, clip_of_frame)]

    def forward(
        self, inputs: Tensor, clip_of_frame: Int64[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames classes"]:
        """Return the logits of every frame."""
        read = self.layer_reader(self.layers(inputs, clip_of_frame))
        logits: Tensor = self.head(read, clip_of_frame != SILENCE)
        return logits

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Measure the scales of the layers around moments on these batches, with the encoder as it is."""
        self.eval()
        depth = self.layer_reader.depth

        def heard() -> Iterable[list[Tensor]]:
            for batch in batches:
                layers = self.layers(batch.inputs, batch.clip_of_frame)[-depth:]
                counts = -(-(batch.clip_of_frame != SILENCE).sum(dim=1) // HOP)
                own = torch.arange(layers[0].shape[1], device=counts.device) < counts[:, None]
                yield [layer[own] for layer in layers]

        self.layer_reader.calibrate(heard())


def build_student(recipe: Recipe) -> Student:
    """Build the frame-level network of a recipe; what is new in it draws from torch's generator."""
    encoder = load_encoder(recipe.encoder)
    depth = 1 if recipe.encoder.layers == "last" else encoder.depth
    layer_reader = (JoinedLayers if recipe.encoder.layers == "joined" else LayerMixture)(depth, 2 * encoder.width)
    return Student(
        encoder, layer_reader, StudentHead(layer_reader.width, len(EMOTIONS), recipe.heads), recipe.heads.context
    )
