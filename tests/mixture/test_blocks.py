"""Blocks, lanes and processes: however an epoch is cut and dealt, each clip is heard as often as its weight says."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from valenza.cli.options import read_recipe
from valenza.mixture.blocks import HeldIndex, Layout, lay_out
from valenza.mixture.lanes import Order
from valenza.mixture.plan import plan_windows
from valenza.mixture.stream import Peers, Position, Window, WindowStream, share
from valenza.mixture.weights import draw_epoch
from valenza.stages.prepare import prepare, training_stream

PASS = 2


def corpora(shards: int, clips: int = 9) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Durations, rows and shards of two corpora; some rows of each are held back."""
    rng = np.random.default_rng(shards)
    sizes = rng.integers(1, 2 * clips, shards)
    shard_of = np.repeat(np.arange(shards), sizes)
    durations = np.ceil(rng.uniform(0.4, 11, len(shard_of)) * 50) / 50
    trained = np.flatnonzero(rng.random(len(shard_of)) < 0.9)
    half = shards // 2
    rows_of = {"a": trained[shard_of[trained] < half], "b": trained[shard_of[trained] >= half]}
    return durations, rows_of, shard_of


def stream(
    shards: int,
    lanes: int = 1,
    block_hours: float | None = None,
    *,
    blocks: bool = True,
    peers: Peers | None = None,
    **weights: float,
) -> WindowStream:
    durations, rows_of, shard_of = corpora(shards)
    return WindowStream(
        durations,
        rows_of,
        {"a": 1.0, "b": 1.0, **weights},
        window_seconds=30.0,
        fill=0.8,
        seed=11,
        index=HeldIndex(durations, rows_of, shard_of) if blocks else None,
        lanes=lanes,
        block_hours=block_hours,
        peers=peers or Peers(),
    )


def trained(shards: int) -> set[int]:
    return {int(row) for rows in corpora(shards)[1].values() for row in rows}


class Numbers(Dataset[list[Window]]):
    """Serves the windows that it is asked for, as a worker does."""

    def __getitem__(self, windows: list[Window]) -> list[Window]:
        return windows


def heard(stream: WindowStream, step: int, *, rank: int, ranks: int, workers: int) -> list[list[Window]]:
    """What a process hears of the first epoch and a little of the next, pass by pass, through a real loader."""

    def passes() -> list[list[Window]]:
        position, found = Position(), []
        for _ in range(-(-stream.length(0) // step)):
            found += stream.passes(position, step, rank=rank, ranks=ranks, per_pass=PASS)
            position = stream.after(position, step)
        return found

    loader = DataLoader(Numbers(), sampler=passes(), batch_size=None, num_workers=workers)  # type: ignore[arg-type]
    return list(loader)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores are meant
@pytest.mark.parametrize("ranks", range(1, 8))
@pytest.mark.parametrize("shards", range(1, 8))
def test_any_shards_ranks_and_workers_give_equal_steps_and_each_clip_once(shards: int, ranks: int) -> None:
    """343 cases: workers only serve what they are told, so those of one process stand for the others."""
    for workers in range(1, 8):
        lanes = 1 + (shards * ranks * workers) % 7
        one, step = stream(shards, lanes, block_hours=0.01), 8
        real = workers == 1 + (shards + ranks) % 7  # starting 28 processes in each of 343 cases would take an hour
        dealt = [heard(one, step, rank=r, ranks=ranks, workers=workers if real and r == 0 else 0) for r in range(ranks)]
        assert len({tuple(map(len, passes)) for passes in dealt}) == 1, "a process with a pass more waits for ever"
        windows = [w for passes in dealt for each in passes for w in each if w.real]
        assert Counter(clip for w in windows if w.epoch == 0 for clip in w.clips) == Counter(trained(shards))
        assert sorted({w.number for w in windows if w.epoch == 0}) == list(range(one.length(0)))
        taken, _ = one.take(Position(), len(windows))
        assert sorted(windows, key=lambda w: (w.epoch, w.number)) == taken, "the order knows nothing of processes"


def test_without_blocks_an_epoch_is_what_it_always_was() -> None:
    for lanes in (1, 3):  # lanes are lanes of blocks
        one = stream(5, lanes, blocks=False, b=1.5)
        durations, rows_of, _ = corpora(5)
        for epoch in (0, 1, 7):
            rows = draw_epoch(rows_of, {"a": 1.0, "b": 1.5}, seed=11, epoch=epoch)
            planned = plan_windows(durations[rows], seed=11, epoch=epoch)
            assert one.epoch(epoch) == [tuple(rows[window].tolist()) for window in planned]


def slowly(one: WindowStream, epoch: int) -> list[tuple[int, ...]]:
    """One window from each lane in turn, lanes that have run dry skipped, written as it is said."""
    blocks = len(one.blocks(epoch))
    lanes = []
    for lane in range(one.lanes):
        each = blocks // one.lanes
        planned = [one.plan_block(epoch, block) for block in range(lane * each, (lane + 1) * each)]
        lanes.append([p[i] for p in planned for i in range(len(p.windows))])
    order = []
    while any(lanes):
        order += [lane.pop(0) for lane in lanes if lane]
    return order


settled = settings(max_examples=40, deadline=None)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 9), st.sampled_from([None, 0.004, 0.01, 0.03]))


