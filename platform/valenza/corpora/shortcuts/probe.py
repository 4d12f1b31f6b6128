"""Asks how well a label is guessed from one or two numbers about a clip, by speakers that were not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int16, Int64

SHUFFLES = 199
"""A probe counts only if it beats every shuffle of the labels, which chance does once in 200."""
_FOLDS = 10
_CELLS = 24
_SPREAD = 3.0
"""Standard deviations from the middle that the grid covers; what lies beyond is put into its rim."""
_RESAMPLES = 1000
_SEED = 7


@dataclass(frozen=True)
class Design:
    """Who says what, which speakers are held out together, and what the labels would be if they were luck."""

    natives: tuple[str, ...]
    labels: Int64[np.ndarray, " clips"]
    speakers: Int64[np.ndarray, " clips"]
    folds: Int64[np.ndarray, " clips"]
    shuffles: Int16[np.ndarray, "shuffles clips"]
    """Labels of clips as they would be if labels had nothing to do with sound."""

    @property
    def chance(self) -> float:
        """Macro recall of any guess that ignores the clip."""
        return 1 / len(self.natives)

    @property
    def majority(self) -> float:
        """Share of the commonest label."""
        return float(np.bincount(self.labels).max() / len(self.labels))


@dataclass(frozen=True, slots=True)
class Probed:
    """How well labels are guessed; recalls and accuracies from 0 to 1."""

    ua: float
    """Mean recall over the labels, by a guess that holds all of them equally likely beforehand."""
    interval: tuple[float, float]
    """95 % of `ua` when speakers are drawn anew."""
    accuracy: float
    """Share of right guesses, by a guess that knows how common each label is."""
    p: float
    """Share of shuffles of the labels whose `ua` is as large; the least is 1 / 200."""
    recalls: tuple[float, ...]


def design(labels: Sequence[str], speakers: Sequence[str]) -> Design:
    """Deal speakers to at most ten folds of like size, and draw the shuffles.

    A shuffle gives every speaker the labels of a random speaker in random order, so that it keeps how labels cluster
    by speaker; a donor's labels are repeated or cut to the number of clips. With one speaker, clips are dealt.
    """
    natives, said = np.unique(np.array(labels), return_inverse=True)
    _, who = np.unique(np.array(speakers), return_inverse=True)
    units = who if who.max() > 0 else np.arange(len(who))
    sizes = np.bincount(units)
    filled = np.zeros(min(_FOLDS, len(sizes)), np.int64)
    fold = np.zeros(len(sizes), np.int64)
    for unit in np.argsort(-sizes, kind="stable"):
        fold[unit] = filled.argmin()
        filled[fold[unit]] += sizes[unit]
    rng = np.random.default_rng(_SEED)
    shuffles = np.stack([_shuffle(said.astype(np.int16), who, rng) for _ in range(SHUFFLES)])
    return Design(tuple(natives.tolist()), said.astype(np.int64), who.astype(np.int64), fold[units], shuffles)


def _shuffle(
    labels: Int16[np.ndarray, " clips"], speakers: Int64[np.ndarray, " clips"], rng: np.random.Generator
) -> Int16[np.ndarray, " clips"]:
    counts = np.bincount(speakers)
    starts = np.cumsum(counts) - counts
    ordered = np.argsort(speakers, kind="stable")
    mixed = labels[np.lexsort((rng.random(len(labels)), speakers))]
    donor = rng.permutation(len(counts))[speakers[ordered]]
    rank = np.arange(len(labels)) - starts[speakers[ordered]]
    given = np.empty_like(labels)
    given[ordered] = mixed[starts[donor] + rank % counts[donor]]
    return given


def probe(values: Float64[np.ndarray, "clips numbers"], who: Design, *, alike: bool = True) -> Probed:
    """Guess every clip's label from one or two numbers, with the densities of the labels among other speakers' clips.

    Densities are Parzen windows (Parzen 1962) with a Gaussian as wide as the standard deviation of each number, on a
    grid, so that a thousand clips cost as much as a million. Without `alike`, numbers are codes: no two are similar.
    """
    cells, smooth = zip(*(_axis(column, alike) for column in values.T), strict=True)
    if len(cells) == 1:
        cells, smooth = (np.zeros_like(cells[0]), *cells), (np.ones((1, 1)), *smooth)
    shape = (int(who.folds.max()) + 1, len(smooth[0]), len(smooth[1]))
    place = (who.folds * shape[1] + cells[0]) * shape[2] + cells[1]
    labels, classes = who.labels, len(who.natives)
    fair, informed = _guesses(_counts(place, labels, classes, shape), smooth)
    right = fair.ravel()[place] == labels
    recalls = np.bincount(labels, right, classes) / np.bincount(labels, minlength=classes)
    ua = float(recalls.mean())
    luck = [_macro_recall(_counts(place, given.astype(np.int64), classes, shape), smooth) for given in who.shuffles]
    return Probed(
        ua,
        _interval(right, who),
        float(np.mean(informed.ravel()[place] == labels)),
        (1 + sum(value >= ua for value in luck)) / (1 + len(luck)),
        tuple(recalls.tolist()),
    )


def _axis(
    column: Float64[np.ndarray, " clips"], alike: bool
) -> tuple[Int64[np.ndarray, " clips"], Float64[np.ndarray, "cells cells"]]:
    """Return each clip's cell along one number, and how much each cell's clips speak for each other cell."""
    if not alike:
        codes = np.unique(column, return_inverse=True)[1].astype(np.int64)
        return codes, np.eye(int(codes.max()) + 1)
    middle = np.median(column)
    # outliers are cut first: one clip of a minute must not stretch the grid
    wide = float(np.std(np.clip(column, *np.percentile(column, [2, 98])))) or float(np.std(column)) or 1.0
    place = (column - middle) / wide
    cells = np.clip((place + _SPREAD) / (2 * _SPREAD) * _CELLS, 0, _CELLS - 1).astype(np.int64)
    steps = np.arange(_CELLS) * 2 * _SPREAD / _CELLS
    return cells, np.exp(-0.5 * (steps[:, None] - steps) ** 2)


def _counts(
    place: Int64[np.ndarray, " clips"], labels: Int64[np.ndarray, " clips"], classes: int, shape: tuple[int, int, int]
) -> Float64[np.ndarray, "classes folds rows columns"]:
    """Return the number of clips by label, fold and cell."""
    size = int(np.prod(shape))
    return np.bincount(labels * size + place, minlength=classes * size).reshape(classes, *shape).astype(np.float64)


def _guesses(
    counts: Float64[np.ndarray, "classes folds rows columns"], smooth: tuple[np.ndarray, ...]
) -> tuple[Int64[np.ndarray, "folds rows columns"], Int64[np.ndarray, "folds rows columns"]]:
    """Return each cell's likeliest label by all other folds: were labels equally common, and as they are."""
    others = counts.sum(axis=1, keepdims=True) - counts
    density = smooth[0] @ others @ smooth[1]
    common = others.sum(axis=(2, 3), keepdims=True)
    return (density / np.maximum(common, 1)).argmax(axis=0), density.argmax(axis=0)


def _macro_recall(counts: Float64[np.ndarray, "classes folds rows columns"], smooth: tuple[np.ndarray, ...]) -> float:
    fair, _ = _guesses(counts, smooth)
    right = np.take_along_axis(counts, fair[None], axis=0)[0]
    caught = np.bincount(fair.ravel(), right.ravel(), len(counts))
    there = counts.sum(axis=(1, 2, 3))
    return float(np.mean(caught[there > 0] / there[there > 0]))


def _interval(right: np.ndarray, who: Design) -> tuple[float, float]:
    """Return 95 % of the macro recall over speakers drawn anew, or over clips where there is one speaker."""
    units = who.speakers if who.speakers.max() > 0 else np.arange(len(right))
    shape = (int(units.max()) + 1, len(who.natives))
    at = units * shape[1] + who.labels
    there = np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape)
    caught = np.bincount(at, right, shape[0] * shape[1]).reshape(shape)
    rng = np.random.default_rng(_SEED)
    drawn: list[float] = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, shape[0], shape[0]), minlength=shape[0])
        total = times @ there
        drawn.append(float(np.mean((times @ caught)[total > 0] / total[total > 0])))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
