"""Which of two ways is faster, measured in turns so that a busy machine slows both."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from valenza.evaluation.bootstrap import percentiles

_DRAWS = 10_000


@dataclass(frozen=True)
class Timing:
    """Wall times of two ways of doing the same."""

    first: float
    """Median seconds."""
    second: float
    """Median seconds."""
    ratio: float
    """How many times as long the first takes as the second: the ratio of the medians."""
    ci95: tuple[float, float]
    """Of the ratio, from drawing rounds again; a round's two times stay together."""
    rounds: int


def race(first: Callable[[], object], second: Callable[[], object], *, rounds: int = 15, warm_up: int = 2) -> Timing:
    """Time two callables in turns, first, second, first, second and so on, after `warm_up` turns that do not count.

    A callable that works on an accelerator must wait for it before it returns. The garbage collector sleeps meanwhile.
    """
    times = np.empty((rounds, 2))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for round_ in range(-warm_up, rounds):
            for side, act in enumerate((first, second)):
                began = time.perf_counter()
                act()
                took = time.perf_counter() - began
                if round_ >= 0:
                    times[round_, side] = took
    finally:
        if collecting:
            gc.enable()
    return judged(times[:, 0].tolist(), times[:, 1].tolist())


def judged(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> Timing:
    """Return the medians of two rows of seconds, their ratio and its 95 % interval."""
    times = np.array([first, second])
    drawn = np.random.default_rng(seed).integers(0, times.shape[1], size=(_DRAWS, times.shape[1]))
    again = np.median(times[:, drawn], axis=2)
    middle = np.median(times, axis=1)
    ratio = float(middle[0] / middle[1])
    return Timing(float(middle[0]), float(middle[1]), ratio, percentiles(again[0] / again[1]), times.shape[1])
