"""The five invariants of window planning, over many mixtures of durations."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from valenza.mixture.plan import plan_windows

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "platform")}
LIMIT, FILL = 30.0, 0.8
CLOSE = 1e-6

shapes = st.one_of(
    st.lists(st.floats(0.05, LIMIT), max_size=120),
    st.lists(st.floats(0.02, 0.5), max_size=200),
    st.lists(st.floats(14.0, LIMIT), max_size=80),
    st.tuples(st.floats(0.05, LIMIT), st.integers(0, 150)).map(lambda t: [t[0]] * t[1]),
    st.lists(st.sampled_from([0.1, 1.0, 5.0, 6.0, 15.0, 23.9, 24.0, 29.99, 30.0]), max_size=120),
    st.tuples(st.lists(st.just(30.0), max_size=20), st.lists(st.floats(0.1, 3.0), max_size=60)).map(
        lambda t: t[0] + t[1]
    ),
)


def check(durations: list[float], windows: list[list[int]]) -> None:
    """What holds for any input of at most a pool of clips."""
    assert Counter(clip for window in windows for clip in window) == Counter(range(len(durations)))
    seconds = [sum(durations[clip] for clip in window) for window in windows]
    assert all(window for window in windows)
    assert all(s <= LIMIT + CLOSE for s in seconds)
    short = [i for i, s in enumerate(seconds) if s < FILL * LIMIT - CLOSE]
    assert short == list(range(len(windows) - len(short), len(windows))), "windows that are not full come last"
    for i in short:
        later = [durations[clip] for window in windows[i + 1 :] for clip in window]
        assert not later or min(later) > LIMIT - seconds[i] - CLOSE, (
            "a window that is not full had no room for what was left"
        )
    for window, s in zip(windows, seconds, strict=True):
        assert s - durations[window[-1]] < FILL * LIMIT + CLOSE, "drawing stops once a window is full"
    if durations and max(durations) <= (1 - FILL) * LIMIT:
        assert len(short) <= 1, "short clips fill every window but the last"


@settings(max_examples=200, deadline=None)
@given(durations=shapes, seed=st.integers(0, 2**31 - 1), epoch=st.integers(0, 50))
@example(durations=[30.0] * 40, seed=1, epoch=0)
@example(durations=[17.0] * 60, seed=1, epoch=0)
@example(durations=[], seed=1, epoch=0)
@example(durations=[0.01], seed=1, epoch=0)
def test_the_invariants_hold(durations: list[float], seed: int, epoch: int) -> None:
    check(durations, plan_windows(durations, seed=seed, epoch=epoch))


@settings(max_examples=30, deadline=None)
@given(durations=st.lists(st.floats(0.1, 5.0), max_size=60), limit=st.floats(5.0, 30.0), fill=st.floats(0.05, 1.0))
def test_the_limits_hold_for_any_window_and_fill(durations: list[float], limit: float, fill: float) -> None:
    windows = plan_windows(durations, window_seconds=limit, fill=fill, seed=3, epoch=1)
    assert sorted(clip for window in windows for clip in window) == list(range(len(durations)))
    assert all(sum(durations[c] for c in window) <= limit + CLOSE for window in windows)


@pytest.mark.parametrize("kind", ["speech", "uniform", "bimodal", "long"])
def test_corpora_larger_than_the_pool_leave_few_windows_short(kind: str) -> None:
    rng = np.random.default_rng(4)
    n = 12_000
    durations = {
        "speech": np.clip(rng.lognormal(1.0, 0.5, n), 0.3, LIMIT),
        "uniform": rng.uniform(0.3, LIMIT, n),
        "bimodal": np.where(rng.random(n) < 0.8, 2.0, 20.0) + rng.uniform(0, 0.5, n),
        "long": np.where(rng.random(n) < 0.9, rng.uniform(16, 20, n), rng.uniform(5, 8, n)),
    }[kind]
    windows = plan_windows(durations, seed=1, epoch=0)
    assert sorted(clip for window in windows for clip in window) == list(range(n))
    seconds = np.array([durations[window].sum() for window in windows])
    assert seconds.max() <= LIMIT + CLOSE
    short = seconds < FILL * LIMIT - CLOSE
    assert not short[: len(short) - short.sum()].any()
    if kind != "long":  # nine clips of sixteen seconds or more to one that could join them
        assert short.sum() <= 1 + len(windows) // 1000


def test_draws_that_strand_long_clips_are_taken_back() -> None:
    """As many clips of 18 s as of 7 s: four short ones fill a window too, and would leave four long ones alone."""
    durations = [18.0] * 500 + [7.0] * 500
    windows = plan_windows(durations, seed=2, epoch=0)
    short = [w for w in windows if sum(durations[c] for c in w) < 24]
    assert not short


def test_the_same_arguments_give_the_same_windows_in_every_process() -> None:
    code = (
        "import hashlib, numpy as np; from valenza.mixture.plan import plan_windows;"
        "d = np.random.default_rng(0).uniform(.3, 30, 3000);"
        "print(hashlib.sha256(repr(plan_windows(d, seed=5, epoch=2)).encode()).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**ENVIRONMENT, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    }
    assert len(told) == 1


def test_epochs_and_seeds_differ() -> None:
    durations = np.random.default_rng(0).uniform(0.3, 10, 200)
    plans = [plan_windows(durations, seed=s, epoch=e) for s, e in ((1, 0), (1, 1), (2, 0), (2, 1))]
    assert len({repr(plan) for plan in plans}) == 4
    assert plan_windows(durations.tolist(), seed=1, epoch=0) == plans[0]


@pytest.mark.parametrize("durations", [[30.1], [0.0], [-1.0], [float("nan")], [float("inf")]])
def test_durations_that_cannot_be_planned_are_refused(durations: list[float]) -> None:
    with pytest.raises(ValueError, match=r"clip 0 lasts 30.1 s|positive, finite"):
        plan_windows(durations, seed=1, epoch=0)


def test_a_window_that_cannot_be_filled_is_refused() -> None:
    for window, fill in ((30.0, 0.0), (30.0, 1.1), (0.0, 0.5)):
        with pytest.raises(ValueError, match="cannot be planned"):
            plan_windows([], window_seconds=window, fill=fill, seed=1, epoch=0)


def test_a_million_clips_are_planned_in_seconds_and_in_a_gigabyte() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "valenza", "bench", "plan", "--json"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(done.stdout)
    assert measured["clips"] == 1_000_000
    assert measured["seconds"] < 60
    assert measured["peak_memory_mb"] < 1024
    assert measured["mean_fill"] > 0.8
    assert measured["windows_below_fill"] <= measured["windows"] * 1e-4
