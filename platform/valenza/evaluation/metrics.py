"""Scores of one label per clip, computed from confusion matrices so that a bootstrap can score thousands at once."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int, Real
from numpy.typing import ArrayLike

BINS = 15


def confusion(
    truth: Int[np.ndarray, " clips"], predicted: Int[np.ndarray, " clips"], classes: Sequence[int]
) -> Int[np.ndarray, "classes classes"]:
    """Count clips by true class (rows) and predicted class (columns), both in the order of `classes`.

    `classes` are columns of the score matrix. Raises `ValueError` for a truth or a prediction outside of them,
    which would otherwise leave the matrix without a trace.
    """
    size = len(classes)
    place = np.full(max([*classes, *truth.tolist(), *predicted.tolist()], default=0) + 1, -1)
    place[list(classes)] = np.arange(size)
    rows, columns = place[truth], place[predicted]
    if (truth < 0).any() or (predicted < 0).any() or (rows < 0).any() or (columns < 0).any():
        raise ValueError("a truth or a prediction lies outside the classes that are scored")
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)


def micro_f1(counts: Real[np.ndarray, "*stack classes classes"]) -> Float[np.ndarray, "*stack"]:
    """Return the F1 of all decisions taken together.

    A clip has one truth and one prediction, so each mistake is one false positive and one false negative, and micro-F1
    is the accuracy. NaN where there is no clip.
    """
    right, truth, _ = _totals(counts)
    return _ratio(right.sum(-1), truth.sum(-1))


def wa(counts: Real[np.ndarray, "*stack classes classes"]) -> Float[np.ndarray, "*stack"]:
    """Return the weighted accuracy as EmoBox names it: the share of clips that are right. It equals micro-F1."""
    return micro_f1(counts)


def ua(counts: Real[np.ndarray, "*stack classes classes"]) -> Float[np.ndarray, "*stack"]:
    """Return the unweighted accuracy: the mean recall over the classes that occur as truth."""
    right, truth, _ = _totals(counts)
    return _mean(_ratio(right, truth), truth > 0)


def per_class_f1(counts: Real[np.ndarray, "*stack classes classes"]) -> Float[np.ndarray, "*stack classes"]:
    """Return the F1 of each class; NaN for a class that is neither true nor predicted anywhere."""
    right, truth, predicted = _totals(counts)
    return _ratio(2 * right, truth + predicted)


def macro_f1(counts: Real[np.ndarray, "*stack classes classes"]) -> Float[np.ndarray, "*stack"]:
    """Return the mean F1 over the classes that are true or predicted somewhere (scikit-learn's default)."""
    _, truth, predicted = _totals(counts)
    return _mean(per_class_f1(counts), truth + predicted > 0)


METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "micro_f1": micro_f1,
    "macro_f1": macro_f1,
    "ua": ua,
    "wa": wa,
}
"""What a confusion matrix is reduced to, by the name that results.json uses."""


def reliability(
    probabilities: Float[np.ndarray, "clips classes"], truth: Int[np.ndarray, " clips"]
) -> Float[np.ndarray, "bins 3"]:
    """Return, for each of 15 equal bins of the highest probability: clips, its sum over them, and how many are right.

    A bin holds its upper edge, not its lower one, as in Guo et al. 2017.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    column = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    columns = [np.bincount(column, weights=w, minlength=BINS) for w in (np.ones(len(truth)), confidence, right)]
    return np.stack(columns, axis=1).astype(np.float64)


def ece(bins: Float[np.ndarray, "bins 3"]) -> float:
    """Return the expected calibration error of `reliability`'s bins (Guo et al. 2017, eq. 3); NaN without clips."""
    clips, confidence, right = bins.T
    total = clips.sum()
    return float(np.abs(right - confidence).sum() / total) if total else float("nan")


def _totals(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return per class: clips that are right, clips that are truly it, clips that are predicted as it."""
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)


def _ratio(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """Divide, with NaN where there is nothing to divide by."""
    divisor = np.asarray(whole)
    result = np.full(divisor.shape, np.nan)
    np.divide(part, divisor, out=result, where=divisor > 0)
    return result


def _mean(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    return _ratio(np.where(present, values, 0.0).sum(-1), present.sum(-1))
