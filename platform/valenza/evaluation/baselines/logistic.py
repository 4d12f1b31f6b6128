"""Multinomial logistic regression on soft targets, where a clip leaves out what its corpus never offered."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize

from valenza.evaluation.protocol import BANNED


@dataclass(frozen=True)
class Logistic:
    """A fitted linear classifier, with the standardisation that it was fitted under."""

    mean: Float[np.ndarray, " width"]
    scale: Float[np.ndarray, " width"]
    weights: Float[np.ndarray, "width classes"]
    bias: Float[np.ndarray, " classes"]
    """Banned for classes that no training clip had."""

    def logits(self, features: Float[np.ndarray, "clips width"]) -> Float[np.ndarray, "clips classes"]:
        """Return one logit a class, in float64."""
        standard = (features - self.mean) / self.scale
        return np.asarray(standard @ self.weights + self.bias, dtype=np.float64)


def fit(
    features: Float[np.ndarray, "clips width"],
    targets: Float[np.ndarray, "clips classes"],
    known: Bool[np.ndarray, "clips classes"],
    weights: Float[np.ndarray, " clips"],
    *,
    decay: float,
    scaling: Float[np.ndarray, " clips"] | None = None,
    iterations: int = 200,
) -> Logistic:
    """Minimise the weighted mean of the clips' cross-entropies plus `decay`/2 times the squared weights, by L-BFGS.

    `targets` sum to 1 over each clip's known classes. scikit-learn's `LogisticRegression` takes neither soft targets
    nor a class that only some clips could have; where there is neither, this gives its result with
    C = 1 / (clips × decay). Features are standardised with the clips' weights, or with those in `scaling`.
    The matrix products are in the type of `features`, float32 being twice as fast.
    """
    share = weights / weights.sum()
    counted = share if scaling is None else scaling / scaling.sum()
    mean = counted @ features
    scale = np.sqrt(counted @ np.square(features - mean))
    scale = np.where(scale > 1e-6 * (np.abs(mean) + 1e-6), scale, 1.0)  # a constant feature says nothing
    x = ((features - mean) / scale).astype(features.dtype)
    width, size = x.shape[1], targets.shape[1]
    seen = targets.sum(axis=0) > 0
    ban = np.where(known & seen, 0.0, BANNED)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        table = flat.reshape(width + 1, size)
        z = np.asarray(x @ table[:-1].astype(x.dtype), dtype=np.float64) + table[-1] + ban
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        total = p.sum(axis=1, keepdims=True)
        value = -(share[:, None] * targets * np.where(targets > 0, z - np.log(total), 0.0)).sum()
        error = share[:, None] * (p / total - targets)
        slope = np.concatenate([x.T @ error.astype(x.dtype) + decay * table[:-1], error.sum(axis=0, keepdims=True)])
        return float(value + decay / 2 * np.square(table[:-1]).sum()), slope.ravel().astype(np.float64)

    options = {"maxiter": iterations, "ftol": 1e-9, "gtol": 1e-6}
    found = minimize(loss, np.zeros((width + 1) * size), jac=True, method="L-BFGS-B", options=options)
    table = np.asarray(found.x).reshape(width + 1, size)
    return Logistic(mean, scale, table[:-1], table[-1] + np.where(seen, 0.0, BANNED))
