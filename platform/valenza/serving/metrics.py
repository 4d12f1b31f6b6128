"""How the server is doing, in one line of its log; of its clients it says how many, and nothing else."""

import asyncio
import resource
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from valenza.terminal import count, say

_EVERY = 30.0
_KEPT = 4096


class Metrics:
    """Counts since the last line."""

    def __init__(self) -> None:
        self.streams = 0
        """Open now."""
        self.files = 0
        """Being received, heard or answered now."""
        self.refused = 0
        self.dropped = 0
        self._pieces = 0
        self._calls = 0
        self._seconds = 0.0
        self._busy = 0.0
        self._lags: deque[float] = deque(maxlen=_KEPT)
        self._since = time.monotonic()

    @contextmanager
    def file(self) -> Iterator[None]:
        """Count a file as long as it is dealt with."""
        self.files += 1
        try:
            yield
        finally:
            self.files -= 1

    def heard(self, pieces: int, calls: int, seconds: float, busy: float) -> None:
        """Count pieces of so many seconds of audio that went through the model in `busy` seconds."""
        self._pieces += pieces
        self._calls += calls
        self._seconds += seconds
        self._busy += busy

    def answered(self, lag: float) -> None:
        """Count an answer, so many seconds after its piece was due."""
        self._lags.append(lag)

    def line(self) -> str:
        """Return what happened since the last line, and begin anew."""
        now = time.monotonic()
        p50, p95, p99 = np.percentile(self._lags, (50, 95, 99)) * 1000 if self._lags else (0.0, 0.0, 0.0)
        parts = [
            f"{count(self.streams, 'stream')}, {count(self.files, 'file')}",
            f"{self._seconds:.0f} s heard in {count(self._calls, 'batch').replace('batchs', 'batches')}",
            f"{self._pieces / max(1, self._calls):.1f} each",
            f"model busy {self._busy / max(1e-9, now - self._since):.0%}",
            f"answers after {p50:.0f} ms (p95 {p95:.0f}, p99 {p99:.0f})",
            f"{self.refused} refused, {self.dropped} dropped",
            f"memory {resident() / 2**20:.0f} MiB",
        ]
        self.refused = self.dropped = self._pieces = self._calls = 0
        self._seconds = self._busy = 0.0
        self._lags.clear()
        self._since = now
        return "metrics: " + "; ".join(parts)

    async def report(self) -> None:
        """Say a line every half minute in which something happened."""
        while True:
            await asyncio.sleep(_EVERY)
            if self._calls or self.refused or self.dropped:
                say(self.line())


def resident() -> int:
    """Return the bytes of memory that this process holds; where that is not told, the most that it ever held."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
