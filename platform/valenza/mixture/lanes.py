"""In which order the windows of an epoch are seen: one from each lane in turn."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64


class Order:
    """The windows of an epoch, numbered round by round through the lanes; lanes that have run dry are skipped.

    A lane is a sequence of blocks. How many lanes there are is part of the order and is said by the recipe; how many
    processes there are is not. Where the processes divide the lanes, each takes the windows of its own lanes, since a
    process takes every so-manieth window.
    """

    def __init__(self, counts: Int64[np.ndarray, " blocks"], lanes: int) -> None:
        """Order blocks that hold so many windows; block after block, `lanes` equal parts of them are the lanes."""
        self.counts = counts.reshape(lanes, -1)
        self.ends = self.counts.cumsum(axis=1)
        """Windows of each lane up to the end of each of its blocks."""
        self.lengths: Int64[np.ndarray, " lanes"] = self.ends[:, -1]
        dry = np.unique(np.concatenate([[0], self.lengths]))
        lasting = np.array([int((self.lengths > round_).sum()) for round_ in dry])
        self._rounds = dry
        """The rounds in which a lane has just run dry: from each to the next, the same lanes take part."""
        self._before = np.concatenate([[0], np.cumsum(np.diff(dry) * lasting[:-1])])
        """Windows before each of these rounds."""

    def __len__(self) -> int:
        return int(self._before[-1])

    def find(self, number: int) -> tuple[int, int]:
        """Return the block of a window, and which window of this block it is."""
        part = int(np.searchsorted(self._before, number, side="right")) - 1
        lanes = self._lasting(part)
        round_, turn = divmod(number - int(self._before[part]), len(lanes))
        lane, place = int(lanes[turn]), int(self._rounds[part]) + round_
        block = int(np.searchsorted(self.ends[lane], place, side="right"))
        first = int(self.ends[lane, block - 1]) if block else 0
        return lane * self.counts.shape[1] + block, place - first

    def stretches(self) -> Iterator[tuple[int, range, Int64[np.ndarray, " lanes"]]]:
        """Yield the first window of each stretch with the same lanes, its rounds, and these lanes."""
        for part, (start, end) in enumerate(zip(self._rounds[:-1].tolist(), self._rounds[1:].tolist(), strict=True)):
            yield int(self._before[part]), range(start, end), self._lasting(part)

    def _lasting(self, part: int) -> Int64[np.ndarray, " lanes"]:
        return np.flatnonzero(self.lengths > self._rounds[part])
