"""What is planned at once: an epoch's shards in a drawn order, cut into blocks of about equal length.

A block is a few pieces of shards, each a run of clips that lie one after the other in their tar: it is read from front
to back. Where a cut falls is computed from what `shards.json` says of a shard (clips and seconds) and never from
its clips: whoever plans a block reads the index of its shards and of no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from valenza.mixture.weights import extra_of, generator

_ORDER = 1


@runtime_checkable
class ShardIndex(Protocol):
    """What planning asks of shards: their sums at once, their clips shard by shard."""

    corpora: Sequence[str]
    """The corpus of each shard."""
    clips: Int64[np.ndarray, " shards"]
    """Clips of each shard that are trained on."""
    seconds: Float64[np.ndarray, " shards"]
    """How long these are together; blocks are as equal as these sums are true."""

    def read(self, shard: int) -> tuple[Int64[np.ndarray, " clips"], Float64[np.ndarray, " clips"]]:
        """Return the numbers of a shard's clips, in the order in which they are stored, and their seconds."""
        ...


class HeldIndex:
    """The shards of an index that is in memory."""

    def __init__(
        self,
        durations: Float64[np.ndarray, " rows"],
        rows_of: Mapping[str, Int64[np.ndarray, " _"]],
        shard_of: Int64[np.ndarray, " rows"],
    ) -> None:
        """Group the rows of each corpus by the number of their shard, `shard_of`; no two corpora share a shard."""
        corpora = sorted(rows_of)
        rows = np.concatenate([rows_of[corpus] for corpus in corpora]) if corpora else np.empty(0, np.int64)
        named = np.repeat(np.arange(len(corpora)), [len(rows_of[corpus]) for corpus in corpora])
        order = np.lexsort((rows, shard_of[rows], named))
        self._rows, named = rows[order], named[order]
        self._durations = durations
        _, starts, counts = np.unique(shard_of[self._rows], return_index=True, return_counts=True)
        arranged = np.argsort(starts)
        self._starts = starts[arranged]
        self.clips: Int64[np.ndarray, " shards"] = counts[arranged].astype(np.int64)
        self.corpora: Sequence[str] = [corpora[number] for number in named[self._starts]]
        sums = np.add.reduceat(durations[self._rows], self._starts) if len(self._starts) else np.empty(0)
        self.seconds: Float64[np.ndarray, " shards"] = np.asarray(sums, dtype=np.float64)

    def read(self, shard: int) -> tuple[Int64[np.ndarray, " clips"], Float64[np.ndarray, " clips"]]:
        """Return the rows of a shard's clips, in the order of the index, and their seconds."""
        rows = self._rows[self._starts[shard] : self._starts[shard] + self.clips[shard]]
        return rows, self._durations[rows]


@dataclass(frozen=True)
class Layout:
    """The blocks of one epoch, as pieces of shards."""

    index: ShardIndex
    key: tuple[int, int]
    """Seed and epoch."""
    starts: Int64[np.ndarray, " blocks_and_one"]
    """Where among the pieces each block begins, and where the last one ends."""
    shards: Int64[np.ndarray, " pieces"]
    firsts: Int64[np.ndarray, " pieces"]
    """The first clip of each piece, of those of its shard that are drawn."""
    lasts: Int64[np.ndarray, " pieces"]
    """One beyond its last clip."""
    drawn: Int64[np.ndarray, " pieces"]
    """How many of the shard's clips are drawn, where not all are; −1 where they are."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def read(self, block: int) -> tuple[Int64[np.ndarray, " clips"], Float64[np.ndarray, " clips"]]:
        """Return the numbers of a block's clips and their seconds."""
        rows, seconds = [np.empty(0, np.int64)], [np.empty(0)]
        for piece in range(self.starts[block], self.starts[block + 1]):
            own, lengths = self.index.read(int(self.shards[piece]))
            within = slice(self.firsts[piece], self.lasts[piece])
            if self.drawn[piece] >= 0:
                chosen = self._share(int(self.shards[piece]), int(self.drawn[piece]))[within]
                own, lengths = own[chosen], lengths[chosen]
            else:
                own, lengths = own[within], lengths[within]
            rows.append(own)
            seconds.append(lengths)
        return np.concatenate(rows), np.concatenate(seconds)

    def _share(self, shard: int, count: int) -> Int64[np.ndarray, " drawn"]:
        """Return which clips of a shard are drawn once more: each piece of the share must find the same ones."""
        rng = generator(*self.key, self.index.corpora[shard], shard)
        return np.sort(rng.choice(int(self.index.clips[shard]), size=count, replace=False))


