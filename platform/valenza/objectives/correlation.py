"""How far predicted ratings follow those of annotators: what Osman et al. 2023, table 3 reports."""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata


def moments(
    said: Float[np.ndarray, "clips outputs"], wanted: Float[np.ndarray, "clips outputs"]
) -> Float[np.ndarray, "6 outputs"]:
    """Return the sums over clips of 1, x, y, x², y² and xy: they add up over processes, passes and speakers."""
    x, y = said.astype(np.float64), wanted.astype(np.float64)
    return np.stack([term.sum(axis=0) for term in (np.ones_like(x), x, y, x * x, y * y, x * y)])


def pearson(sums: Float[np.ndarray, "6 *draws outputs"]) -> Float[np.ndarray, "*draws outputs"]:
    """Return the correlation of each output from its `moments`; NaN where one side does not vary."""
    count, x, y, x2, y2, xy = sums
    whole = np.sqrt(_spread(count, x, x2) * _spread(count, y, y2))
    found = np.full(np.shape(whole), np.nan)
    np.divide(count * xy - x * y, whole, out=found, where=whole > 0)
    return found


def spearman(
    said: Float[np.ndarray, "clips outputs"], wanted: Float[np.ndarray, "clips outputs"]
) -> Float[np.ndarray, " outputs"]:
    """Return the rank correlation of each output, ties sharing their mean rank; NaN where one side does not vary."""
    return pearson(moments(rankdata(said, axis=0), rankdata(wanted, axis=0)))


def mean_of(values: Float[np.ndarray, " outputs"]) -> float:
    """Return the mean over the outputs that have a correlation; NaN where none has."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _spread(count: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return count² times the variance; sums that cancel leave a residue of rounding, which is no variation."""
    spread = count * squares - total * total
    return np.where(spread > 1e-12 * count * squares, spread, 0.0)
