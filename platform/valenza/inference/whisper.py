"""Whisper's encoder over recordings of unequal length in one batch."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from valenza.features.batch import FRAME
from valenza.inference.hearing import own
from valenza.model.encoders import WhisperStack

FAR = -1e4
"""What is added to the scores of what is not attended to: its share is 0 in single and in half precision alike, and
where nothing at all is attended to, shares are equal and not NaN."""


class WhisperRows(nn.Module):
    """Gives each row of a batch what `WhisperStack` gives the recording alone at its own length.

    What lies past a recording's end is silence to the convolutions, as the zeros that they are padded with, and is
    not attended to. Parts (`chunk`) and every n-th frame (`every`) are as `Segments` cuts them, in closed form.
    """

    def __init__(self, stack: WhisperStack) -> None:
        super().__init__()
        self.stack = stack
        longest = stack.hearing.window_samples // FRAME
        self.longest = stack.longest if stack.longest is not None and stack.longest < longest else None
        self.every = stack.every

    def forward(
        self, mel: Float[Tensor, "batch mels steps"], frames: Int64[Tensor, " batch"]
    ) -> list[Float[Tensor, "batch frames width"]]:
        """Return the layers, of as many frames as half the steps."""
        encoder = self.stack.encoder
        inside = own(mel.shape[2], 2 * frames)[:, None]
        hidden = nn.functional.gelu(encoder.conv1(mel)) * inside
        hidden = nn.functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
        count = hidden.shape[1]
        positions = encoder.embed_positions.weight
        if self.longest is not None:
            layers = self._in_parts(hidden, frames)
        else:
            hidden = hidden + positions[:count]
            layers = self._whole(hidden, frames)
        return [*layers, encoder.layer_norm(layers[-1])] if self.stack.whole else layers

    def _whole(self, hidden: Tensor, frames: Int64[Tensor, " batch"]) -> list[Tensor]:
        if self.every == 1:
            return self._blocks(hidden, own(hidden.shape[1], frames)[:, None])
        count = hidden.shape[1]
        groups = (count + self.every - 1) // self.every
        middle = torch.arange(groups, device=frames.device) * self.every + self.every // 2
        heard = torch.minimum(middle, (frames - 1)[:, None])
        chosen = hidden.gather(1, heard[..., None].expand(-1, -1, hidden.shape[2]))
        inside = own(groups, (frames + self.every - 1) // self.every)[:, None]
        of_frame = torch.arange(count, device=frames.device) // self.every
        return [layer.index_select(1, of_frame) for layer in self._blocks(chosen, inside)]

    def _in_parts(self, hidden: Tensor, frames: Int64[Tensor, " batch"]) -> list[Tensor]:
        """Let each part attend to itself: the blocks see the whole row, and a mask keeps the parts apart."""
        assert self.longest is not None  # noqa: S101 - the caller's
        place = torch.arange(hidden.shape[1], device=frames.device)[None]
        length = frames[:, None]
        parts = (length + (self.longest - 1)) // self.longest
        number = place * parts // length
        start, end = (-(-(number + more) * length // parts) for more in (0, 1))
        hidden = hidden + self.stack.encoder.embed_positions.weight[(place - start) % self.longest]
        middle = start + (place - start) // self.every * self.every + self.every // 2
        stands = torch.minimum(torch.minimum(middle, end - 1), length - 1)
        heard = (stands == place) & (place < length)
        layers = self._blocks(hidden, (number[:, :, None] == number[:, None]) & heard[:, None])
        if self.every == 1:
            return layers
        index = stands[..., None].expand_as(hidden)
        return [layer.gather(1, index) for layer in layers]

    def _blocks(self, hidden: Tensor, attended: Bool[Tensor, "batch queries keys"]) -> list[Tensor]:
        mask = torch.where(attended, 0.0, FAR).to(hidden.dtype)[:, None]
        mask = mask.expand(-1, 1, hidden.shape[1], -1)
        layers = []
        for block in self.stack.encoder.layers:
            hidden = block(hidden, mask)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            layers.append(hidden)
        return layers
