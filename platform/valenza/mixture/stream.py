"""The endless sequence of training windows: the same for any number of processes, and resumable at any window.

An epoch is planned block by block. Its windows are numbered one from each lane in turn, and a process takes every
so-manieth of them, so it plans the blocks of its own lanes and holds one of each at a time.

One thing must be known of blocks that others plan: how many windows they hold. It cannot be computed from sums, since
it depends on which clips meet; a bound from sums would leave up to a fifth of a lane to empty windows. So the processes
count once an epoch: each plans the blocks of its share of the lanes, and the counts, four bytes a block, are added up
over all of them (`Peers`). Every process then knows where each lane runs dry and where the epoch ends; no clip is left
out, none is heard twice, and `Position` is all the state there is, whatever the number of processes. Planning twice
costs half a microsecond a clip; to resume costs counting the process's own share, and one block of each of its lanes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Int64

from valenza.mixture.blocks import ShardIndex, lay_out
from valenza.mixture.lanes import Order
from valenza.mixture.plan import Windows, may_compile, plan
from valenza.mixture.weights import draw_epoch

K = TypeVar("K")
V = TypeVar("V")
_BLOCK = 2


@dataclass(frozen=True, slots=True)
class Window:
    """Clips that are heard one after the other."""

    clips: tuple[int, ...]
    """Clip numbers: rows of the index."""
    epoch: int
    number: int
    """Place in its epoch; with seed and epoch the key of everything random that is done to the window."""
    real: bool = True
    """False for a stand-in that keeps the processes in step and counts for nothing."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the stream has been read: all the state that it has."""

    epoch: int = 0
    window: int = 0


@dataclass(frozen=True)
class Peers:
    """The processes that count an epoch's windows together."""

    rank: int = 0
    ranks: int = 1
    add_up: Callable[[list[float]], list[float]] = field(default=lambda values: values)
    """Returns the sums of these numbers over all processes. Called by each of them at the same point of the stream,
    once an epoch, with the same number of numbers."""


@runtime_checkable
class Blocks(Protocol):
    """An epoch in the parts in which it is planned."""

    def __len__(self) -> int:
        """Return the number of blocks, empty ones too."""
        ...

    def read(self, block: int) -> tuple[Int64[np.ndarray, " clips"], Float64[np.ndarray, " clips"]]:
        """Return the numbers of a block's clips and their seconds."""
        ...


@dataclass(frozen=True)
class _Whole:
    """An epoch that is planned at once."""

    rows: Int64[np.ndarray, " clips"]
    durations: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return 1

    def read(self, block: int) -> tuple[Int64[np.ndarray, " clips"], Float64[np.ndarray, " clips"]]:
        return self.rows, self.durations[self.rows]


