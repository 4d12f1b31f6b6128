"""Takes windows apart into their clips and puts them together again, so that clips attend to themselves alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

_SIMILAR = 0.7
"""Segments go through the blocks together while the shortest has this share of the longest's frames."""


@dataclass(frozen=True)
class Bucket:
    """Segments of similar length."""

    frames: Int64[Tensor, "segments longest"]
    """Flat frame numbers (batch × frames); those past a segment's end repeat its last."""
    lengths: Int64[Tensor, " segments"]

    def mask(self, dtype: torch.dtype) -> Float[Tensor, "segments 1 1 longest"] | None:
        """Return what is added to attention scores: the lowest number past a segment's end; None if all are equal."""
        longest = self.frames.shape[1]
        past = torch.arange(longest, device=self.frames.device) >= self.lengths[:, None]
        if not past.any():
            return None
        return torch.zeros(past.shape, dtype=dtype, device=past.device).masked_fill(past, torch.finfo(dtype).min)[
            :, None, None
        ]

    def spoken(self, hidden: Shaped[Tensor, "segments longest width"]) -> Shaped[Tensor, "flat width"]:
        """Return the frames that are not past a segment's end, segment after segment."""
        return hidden[torch.arange(self.frames.shape[1], device=hidden.device) < self.lengths[:, None]]


class Segments:
    """The clips of a batch of windows, and the stretches of silence between them."""

    def __init__(self, clip_of_frame: Int64[Tensor, "batch frames"]) -> None:
        begins = torch.ones_like(clip_of_frame, dtype=torch.bool)
        begins[:, 1:] = clip_of_frame[:, 1:] != clip_of_frame[:, :-1]
        start = begins.flatten().nonzero()[:, 0]
        total = clip_of_frame.numel()
        end = torch.cat([start[1:], start.new_tensor([total])])
        self.since_start = torch.arange(total, device=start.device) - torch.repeat_interleave(start, end - start)
        """How many frames ago each frame's segment began; flat."""
        self._start, self._length = start, end - start

    def buckets(self) -> Iterator[Bucket]:
        """Yield all segments, those of similar length together, shortest first."""
        order = self._length.argsort(stable=True)
        lengths = self._length[order].tolist()
        at = 0
        while at < len(lengths):
            to = at + 1
            while to < len(lengths) and lengths[at] >= _SIMILAR * lengths[to]:
                to += 1
            chosen = order[at:to]
            steps = torch.arange(lengths[to - 1], device=order.device)
            inside = torch.minimum(steps, self._length[chosen][:, None] - 1)
            yield Bucket(self._start[chosen][:, None] + inside, self._length[chosen])
            at = to
