"""Sequences drawn from a Dirichlet distribution of every frame, that move as slowly as emotions do."""

import numpy as np
from jaxtyping import Float, Float64
from scipy.special import gammaincinv, gammaln, ndtr

from valenza.labels.sequences import FRAME_RATE, frame_times

KNOTS = 0.5
"""Seconds between the moments at which a drawn sequence is free to go elsewhere."""
_LEAST = 1e-200
"""Below this a gamma quantile is told by its logarithm alone."""


def draw_mixtures(
    alpha: Float[np.ndarray, "frames classes"], rng: np.random.Generator, knots: float = KNOTS
) -> Float64[np.ndarray, "frames classes"]:
    """Draw a mixture for every frame: each is distributed as Dir(α) of its frame, and neighbours are alike.

    Each class has a Gaussian process over time of unit variance; its normal probability u picks the quantile of
    Gamma(α_c, 1), and the classes are divided by their sum. A frame by itself is thus an exact Dirichlet draw
    (Devroye 1986, ch. XI.4), while the sequence changes with α and with the process, not from frame to frame. A class
    with α = 0 has no share.
    """
    frames, classes = alpha.shape
    chance = np.clip(ndtr(smooth_normals(frames, classes, rng, knots)), 1e-300, 1 - 2**-53)
    there = alpha > 0
    shape = np.where(there, alpha, 1.0).astype(np.float64)
    logs = np.where(there, log_gamma_quantile(shape, chance), -np.inf)
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def smooth_normals(
    frames: int, classes: int, rng: np.random.Generator, knots: float = KNOTS
) -> Float64[np.ndarray, "frames classes"]:
    """Draw a Gaussian process for each class, whose variance is 1 at every moment.

    Independent normals stand every `knots` seconds; between two of them the process is z₀ cos θ + z₁ sin θ with θ from
    0 to π/2, and cos² + sin² = 1 keeps the variance.
    """
    place = frame_times(frames) / knots
    before = place.astype(np.int64)
    angle = (place - before)[:, None] * np.pi / 2
    normals = rng.standard_normal((int(frames / FRAME_RATE / knots) + 2, classes))
    return np.asarray(normals[before] * np.cos(angle) + normals[before + 1] * np.sin(angle))


def log_gamma_quantile(
    alpha: Float64[np.ndarray, "frames classes"], chance: Float64[np.ndarray, "frames classes"]
) -> Float64[np.ndarray, "frames classes"]:
    """Return the logarithm of the quantiles of Gamma(α, 1).

    A small α puts them below the least number there is; P(α, x) → x^α / Γ(α + 1) as x → 0 tells their logarithm.
    """
    quantile = gammaincinv(alpha, chance)
    tiny = (np.log(chance) + gammaln(alpha + 1)) / alpha
    return np.asarray(np.where(quantile > _LEAST, np.log(np.maximum(quantile, _LEAST)), tiny))
