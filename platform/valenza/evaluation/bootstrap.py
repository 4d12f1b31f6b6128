"""Intervals that resample speakers, because clips of one voice are right or wrong together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from valenza.evaluation.metrics import METRICS

DRAWS = 2_000
_CELLS_AT_ONCE = 4_000_000
Resampled = Literal["speakers", "recordings", "clips"]


@dataclass(frozen=True)
class Units:
    """What is drawn again, whole."""

    kind: Resampled
    of_clip: Int[np.ndarray, " clips"]
    """Each clip's unit, numbered from 0."""

    @property
    def note(self) -> str | None:
        """Say what an interval that resamples less than speakers cannot tell."""
        if self.kind == "speakers":
            return None
        return f"one speaker: the interval resamples {self.kind}, and says nothing of other voices"


def units(speakers: Shaped[np.ndarray, " clips"], recordings: Shaped[np.ndarray, " clips"]) -> Units:
    """Return speakers where there are two or more, else the one speaker's recordings, else the clips."""
    for kind, names in (("speakers", speakers), ("recordings", recordings)):
        distinct, of_clip = np.unique(names, return_inverse=True)
        if kind == "recordings" and len(distinct) == len(names):
            break  # every clip is a recording of its own
        if len(distinct) > 1:
            return Units("speakers" if kind == "speakers" else "recordings", of_clip)
    return Units("clips", np.arange(len(speakers)))


@dataclass(frozen=True)
class Intervals:
    """95 % percentile intervals by metric, or the reason why there are none."""

    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    reason: str | None = None


def unit_confusions(
    truth: Int[np.ndarray, " clips"],
    predicted: Int[np.ndarray, " clips"],
    who: Shaped[np.ndarray, " clips"],
    classes: Sequence[int],
) -> Float[np.ndarray, "units classes classes"]:
    """Return one confusion matrix for each speaker (or other unit); their sum is the corpus's.

    `truth` and `predicted` hold columns of the score matrix, all of them among `classes`. Units are in sorted order.
    """
    names, unit = np.unique(who, return_inverse=True)
    size = len(classes)
    place = np.zeros(max(classes) + 1, dtype=np.int64)
    place[list(classes)] = np.arange(size)
    cell = (unit * size + place[truth]) * size + place[predicted]
    counts = np.bincount(cell, minlength=len(names) * size * size)
    return counts.reshape(len(names), size, size).astype(np.float64)


def intervals(confusions: Real[np.ndarray, "units classes classes"], *, seed: int, draws: int = DRAWS) -> Intervals:
    """Return the interval of each metric when as many speakers are drawn again, with replacement.

    A draw is a vector of how often each speaker came up, so all draws together are one matrix product. Calibration
    error has no interval here: it adds absolute values, so every resample is biased upwards and the percentiles can
    miss the estimate itself.
    """
    if (reason := _too_few(len(confusions))) is not None:
        return Intervals(reason=reason)
    drawn = resampled(confusions, seed, draws)
    return Intervals({name: percentiles(metric(drawn)) for name, metric in METRICS.items()})


def mean_intervals(
    values: Float[np.ndarray, "clips scores"], who: Int[np.ndarray, " clips"], *, seed: int, draws: int = DRAWS
) -> list[tuple[float, float]]:
    """Return the interval of each column's mean over clips when units are drawn again; none for a single unit."""
    size = int(who.max()) + 1 if len(who) else 0
    if _too_few(size) is not None:
        return []
    columns = [np.ones(len(who)), *values.T]
    sums = np.stack([np.bincount(who, weights=column, minlength=size) for column in columns], axis=1)
    drawn = np.concatenate([times @ sums for times in times_drawn(size, seed, draws)])
    return [percentiles(column / drawn[:, 0]) for column in drawn[:, 1:].T]


def gain_interval(
    model: Real[np.ndarray, "units classes classes"],
    other: Real[np.ndarray, "units classes classes"],
    *,
    seed: int,
    draws: int = DRAWS,
) -> Intervals:
    """Return the interval of the model's micro-F1 minus another's on the same clips.

    Both are scored on the same drawn speakers. That is the interval to read for "is it better": two intervals that
    overlap say little, since hard speakers are hard for both.
    """
    if (reason := _too_few(len(model))) is not None:
        return Intervals(reason=reason)
    micro = METRICS["micro_f1"]
    gain = micro(resampled(model, seed, draws)) - micro(resampled(other, seed, draws))
    return Intervals({"micro_f1": percentiles(gain)})


def resampled(
    confusions: Real[np.ndarray, "units classes classes"], seed: int, draws: int
) -> Float[np.ndarray, "draws classes classes"]:
    """Return the confusion matrices of corpora made of as many units drawn again; one seed, one choice of units."""
    flat = confusions.reshape(len(confusions), -1).astype(np.float64)
    sums = np.concatenate([times @ flat for times in times_drawn(len(flat), seed, draws)])
    return sums.reshape(draws, *confusions.shape[1:])


def percentiles(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """Return the middle 95 % of resampled values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def times_drawn(units: int, seed: int, draws: int) -> Iterator[Float[np.ndarray, "block units"]]:
    """Yield blocks of [draws, units] that count how often each unit came up; the same for the same arguments.

    In blocks, because with one clip a unit the whole would be gigabytes.
    """
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS_AT_ONCE // units)
    chances = np.full(units, 1 / units)
    for start in range(0, draws, block):
        yield generator.multinomial(units, chances, size=min(block, draws - start)).astype(np.float64)


def _too_few(size: int) -> str | None:
    return None if size > 1 else f"{size} clip: an interval needs at least two"
