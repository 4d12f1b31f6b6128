"""How fast an epoch is planned, and how full its windows are."""

import resource
import time

import numpy as np

from valenza.mixture.plan import plan_windows


def measure_plan(clips: int, *, window_seconds: float, fill: float, seed: int) -> dict[str, float]:
    """Plan over durations drawn evenly from .3 s to the whole window: many long clips, the hardest to fill with."""
    durations = np.random.default_rng(seed).uniform(0.3, window_seconds, clips)
    began = time.perf_counter()
    windows = plan_windows(durations, window_seconds=window_seconds, fill=fill, seed=seed, epoch=0)
    seconds = time.perf_counter() - began
    filled = np.array([durations[window].sum() for window in windows]) / window_seconds
    return {
        "clips": clips,
        "windows": len(windows),
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "mean_fill": round(float(filled.mean()), 4),
        "lowest_fill": round(float(filled.min()), 4),
        "windows_below_fill": int((filled < fill - 1e-9).sum()),
    }
