"""Temperature scaling, and how far confidence is from accuracy before and after it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq

from valenza.evaluation.metrics import BINS
from valenza.evaluation.protocol import BANNED

LIMITS = (0.05, 20.0)
"""Where no temperature between is best (every clip is right, say), the nearer limit is taken."""


@dataclass(frozen=True)
class Temperature:
    """One scalar that logits are divided by, and the validation clips that it was fitted to."""

    value: float
    clips: int
    nll_before: float
    """Mean over the clips, in nats."""
    nll_after: float


def fit_temperature(
    logits: Float[np.ndarray, "clips classes"],
    targets: Float[np.ndarray, "clips classes"],
    allowed: Bool[np.ndarray, "clips classes"],
    weights: Float[np.ndarray, " clips"],
    prior: Float[np.ndarray, " classes"] | None = None,
) -> Temperature | None:
    """Return the temperature that minimises the soft cross-entropy of clips that were not trained on.

    Guo et al. 2017, §4.2, with soft targets. `allowed` says which classes each clip could have; targets are cut to
    them. With `prior`, the logits are adjusted by it (Menon et al. 2020), and each class's targets are divided by it:
    adjusted probabilities are those of a world in which classes are equally frequent, and so must be what they are
    measured by. The loss is convex in 1/temperature, so its slope has one root. None where no clip has a target.
    """
    shift = np.zeros(logits.shape[1]) if prior is None else np.log(np.where(prior > 0, prior, 1.0))
    scale = np.ones(logits.shape[1]) if prior is None else 1 / np.where(prior > 0, prior, np.inf)
    cut = np.where(allowed, targets * scale, 0.0)
    kept = cut.sum(axis=1) > 0
    if not kept.any():
        return None
    z = np.where(allowed, logits - shift, BANNED)[kept].astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    # Targets whose mass was cut are made whole again, so that a clip's share of the loss is its weight.
    whole = np.where(allowed, targets, 0.0)[kept].sum(axis=1, keepdims=True)
    aim = cut[kept] / whole * (weights[kept] / weights[kept].sum())[:, None]

    def slope(sharpness: float) -> float:
        p = np.exp(sharpness * z)
        p /= p.sum(axis=1, keepdims=True)
        return float((aim.sum(axis=1) * (p * z).sum(axis=1)).sum() - (aim * z).sum())

    def loss(sharpness: float) -> float:
        p = sharpness * z
        value = aim.sum(axis=1) * np.log(np.exp(p).sum(axis=1)) - (aim * p).sum(axis=1)
        return float(value.sum() / aim.sum())

    low, high = 1 / LIMITS[1], 1 / LIMITS[0]
    if slope(low) >= 0:
        sharpness = low
    elif slope(high) <= 0:
        sharpness = high
    else:
        sharpness = float(brentq(slope, low, high, xtol=1e-10))
    return Temperature(1 / sharpness, int(kept.sum()), loss(1.0), loss(sharpness))


def equal_mass(
    probabilities: Float[np.ndarray, "clips classes"], truth: Int[np.ndarray, " clips"]
) -> Float[np.ndarray, "bins 3"]:
    """Return what `metrics.reliability` does for 15 bins of (nearly) equally many clips, in order of confidence.

    Equal widths leave most clips of a sure model in one bin (Nixon et al. 2019 call this adaptive).
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    parts = np.array_split(np.argsort(confidence, kind="stable"), BINS)
    return np.array([[len(p), confidence[p].sum(), right[p].sum()] for p in parts], dtype=np.float64)
