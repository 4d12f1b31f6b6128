"""How fast an epoch is planned, and how full its windows are."""

import re
import resource
import sys
import time
from pathlib import Path

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
        "peak_memory_mb": round(peak_memory() / 2**20, 1),
        "mean_fill": round(float(filled.mean()), 4),
        "lowest_fill": round(float(filled.min()), 4),
        "windows_below_fill": int((filled < fill - 1e-9).sum()),
    }


def peak_memory() -> int:
    """Return the most bytes that this process has held at once.

    Linux's `ru_maxrss` counts the process that started this one, up to the moment it became valenza; `VmHWM` does not.
    """
    status = Path("/proc/self/status")
    if status.is_file() and (peak := re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)):
        return int(peak[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
