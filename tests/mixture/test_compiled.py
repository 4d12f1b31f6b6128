"""Machine code plans the very windows that the readable planner plans."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from valenza.mixture import plan as planning
from valenza.mixture.plan import plan

pytest.importorskip("numba", reason="Numba is not installed")

durations = st.one_of(
    st.lists(st.floats(0.05, 30.0), max_size=150),
    st.lists(st.floats(14.0, 30.0), max_size=80),
    st.lists(st.sampled_from([0.1, 1.0, 5.0, 6.0, 7.0, 15.0, 18.0, 23.9, 24.0, 29.99, 30.0]), max_size=200),
    st.tuples(st.floats(0.05, 30.0), st.integers(0, 150)).map(lambda t: [t[0]] * t[1]),
    st.integers(0, 300).map(lambda n: (np.ceil(np.random.default_rng(n).uniform(0.3, 12, n) * 50) / 50).tolist()),
)


@settings(max_examples=150, deadline=None)
@given(
    durations=durations,
    pool=st.sampled_from([2, 3, 16, 65, 4096]),
    fill=st.sampled_from([0.05, 0.5, 0.8, 1.0]),
    key=st.integers(0, 2**31),
)
@example(durations=[18.0] * 200 + [7.0] * 200, pool=4096, fill=0.8, key=2)  # stranded: windows are taken back
@example(durations=[17.0] * 90, pool=16, fill=0.8, key=2)  # nothing can be filled
@example(durations=[], pool=4096, fill=0.8, key=2)
def test_the_windows_are_the_same(durations: list[float], pool: int, fill: float, key: int) -> None:
    kept = planning.POOL
    planning.POOL = pool
    try:
        slow, fast = (
            plan(durations, window_seconds=30.0, fill=fill, key=(key, 3), compiled=compiled)
            for compiled in (False, True)
        )
    finally:
        planning.POOL = kept
    assert fast.ends.tolist() == slow.ends.tolist()
    assert fast.clips.tolist() == slow.clips.tolist()


@pytest.mark.parametrize("kind", ["speech", "uniform", "long"])
def test_the_windows_of_more_clips_than_the_pool_are_the_same(kind: str) -> None:
    rng = np.random.default_rng(4)
    lengths = {
        "speech": np.ceil(np.clip(rng.lognormal(1.3, 0.5, 30_000), 0.3, 30) * 50) / 50,
        "uniform": rng.uniform(0.3, 30, 12_000),
        "long": np.where(rng.random(9_000) < 0.9, rng.uniform(16, 20, 9_000), rng.uniform(5, 8, 9_000)),
    }[kind]
    slow, fast = (plan(lengths, window_seconds=30.0, fill=0.8, key=(1, 2), compiled=c) for c in (False, True))
    assert (fast.ends == slow.ends).all()
    assert (fast.clips == slow.clips).all()


def test_small_epochs_do_not_wait_for_numba_to_load() -> None:
    assert not planning.may_compile(planning.LARGE - 1)
    assert planning.may_compile(planning.LARGE)
