"""Intervals that resample speakers, because clips of one voice are right or wrong together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Real, Shaped

from valenza.evaluation.metrics import METRICS

DRAWS = 2_000
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Intervals:
    """95 % percentile intervals by metric, or the reason why there are none."""

    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    reason: str | None = None


def speaker_confusions(
    truth: Int[np.ndarray, " clips"],
    predicted: Int[np.ndarray, " clips"],
    speakers: Shaped[np.ndarray, " clips"],
    classes: Sequence[int],
) -> Float[np.ndarray, "speakers classes classes"]:
    """Return one confusion matrix a speaker; their sum is the corpus's.

    `truth` and `predicted` hold columns of the score matrix, all of them among `classes`.
    """
    names, who = np.unique(speakers, return_inverse=True)
    size = len(classes)
    place = np.zeros(max(classes) + 1, dtype=np.int64)
    place[list(classes)] = np.arange(size)
    cell = (who * size + place[truth]) * size + place[predicted]
    counts = np.bincount(cell, minlength=len(names) * size * size)
    return counts.reshape(len(names), size, size).astype(np.float64)


def intervals(confusions: Real[np.ndarray, "speakers classes classes"], *, seed: int, draws: int = DRAWS) -> Intervals:
    """Return the interval of each metric when as many speakers are drawn again, with replacement.

    A draw is a vector of how often each speaker came up, so all draws together are one matrix product. Calibration
    error has no interval here: it adds absolute values, so every resample is biased upwards and the percentiles can
    miss the estimate itself.
    """
    if (reason := _too_few(len(confusions))) is not None:
        return Intervals(reason=reason)
    drawn = _resampled(confusions, seed, draws)
    return Intervals({name: _percentiles(metric(drawn)) for name, metric in METRICS.items()})


def gain_interval(
    model: Real[np.ndarray, "speakers classes classes"],
    other: Real[np.ndarray, "speakers classes classes"],
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
    gain = micro(_resampled(model, seed, draws)) - micro(_resampled(other, seed, draws))
    return Intervals({"micro_f1": _percentiles(gain)})


def _too_few(speakers: int) -> str | None:
    return None if speakers > 1 else f"{speakers} speaker: resampling speakers needs at least two"


def _resampled(confusions: np.ndarray, seed: int, draws: int) -> np.ndarray:
    flat = confusions.reshape(len(confusions), -1).astype(np.float64)
    sums = np.concatenate([times @ flat for times in _times_drawn(len(flat), seed, draws)])
    return sums.reshape(draws, *confusions.shape[1:])


def _times_drawn(speakers: int, seed: int, draws: int) -> Iterator[np.ndarray]:
    """Yield blocks of [draws, speakers]; in blocks, because with one clip a speaker the whole would be gigabytes."""
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS_AT_ONCE // speakers)
    chances = np.full(speakers, 1 / speakers)
    for start in range(0, draws, block):
        yield generator.multinomial(speakers, chances, size=min(block, draws - start)).astype(np.float64)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