@settled
@given(shape=shapes, epoch=st.integers(0, 3), weight=st.sampled_from([0.3, 1.0, 1.5, 2.0]))
def test_windows_come_from_each_lane_in_turn(shape: tuple[int, int, float | None], epoch: int, weight: float) -> None:
    one = stream(*shape, b=weight)
    assert one.epoch(epoch) == slowly(one, epoch)
    assert len(one.blocks(epoch)) % one.lanes == 0


@settled
@given(shape=shapes, epoch=st.integers(0, 3), weight=st.sampled_from([0.3, 0.5, 1.0, 1.7, 3.0]))
def test_each_clip_is_heard_as_often_as_its_weight_says(
    shape: tuple[int, int, float | None], epoch: int, weight: float
) -> None:
    one, (_, rows_of, _) = stream(*shape, b=weight), corpora(shape[0])
    if not sum(map(len, rows_of.values())):
        return
    often = Counter(clip for window in one.epoch(epoch) for clip in window)
    assert all(often[clip] == 1 for clip in rows_of["a"].tolist())
    assert all(int(weight) <= often[clip] <= int(weight) + 1 for clip in rows_of["b"].tolist())
    extra = sum(often[clip] - int(weight) for clip in rows_of["b"].tolist())
    assert extra == round((weight - int(weight)) * len(rows_of["b"]))


def test_the_share_of_a_corpus_is_another_one_each_epoch() -> None:
    shares = [frozenset(c for w in stream(8, 2, 0.01, b=0.5).epoch(e) for c in w) for e in range(3)]
    assert len(set(shares)) == 3


@settings(settled, max_examples=20)
@given(shape=shapes, cuts=st.lists(st.integers(0, 30), max_size=5), ranks=st.integers(1, 7), step=st.integers(1, 30))
def test_resumed_at_any_window_by_any_number_of_processes_it_goes_on_as_it_would_have(
    shape: tuple[int, int, float | None], cuts: list[int], ranks: int, step: int
) -> None:
    whole, _ = stream(*shape).take(Position(), sum(cuts) + step)
    position = Position()
    for count in cuts:
        position = stream(*shape).after(position, count)
    for rank in range(ranks):
        resumed = stream(*shape).own(position, step, rank=rank, ranks=ranks)
        assert resumed == whole[sum(cuts) :][rank::ranks]
        passes = list(stream(*shape).passes(position, step, rank=rank, ranks=ranks, per_pass=PASS))
        assert passes == list(share(whole[sum(cuts) :], rank=rank, ranks=ranks, per_pass=PASS))


def together(make: Callable[[Peers], WindowStream], ranks: int, epoch: int) -> list[WindowStream]:
    """Streams of several processes that have counted an epoch together."""
    told: list[list[float]] = []
    for rank in range(ranks):
        make(Peers(rank, ranks, lambda own: told.append(own) or own)).length(epoch)  # type: ignore[func-returns-value]
    sums = np.sum(told, axis=0).tolist()
    return [make(Peers(rank, ranks, lambda own: sums)) for rank in range(ranks)]


