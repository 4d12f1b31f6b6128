"""Paired tests of two models on the same clips: a bootstrap over speakers and seeds, and McNemar's test."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binom

from valenza.evaluation.bootstrap import percentiles, resampled
from valenza.evaluation.metrics import macro_f1, micro_f1, per_class_f1, ua

DRAWS = 10_000
COMPARED = {"micro_f1": micro_f1, "macro_f1": macro_f1, "ua": ua}
Confusions = Float[np.ndarray, "units classes classes"]
Scores = dict[str, Float[np.ndarray, " draws"]]


@dataclass(frozen=True)
class Drawn:
    """The scores of one model on corpora that were drawn again; of several runs, their mean."""

    scores: Scores
    per_class_f1: Float[np.ndarray, "draws classes"]


@dataclass(frozen=True)
class Difference:
    """How much more the second model scores than the first."""

    value: float
    ci95: tuple[float, float] | None
    p: float | None
    """Two-sided; None where too little is resampled."""


@dataclass(frozen=True)
class McNemar:
    """The clips that one model alone is right about, and how likely so uneven a split is if both are equally good.

    The test takes clips as independent, which those of one speaker are not: where it and the speaker bootstrap
    disagree, believe the bootstrap.
    """

    only_first: int
    only_second: int
    exact_p: float
    mid_p: float


def draw(runs: Sequence[Confusions], corpus: str, side: int, *, seed: int, draws: int = DRAWS) -> Drawn:
    """Score `draws` resamples of a corpus with a model of one or more runs (seeds).

    Each resample draws the units (speakers) again, the same for every run and model, and the runs again, each model its
    own but the same for every corpus. `side` numbers the model.
    """
    of_units = zlib.crc32(f"{seed} {corpus}".encode())
    chosen = np.random.default_rng([seed, side]).multinomial(len(runs), np.full(len(runs), 1 / len(runs)), size=draws)
    share = chosen / len(runs)
    scores = {name: np.zeros(draws) for name in COMPARED}
    by_class = np.zeros((draws, runs[0].shape[-1]))
    for number, confusions in enumerate(runs):
        counts = resampled(confusions, of_units, draws)
        for name, metric in COMPARED.items():
            scores[name] += share[:, number] * metric(counts)
        by_class += np.where(share[:, number, None] > 0, share[:, number, None] * per_class_f1(counts), 0.0)
    return Drawn(scores, by_class)


def observed(runs: Sequence[Confusions]) -> tuple[dict[str, float], Float[np.ndarray, " classes"]]:
    """Return each score, and each class's F1, averaged over a model's runs; NaN for a class that is nowhere."""
    sums = [confusions.sum(axis=0) for confusions in runs]
    scores = {name: float(np.mean([metric(counts) for counts in sums])) for name, metric in COMPARED.items()}
    return scores, np.mean([per_class_f1(counts) for counts in sums], axis=0)


def difference(
    first: float, second: float, drawn: tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]] | None
) -> Difference:
    """Return second − first with a percentile interval, and the p for which that interval would just touch zero.

    p counts one more draw on either side, so it is never 0 (Davison & Hinkley 1997, eq. 4.11). Draws in which a score
    does not exist are left out.
    """
    if drawn is None:
        return Difference(second - first, None, None)
    gaps = drawn[1] - drawn[0]
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return Difference(second - first, None, None)
    tail = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    return Difference(second - first, percentiles(gaps), min(1.0, 2 * (tail + 1) / (len(gaps) + 1)))


def mean_over(parts: Sequence[Scores]) -> Scores:
    """Return the mean of several corpora's scores, draw by draw; corpora have speakers of their own."""
    return {name: np.mean([part[name] for part in parts], axis=0) for name in COMPARED}


def mcnemar(first: Bool[np.ndarray, " clips"], second: Bool[np.ndarray, " clips"]) -> McNemar:
    """Test which of two models is right about more clips (Fagerland et al. 2013, eqs. 3 and 4).

    The exact p is the binomial test of the clips that one alone is right about; the mid-p takes half of the observed
    split's probability away, and is the one to read: the exact test is too cautious.
    """
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    if b + c == 0:
        return McNemar(0, 0, 1.0, 1.0)
    fewer, here = min(b, c), float(binom.pmf(min(b, c), b + c, 0.5))
    exact = min(1.0, 2 * float(binom.cdf(fewer, b + c, 0.5)))
    mid = 1 - here / 2 if b == c else exact - here
    return McNemar(b, c, exact, mid)