def lay_out(
    index: ShardIndex,
    weights: Mapping[str, float],
    *,
    seed: int,
    epoch: int,
    lanes: int,
    block_seconds: float | None,
) -> Layout:
    """Return the blocks of an epoch: as many in each lane, of about `block_seconds`, or one where it is not said.

    Each shard is there `floor(weight)` times, and a fresh random share of its clips once more; the shares of a corpus
    add up as those of a whole corpus would. Every corpus is spread over all blocks. The blocks of a lane follow one
    another, so that two lanes share a shard only where one ends and the next begins.
    """
    shards, counts, partial = _items(index, weights)
    order = _shuffled(shards, index, np.random.SeedSequence([seed, epoch, _ORDER]))
    shards, counts, partial = shards[order], counts[order], partial[order]
    seconds = index.seconds[shards] * counts / index.clips[shards]
    total = float(seconds.sum())
    blocks = lanes * (1 if block_seconds is None else max(1, round(total / (lanes * block_seconds))))
    ends, spoken = np.cumsum(counts), np.cumsum(seconds)
    cuts = np.zeros(blocks + 1, dtype=np.int64)
    if len(shards):
        goals = total * np.arange(1, blocks) / blocks
        item = np.minimum(np.searchsorted(spoken, goals), len(shards) - 1)
        part = np.clip(1 - (spoken[item] - goals) / seconds[item], 0, 1)
        cuts[1:-1] = ends[item] - counts[item] + np.rint(part * counts[item]).astype(np.int64)
        cuts[-1] = ends[-1]
    begins = np.concatenate([[0], ends]).astype(np.int64)
    edges = np.unique(np.concatenate([begins, cuts]))
    item = np.searchsorted(begins, edges[:-1], side="right") - 1
    first = edges[:-1] - begins[item]
    return Layout(
        index,
        (seed, epoch),
        starts=np.searchsorted(edges, cuts),
        shards=shards[item],
        firsts=first,
        lasts=first + np.diff(edges),
        drawn=np.where(partial[item], counts[item], -1),
    )


def _shuffled(
    shards: Int64[np.ndarray, " items"], index: ShardIndex, entropy: np.random.SeedSequence
) -> Int64[np.ndarray, " items"]:
    """Return a random order in which every stretch holds about the same share of each corpus.

    Blocks are then alike: none teaches one corpus alone, and none packs better or worse than the others.
    """
    rng = np.random.Generator(np.random.Philox(entropy))
    named = np.array(index.corpora, dtype=np.str_)[shards]
    places = np.empty(len(shards))
    for corpus in np.unique(named):
        own = np.flatnonzero(named == corpus)
        places[rng.permutation(own)] = (np.arange(len(own)) + rng.random(len(own))) / len(own)
    return np.argsort(places, kind="stable")


def _items(
    index: ShardIndex, weights: Mapping[str, float]
) -> tuple[Int64[np.ndarray, " items"], Int64[np.ndarray, " items"], Bool[np.ndarray, " items"]]:
    """Return what an epoch holds: shards, as many of their clips, and whether these are a share that is drawn."""
    named = np.array(index.corpora, dtype=np.str_)
    shards: list[Int64[np.ndarray, " _"]] = [np.empty(0, np.int64)]
    counts: list[Int64[np.ndarray, " _"]] = [np.empty(0, np.int64)]
    whole = 0
    for corpus in sorted(weights):
        own = np.flatnonzero(named == corpus)
        shards += [own] * int(weights[corpus])
        counts += [index.clips[own]] * int(weights[corpus])
    whole = sum(map(len, shards))
    for corpus in sorted(weights):
        own = np.flatnonzero(named == corpus)
        # Shares are rounded as they add up, so that small shards do not lose theirs.
        up_to = np.concatenate([[0], np.cumsum(index.clips[own])])
        shards.append(own)
        counts.append(np.diff([extra_of(weights[corpus], int(clips)) for clips in up_to]).astype(np.int64))
    found, sizes = np.concatenate(shards), np.concatenate(counts)
    partial = np.arange(len(found)) >= whole
    return found[sizes > 0], sizes[sizes > 0], partial[sizes > 0]