@pytest.mark.parametrize(("lanes", "ranks"), [(4, 4), (4, 2), (6, 3), (4, 3), (2, 5), (7, 7)])
def test_processes_that_count_together_know_what_one_alone_knows(lanes: int, ranks: int) -> None:
    alone = stream(9, lanes, 0.01)
    met = together(lambda peers: stream(9, lanes, 0.01, peers=peers), ranks, epoch=0)
    for rank, one in enumerate(met):
        assert one.length(0) == alone.length(0)
        assert one.own(Position(), alone.length(0), rank=rank, ranks=ranks) == alone.own(
            Position(), alone.length(0), rank=rank, ranks=ranks
        )


def test_processes_that_divide_the_lanes_plan_and_read_their_own_only() -> None:
    ranks, lanes = 3, 6
    read: list[set[int]] = []
    planned: list[set[int]] = []

    class Watched(WindowStream):
        def plan_block(self, epoch: int, block: int):  # type: ignore[no-untyped-def]
            planned[-1].add(block)
            found = super().plan_block(epoch, block)
            read[-1].update(found.rows.tolist())
            return found

    durations, rows_of, shard_of = corpora(20, clips=30)
    index = HeldIndex(durations, rows_of, shard_of)

    def make(peers: Peers) -> WindowStream:
        read.append(set())
        planned.append(set())
        return Watched(durations, rows_of, {"a": 1.0, "b": 1.0}, 30.0, 0.8, 11, index, lanes, 0.02, peers)

    met = together(make, ranks, epoch=0)
    read.clear()
    planned.clear()
    met = [make(one.peers) for one in met]
    rounds = int(
        Order(
            np.array([len(met[0].plan_block(0, b).windows) for b in range(len(met[0].blocks(0)))]), lanes
        ).lengths.min()
    )
    read.clear()
    planned.clear()
    each = len(met[0].blocks(0)) // lanes
    for rank, one in enumerate(met):
        read.append(set())
        planned.append(set())
        one.own(Position(), rounds * lanes, rank=rank, ranks=ranks)
        assert {block // each % ranks for block in planned[rank]} == {rank}
    assert not any(read[a] & read[b] for a in range(ranks) for b in range(a))
    layout = met[0].blocks(0)
    assert isinstance(layout, Layout)
    lane = np.repeat(np.arange(len(layout)), np.diff(layout.starts)) // each
    shared = Counter(shard for _, shard in {*zip(lane.tolist(), layout.shards.tolist(), strict=True)})
    assert sum(times - 1 for times in shared.values()) <= lanes - 1, "two lanes share a shard only where they meet"


def test_blocks_and_lanes_are_equally_long_and_hold_every_corpus() -> None:
    durations, rows_of, shard_of = corpora(1200, clips=40)
    layout = lay_out(
        HeldIndex(durations, rows_of, shard_of),
        {"a": 1.0, "b": 1.0},
        seed=1,
        epoch=0,
        lanes=4,
        block_seconds=16_000.0,
    )
    seconds = np.array([layout.read(block)[1].sum() for block in range(len(layout))])
    assert abs(seconds.mean() - 16_000) < 1600
    assert seconds.max() / seconds.mean() < 1.02
    of_a = np.array([np.isin(layout.read(block)[0], rows_of["a"]).mean() for block in range(len(layout))])
    assert of_a.min() > 0.4
    assert of_a.max() < 0.6


def test_an_order_of_uneven_lanes_skips_those_that_have_run_dry() -> None:
    order = Order(np.array([2, 0, 0, 0, 1, 3]), lanes=3)  # lanes of 2, 0 and 4 windows
    assert [order.find(number) for number in range(len(order))] == [(0, 0), (4, 0), (0, 1), (5, 0), (5, 1), (5, 2)]


def test_a_recipe_says_how_many_lanes_and_how_long_blocks_are(corner: Any) -> None:
    plain = read_recipe(corner.recipe, None)
    laned = read_recipe(corner.recipe, ["data.lanes=3", "data.block_hours=0.002", "data.train.english=2"])
    prepared = prepare(laned)
    made = training_stream(laned, prepared)
    assert len(made.blocks(0)) % 3 == 0
    assert len(made.blocks(0)) > 3
    rows = prepared.rows_of("train")
    wanted = Counter({**dict.fromkeys(rows["english"].tolist(), 2), **dict.fromkeys(rows["italian"].tolist(), 1)})
    assert Counter(clip for window in made.epoch(0) for clip in window) == wanted
    assert training_stream(plain, prepare(plain)).index is None