@dataclass
class WindowStream:
    """Plans one epoch after the other; a step may span two of them."""

    durations: npt.NDArray[np.float64]
    """Seconds, one a clip of the index."""
    rows_of: Mapping[str, npt.NDArray[np.int64]]
    """Corpus → the clip numbers that may be drawn."""
    weights: Mapping[str, float]
    window_seconds: float
    fill: float
    seed: int
    index: ShardIndex | None = None
    """The shards that blocks are made of; without, an epoch is one block, drawn from `rows_of`."""
    lanes: int = 1
    block_hours: float | None = None
    peers: Peers = field(default_factory=Peers)
    _epochs: "OrderedDict[int, Blocks]" = field(default_factory=OrderedDict)
    _orders: "OrderedDict[int, Order]" = field(default_factory=OrderedDict)
    _planned: "dict[int, OrderedDict[tuple[int, int], Planned]]" = field(default_factory=dict)

    def epoch(self, epoch: int) -> list[tuple[int, ...]]:
        """Return the windows of an epoch, in the order in which they are seen."""
        return [self._clips(epoch, number) for number in range(self.length(epoch))]

    def length(self, epoch: int) -> int:
        """Return the number of windows in an epoch."""
        return len(self._order(epoch))

    def take(self, position: Position, count: int) -> tuple[list[Window], Position]:
        """Return the next `count` windows, over epoch ends, and the position after them."""
        return self.own(position, count, rank=0, ranks=1), self.after(position, count)

    def after(self, position: Position, count: int) -> Position:
        """Return the position `count` windows later."""
        for part in self._parts(position, count):
            position = Position(part.epoch, part.first + part.windows)
        return position

    def own(self, position: Position, count: int, *, rank: int, ranks: int) -> list[Window]:
        """Return every `ranks`-th of the next `count` windows, from number `rank` on, without planning the others."""
        own: list[Window] = []
        ahead = 0
        for part in self._parts(position, count):
            for turn in range((rank - ahead) % ranks, part.windows, ranks):
                number = part.first + turn
                own.append(Window(self._clips(part.epoch, number), part.epoch, number))
            ahead += part.windows
        return own

    def passes(self, position: Position, count: int, *, rank: int, ranks: int, per_pass: int) -> Iterator[list[Window]]:
        """Yield what `share` yields of the next `count` windows, and plan no more than that takes."""
        own = self.own(position, count, rank=rank, ranks=ranks)
        each = -(-count // ranks)
        if len(own) < each:
            own.append(_stand_in(self.own(position, 1, rank=0, ranks=1)[0]))
        for at in range(0, each, per_pass):
            yield own[at : at + per_pass]

    def blocks(self, epoch: int) -> Blocks:
        """Return an epoch's blocks; the same number of them, one lane after the other, in each lane."""
        return _kept(self._epochs, epoch, lambda: self._lay_out(epoch))

    def plan_block(self, epoch: int, block: int) -> "Planned":
        """Plan a block anew."""
        blocks = self.blocks(epoch)
        rows, seconds = blocks.read(block)
        whole = isinstance(blocks, _Whole)
        key = (self.seed, epoch) if whole else (self.seed, epoch, _BLOCK, block)
        compiled = may_compile(len(rows) if whole else self._clips_in_all)
        windows = plan(seconds, window_seconds=self.window_seconds, fill=self.fill, key=key, compiled=compiled)
        return Planned(rows, seconds, windows)

    @cached_property
    def _clips_in_all(self) -> int:
        return 0 if self.index is None else int(self.index.clips.sum())

    def _lay_out(self, epoch: int) -> Blocks:
        # Of lanes that are touched at an epoch's end only, nothing is kept for long.
        recent = {lane: held for lane, held in self._planned.items() if max(held)[0] >= epoch - 1}
        self._planned.clear()
        self._planned.update(recent)
        if self.index is None:
            rows = draw_epoch(self.rows_of, self.weights, seed=self.seed, epoch=epoch)
            return _Whole(rows, self.durations)
        block_seconds = None if self.block_hours is None else 3600 * self.block_hours
        return lay_out(
            self.index, self.weights, seed=self.seed, epoch=epoch, lanes=self.lanes, block_seconds=block_seconds
        )

    def _order(self, epoch: int) -> Order:
        return _kept(self._orders, epoch, lambda: Order(self._count(epoch), self._lanes))

    @property
    def _lanes(self) -> int:
        return 1 if self.index is None else self.lanes

    def _count(self, epoch: int) -> Int64[np.ndarray, " blocks"]:
        """Return how many windows each block of an epoch holds, of which the other processes count their share."""
        blocks = len(self.blocks(epoch))
        counts = np.zeros(blocks)
        shared = blocks > 1
        for block in range(blocks):
            if not shared or block // (blocks // self._lanes) % self.peers.ranks == self.peers.rank:
                counts[block] = len((self.plan_block if shared else self._block)(epoch, block).windows)
        return np.array(self.peers.add_up(counts.tolist()) if shared else counts).astype(np.int64)

    def _block(self, epoch: int, block: int) -> "Planned":
        """Return a planned block; of each lane, the last two are kept, as one process reads here and ahead."""
        lane = block // (len(self.blocks(epoch)) // self._lanes)
        held = self._planned.setdefault(lane, OrderedDict())
        return _kept(held, (epoch, block), lambda: self.plan_block(epoch, block))

    def _clips(self, epoch: int, number: int) -> tuple[int, ...]:
        block, place = self._order(epoch).find(number)
        return self._block(epoch, block)[place]

    def _parts(self, position: Position, count: int) -> "Iterator[_Part]":
        """Yield the stretches of epochs that the next `count` windows are."""
        epoch, at = position.epoch, position.window
        while count > 0:
            length = self.length(epoch)
            if not length:
                raise ValueError("there is no clip to train on")
            if at >= length:
                epoch, at = epoch + 1, 0
                continue
            part = _Part(epoch, at, min(count, length - at))
            yield part
            at += part.windows
            count -= part.windows


@dataclass(frozen=True, slots=True)
class _Part:
    epoch: int
    first: int
    windows: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A block and its windows."""

    rows: Int64[np.ndarray, " clips"]
    """Clip numbers, in the order in which they are stored."""
    seconds: Float64[np.ndarray, " clips"]
    windows: Windows
    """Their clips are places among `rows`."""

    def __getitem__(self, place: int) -> tuple[int, ...]:
        """Return the clip numbers of a window."""
        return tuple(self.rows[self.windows[place]].tolist())


def _kept(held: "OrderedDict[K, V]", key: K, make: Callable[[], V]) -> V:
    """Return a value that is made when it is first asked for; the two that were asked for last are kept."""
    if key not in held:
        made = make()
        while len(held) > 1:
            held.popitem(last=False)
        held[key] = made
    held.move_to_end(key)
    return held[key]


def _stand_in(window: Window) -> Window:
    return Window(window.clips, window.epoch, window.number, real=False)


def share(windows: list[Window], *, rank: int, ranks: int, per_pass: int) -> Iterator[list[Window]]:
    """Yield the passes of one process over a step: the same number on every process, stand-ins filling the last.

    The process takes every `ranks`-th window; stand-ins repeat a window with `real` off.
    """
    each = -(-len(windows) // ranks)
    own = windows[rank::ranks]
    own += [_stand_in(windows[0])] * (each - len(own))
    for at in range(0, each, per_pass):
        yield own[at : at + per_pass]
