"""The sequence of windows is one and the same, however it is cut and dealt."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.mixture.stream import Position, Window, WindowStream, share


def stream(clips: int = 60, **weights: float) -> WindowStream:
    durations = np.random.default_rng(3).uniform(0.5, 12, clips)
    rows = {"a": np.arange(0, clips // 2), "b": np.arange(clips // 2, clips)}
    return WindowStream(durations, rows, {"a": 1.0, "b": 0.5, **weights}, window_seconds=30.0, fill=0.8, seed=11)


ALL, _ = stream().take(Position(), 80)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 25), max_size=6))
def test_however_it_is_cut_it_is_the_same(cuts: list[int]) -> None:
    position, taken = Position(), []
    for count in cuts:
        windows, position = stream().take(position, count)  # a new stream each time, as after a crash
        assert len(windows) == count
        taken += windows
    assert taken == ALL[: len(taken)] if len(taken) <= 80 else taken[:80] == ALL
    rest, _ = stream().take(position, max(0, 80 - len(taken)))
    assert (taken + rest)[:80] == ALL


def test_each_epoch_holds_what_the_weights_say() -> None:
    for epoch in range(3):
        often = Counter(clip for w in ALL if w.epoch == epoch for clip in w.clips)
        assert all(often[clip] == 1 for clip in range(30))
        assert sum(often[clip] for clip in range(30, 60)) == 15
        assert [w.number for w in ALL if w.epoch == epoch] == list(range(len(stream().epoch(epoch))))
    assert stream().epoch(0) != stream().epoch(1)


def test_epochs_may_be_asked_for_in_any_order() -> None:
    one = stream()
    backwards = [one.epoch(e) for e in (5, 4, 0, 5, 1)]
    assert backwards == [stream().epoch(e) for e in (5, 4, 0, 5, 1)]


def test_a_stream_without_clips_says_so() -> None:
    empty = WindowStream(np.array([1.0]), {"a": np.arange(0)}, {"a": 1.0}, window_seconds=30.0, fill=0.8, seed=1)
    with pytest.raises(ValueError, match="no clip to train on"):
        empty.take(Position(), 1)


@pytest.mark.parametrize("ranks", range(1, 8))
@pytest.mark.parametrize("per_pass", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_processes_share_a_step_without_loss_or_repetition(ranks: int, per_pass: int, count: int) -> None:
    windows = ALL[:count]
    dealt = [list(share(windows, rank=r, ranks=ranks, per_pass=per_pass)) for r in range(ranks)]
    assert len({len(passes) for passes in dealt}) == 1, "a process with a pass more would wait for ever"
    assert len({tuple(map(len, passes)) for passes in dealt}) == 1
    assert all(0 < len(held) <= per_pass for passes in dealt for held in passes)
    flat: list[Window] = [w for passes in dealt for held in passes for w in held]
    assert sorted((w for w in flat if w.real), key=windows.index) == windows
    assert all(w.clips == windows[0].clips for w in flat if not w.real)
    assert sum(not w.real for w in flat) < ranks
