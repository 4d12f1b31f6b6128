"""Which clips form which window: Algorithm 1 of Osman et al. 2023, as a pure function of durations and a seed."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64, Integer

POOL = 4096
"""Clips that are drawn from at once; a larger pool costs memory moves on each removal and fills no better."""
LARGE = 500_000
"""Clips from which on the compiled planner is worth its loading, where Numba is installed."""
_TRIES = 16


@dataclass(frozen=True)
class Windows:
    """Windows in two arrays, a few bytes a clip."""

    clips: Integer[np.ndarray, " clips"]
    """The clips of all windows, one window after the other."""
    ends: Integer[np.ndarray, " windows"]
    """Where in `clips` each window ends."""

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> Integer[np.ndarray, " _"]:
        """Return the clips of one window."""
        return self.clips[self.ends[number - 1] if number else 0 : self.ends[number]]


def plan_windows(
    durations: Sequence[float] | npt.NDArray[np.floating],
    *,
    window_seconds: float = 30.0,
    fill: float = 0.8,
    seed: int,
    epoch: int,
) -> list[list[int]]:
    """Group clips into windows; returns lists of clip numbers (positions in `durations`, seconds).

    Holds for any input: no clip is cut, no window is longer than `window_seconds`, each clip is in exactly one
    window, and each window but the last few of an epoch is filled to `fill` wherever the durations allow it. The
    same arguments give the same windows everywhere. A clip longer than the window raises `ValueError`: it is split
    when shards are built. (Osman et al. 2023, §2.4, Algorithm 1.)

    Where a draw leaves a window that nothing can fill, it is taken back and drawn again; where that fails too, earlier
    windows give back their clips, and from then on the longest clip that fits is taken.
    """
    found = plan(durations, window_seconds=window_seconds, fill=fill, key=(seed, epoch))
    return [found[number].tolist() for number in range(len(found))]


def plan(
    durations: Sequence[float] | npt.NDArray[np.floating],
    *,
    window_seconds: float,
    fill: float,
    key: tuple[int, ...],
    compiled: bool | None = None,
) -> Windows:
    """Return the windows of `plan_windows` as arrays; all that is random in them comes from `key`.

    `compiled` says whether machine code plans them, which needs Numba; by their number where it is not said. The
    windows are the same. Raises `ValueError` as `plan_windows` does.
    """
    lengths = np.asarray(durations, dtype=np.float64)
    if lengths.ndim != 1 or not np.isfinite(lengths).all() or (lengths <= 0).any():
        raise ValueError("durations are positive, finite seconds, one a clip")
    if not 0 < fill <= 1 or not window_seconds > 0:
        raise ValueError(f"a window of {window_seconds} s filled to {fill} cannot be planned")
    if lengths.size and lengths.max() > window_seconds:
        clip = int(lengths.argmax())
        raise ValueError(f"clip {clip} lasts {lengths[clip]:g} s, longer than the window of {window_seconds:g} s")
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    waiting = rng.permutation(lengths.size)
    if may_compile(lengths.size) if compiled is None else compiled:
        from valenza.mixture.compiled import plan_compiled

        limits = {"limit": window_seconds, "enough": window_seconds * fill}
        return Windows(*plan_compiled(lengths, waiting.astype(np.int32), rng, **limits, pool=POOL, tries=_TRIES))
    listed = list(_Planner(lengths, waiting, rng, window_seconds, fill).windows())
    ends = np.cumsum([len(window) for window in listed], dtype=np.int64)
    return Windows(np.array([clip for window in listed for clip in window], dtype=np.int32), ends)


def may_compile(clips: int) -> bool:
    """Return whether so many clips are planned by machine code: where they are many, and Numba is installed."""
    return clips >= LARGE and _has_numba()


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None


class _Planner:
    """Draws windows from a sorted pool, and takes back draws that strand a window below its fill."""

    def __init__(
        self,
        lengths: Float64[np.ndarray, " clips"],
        waiting: Integer[np.ndarray, " clips"],
        rng: np.random.Generator,
        limit: float,
        fill: float,
    ) -> None:
        self.rng = rng
        self.lengths: list[float] = lengths.tolist()
        self.waiting: list[int] = waiting.tolist()
        self.pool: list[int] = []
        self.pool_lengths: list[float] = []
        self.limit = limit
        self.enough = limit * fill
        self.uniforms: list[float] = []
        self.made: list[list[int]] = []
        self.stranded = False
        """Whether long clips have been left without partners; from then on the longest that fits is taken."""

    def windows(self) -> Iterator[list[int]]:
        """Yield the full windows in the order of drawing, then the few that nothing left could fill."""
        short: list[list[int]] = []
        failures, give_backs = 0, len(self.lengths)
        while self._refill():
            window, filled = self._draw_window()
            if filled >= self.enough:
                self.made.append(window)
                failures = 0
                continue
            failures += 1
            if failures <= _TRIES:
                self._put_back(window)
            elif self.made and give_backs > 0:
                returned = [clip for _ in range(min(_TRIES, len(self.made))) for clip in self._take_made()]
                give_backs -= len(returned)
                self._put_back(window + returned)
                self.stranded, failures = True, 0
            else:
                short.append(window)
        yield from self.made
        yield from short

    def _refill(self) -> bool:
        """Bring fresh clips into the pool when it is half empty; returns whether any clip is left."""
        if self.waiting and len(self.pool) < POOL // 2:
            self._put_back([self.waiting.pop() for _ in range(min(POOL - len(self.pool), len(self.waiting)))])
        return bool(self.pool)

    def _draw_window(self) -> tuple[list[int], float]:
        """Draw clips until the window is full enough or nothing in the pool fits; returns clips and seconds."""
        window: list[int] = []
        filled = 0.0
        while filled < self.enough:
            fitting = bisect_right(self.pool_lengths, self.limit - filled)
            while fitting and filled + self.pool_lengths[fitting - 1] > self.limit:
                fitting -= 1  # the difference above was rounded up
            if not fitting:
                break
            at = fitting - 1 if self.stranded else int(self._uniform() * fitting)
            window.append(self.pool.pop(at))
            filled += self.pool_lengths.pop(at)
        return window, filled

    def _put_back(self, clips: list[int]) -> None:
        if len(clips) > _TRIES:
            self.pool += clips
            self.pool.sort(key=self.lengths.__getitem__)
            self.pool_lengths = [self.lengths[clip] for clip in self.pool]
            return
        for clip in clips:
            at = bisect_right(self.pool_lengths, self.lengths[clip])
            self.pool.insert(at, clip)
            self.pool_lengths.insert(at, self.lengths[clip])

    def _take_made(self) -> list[int]:
        """Remove an earlier window, of some drawn the one with the most clips: short ones are what is missing."""
        drawn = {int(self._uniform() * len(self.made)) for _ in range(_TRIES)}
        at = max(sorted(drawn), key=lambda window: len(self.made[window]))
        self.made[at], self.made[-1] = self.made[-1], self.made[at]
        return self.made.pop()

    def _uniform(self) -> float:
        if not self.uniforms:
            self.uniforms = self.rng.random(4096).tolist()
        return self.uniforms.pop()
