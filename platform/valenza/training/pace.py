"""How long each process works before the others wait for it, so that a slow one is told by name."""

from collections import deque

import numpy as np
from accelerate import Accelerator

from valenza.training.peers import gather

EVERY = 100
"""Steps between comparisons."""
_SLOW = 1.5
"""A process is a straggler if its median is so many times that of the others."""


class Pace:
    """The last steps of this process, compared with those of the others."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self._busy: deque[float] = deque(maxlen=EVERY)
        self._waited: deque[float] = deque(maxlen=EVERY)

    def add(self, busy: float, waited: float) -> None:
        """Take in a step: seconds until this process was ready to exchange gradients, and of them waiting for data."""
        self._busy.append(busy)
        self._waited.append(waited)

    def told(self, step: int) -> list[str]:
        """Return every hundred steps what to say of the pace; every process must ask."""
        if step % EVERY or not self._busy:
            return []
        own = [*np.percentile(self._busy, [50, 95]), *np.percentile(self._waited, [50, 95])]
        busy50, busy95, waited50, waited95 = np.array(gather(self.accelerator, own)).T
        lines = [
            f"pace over {len(self._busy)} steps: ready after {np.median(busy50):.3f} s (95 %: {busy95.max():.3f} s), "
            f"of which waiting for data {np.median(waited50):.3f} s (95 %: {waited95.max():.3f} s)"
        ]
        for rank, seconds in enumerate(busy50 if len(busy50) > 1 else ()):
            typical = float(np.median(np.delete(busy50, rank)))
            if seconds > _SLOW * typical:
                lines.append(
                    f"process {rank} is a straggler: ready after {seconds:.3f} s, the others after {typical:.3f} s; "
                    f"{waited50[rank] / max(seconds, 1e-9):.0%} of it waiting for data"
                )
        return lines
