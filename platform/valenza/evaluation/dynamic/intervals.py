"""Intervals over speakers for scores of emotion over time: the same speakers are drawn for every system and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from valenza.errors import UsageError
from valenza.evaluation.bootstrap import percentiles, times_drawn
from valenza.evaluation.comparison.paired import DRAWS, difference
from valenza.evaluation.dynamic.metrics import SCORES, SUMS


@dataclass(frozen=True)
class Measured:
    """What one system of one seed made of one track."""

    system: str
    seed: int
    test_set: str
    track: str
    """Unique in its test set."""
    speaker: str
    """Unique over all test sets; a name that two of them have is one person, drawn together."""
    sums: Float64[np.ndarray, " sums"]
    """Of `metrics.track_sums`."""


@dataclass(frozen=True)
class Board:
    """The sums of every system, seed and speaker, and how the scores vary when speakers are drawn again."""

    systems: tuple[str, ...]
    seeds: tuple[int, ...]
    speakers: tuple[str, ...]
    tracks: int
    sums: Float64[np.ndarray, "systems seeds speakers sums"]
    drawn: dict[str, Float[np.ndarray, "systems draws"]]
    """The mean over seeds of each score, by draw; empty where there is one speaker only."""

    def by_seed(self, name: str) -> Float[np.ndarray, "systems seeds"]:
        """Return a score of all tracks together."""
        return np.asarray(SCORES[name](self.sums.sum(axis=2)))

    def spread(self, system: int, name: str) -> dict[str, Any]:
        """Return a score's mean over seeds, its standard deviation over them and its interval over speakers."""
        values = self.by_seed(name)[system]
        drawn = self.drawn[name][system] if self.drawn else np.empty(0)
        drawn = drawn[np.isfinite(drawn)]
        return {
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
            "ci95": list(percentiles(drawn)) if len(drawn) else None,
            "by_seed": {str(seed): float(value) for seed, value in zip(self.seeds, values, strict=True)},
        }

    def step(self, first: int, second: int, name: str) -> dict[str, Any]:
        """Return how much more the second system scores than the first, paired by speaker and by seed.

        `p` is two-sided, from the share of draws on the far side of zero. A difference is beyond the noise where its
        95 % interval excludes 0; `seeds_agree` counts the seeds whose own difference has the sign of the mean.
        """
        values = self.by_seed(name)
        gaps = values[second] - values[first]
        one, other = values[first].mean(), values[second].mean()
        drawn = (self.drawn[name][first], self.drawn[name][second]) if self.drawn else None
        found = difference(float(one), float(other), drawn)
        bounds = found.ci95
        return {
            "value": found.value,
            "ci95": None if bounds is None else list(bounds),
            "p": found.p,
            "beyond_noise": bounds is not None and (bounds[0] > 0 or bounds[1] < 0),
            "seeds_agree": int((np.sign(gaps) == np.sign(found.value)).sum()),
        }


def board(
    measured: Sequence[Measured], order: Sequence[str], *, draws: int = DRAWS, seed: int = 0, draw_seeds: bool = False
) -> Board:
    """Add the sums of each speaker up and draw speakers again.

    A draw takes as many speakers with replacement, the same for every system and seed; each seed is scored on them and
    the seeds' mean is taken. With `draw_seeds` the seeds are drawn again too, the same for every system, since a stage
    of one seed is built upon the stage before it of that seed. Raises `UsageError` where a system of `order` or one of
    its seeds is not measured on the very tracks of the others: what is not paired cannot be compared.
    """
    of_run = _of_runs(measured, order)
    seeds = tuple(dict.fromkeys(one.seed for one in measured if one.system in of_run))
    speakers = tuple(sorted({one.speaker for one in measured if one.system in of_run}))
    tracks = _tracks(of_run, order, seeds)
    place = {speaker: number for number, speaker in enumerate(speakers)}
    sums = np.zeros((len(order), len(seeds), len(speakers), SUMS))
    for i, system in enumerate(order):
        for j, run in enumerate(seeds):
            for one in of_run[system][run].values():
                sums[i, j, place[one.speaker]] += one.sums
    drawn = _draw(sums, draws, seed, draw_seeds) if len(speakers) > 1 else {}
    return Board(tuple(order), seeds, speakers, tracks, sums, drawn)


Runs = dict[str, dict[int, dict[tuple[str, str], Measured]]]


def _of_runs(measured: Sequence[Measured], order: Sequence[str]) -> Runs:
    found: Runs = {system: {} for system in order}
    for one in measured:
        if one.system in found:
            tracks = found[one.system].setdefault(one.seed, {})
            if (one.test_set, one.track) in tracks:
                where = f"{one.system}, seed {one.seed}, {one.test_set}"
                raise UsageError(f"{where}: track {one.track} is measured twice")
            tracks[one.test_set, one.track] = one
    return found


def _tracks(of_run: Mapping[str, Mapping[int, Mapping[Any, Any]]], order: Sequence[str], seeds: Sequence[int]) -> int:
    """Return how many tracks every run is measured on; raises `UsageError` where they differ."""
    if not seeds:  # nor any system, where the order is empty
        raise UsageError("nothing was measured")
    common = of_run[order[0]].get(seeds[0], {}).keys()
    for system in order:
        for seed in seeds:
            own = of_run[system].get(seed, {}).keys()
            if own != common:
                told = ", ".join("/".join(track) for track in sorted(own ^ common)[:3])
                raise UsageError(
                    f"{system}, seed {seed}: measured on {len(own)} tracks, while {order[0]}, seed {seeds[0]} is on "
                    f"{len(common)}; only one of them has {told}"
                )
    return len(common)


def _draw(sums: np.ndarray, draws: int, seed: int, draw_seeds: bool) -> dict[str, np.ndarray]:
    systems, seeds, speakers, _ = sums.shape
    if draw_seeds:
        chosen = np.random.default_rng([seed, 1]).multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    else:
        chosen = np.full((draws, seeds), 1 / seeds)
    found = {name: np.zeros((systems, draws)) for name in SCORES}
    start = 0
    for times in times_drawn(speakers, seed, draws):
        end = start + len(times)
        for i in range(systems):
            for j in range(seeds):
                again, share = times @ sums[i, j], chosen[start:end, j]
                for name, score in SCORES.items():
                    found[name][i, start:end] += np.where(share > 0, share * score(again), 0.0)
        start = end
    return found
