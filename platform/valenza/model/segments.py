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
    """Flat frame numbers (batch × frames) of what is heard; those past a segment's end repeat its last."""
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
    """The clips of a batch of windows, and the stretches of silence between them.

    A segment of more than `longest` frames is cut into parts that differ by one frame at most. Of every group of
    `every` frames, counted from the segment's start, the one in the middle is heard, or what there is of a group that
    the segment's end cuts.
    """

    def __init__(
        self, clip_of_frame: Int64[Tensor, "batch frames"], *, longest: int | None = None, every: int = 1
    ) -> None:
        begins = torch.ones_like(clip_of_frame, dtype=torch.bool)
        begins[:, 1:] = clip_of_frame[:, 1:] != clip_of_frame[:, :-1]
        start, length = _lengths(begins.flatten())
        if longest is not None:
            since = torch.arange(begins.numel(), device=start.device) - torch.repeat_interleave(start, length)
            parts, whole = (torch.repeat_interleave(each, length) for each in (-(-length // longest), length))
            number = since * parts // whole  # as many parts as are needed, as equal as frames allow
            start, length = _lengths((since == 0) | (number != number.roll(1)))
        self.every = every
        self.since_start = torch.arange(begins.numel(), device=start.device) - torch.repeat_interleave(start, length)
        """How many frames ago each frame's segment began; flat."""
        self._start, self._length = start, length
        self._heard = -(-length // every)

    def of_heard(self) -> Int64[Tensor, " frames"]:
        """Return for each flat frame which of the heard ones, segment after segment, stands for it."""
        before = self._heard.cumsum(0) - self._heard
        return torch.repeat_interleave(before, self._length) + self.since_start // self.every

    def buckets(self) -> Iterator[Bucket]:
        """Yield all segments, those of similar length together, shortest first."""
        order = self._heard.argsort(stable=True)
        counts = self._heard[order].tolist()
        at = 0
        while at < len(counts):
            to = at + 1
            while to < len(counts) and counts[at] >= _SIMILAR * counts[to]:
                to += 1
            chosen = order[at:to]
            steps = torch.arange(counts[to - 1], device=order.device) * self.every + self.every // 2
            inside = torch.minimum(steps, self._length[chosen][:, None] - 1)
            yield Bucket(self._start[chosen][:, None] + inside, self._heard[chosen])
            at = to


def _lengths(begins: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each segment starts and how long it is."""
    start = begins.nonzero()[:, 0]
    end = torch.cat([start[1:], start.new_tensor([begins.numel()])])
    return start, end - start
