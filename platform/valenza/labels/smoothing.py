"""Neutral smoothing: a clip of weak emotion is drawn towards neutral (Osman et al. 2023, §2.2)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float64

from valenza.labels.harmonise import Scores
from valenza.labels.taxonomy import NEUTRAL

Variant = Literal["paper", "neutral_only"]
MOST = 0.45
"""The largest α."""
_EQUAL = 1e-6
"""Share of the mean by which a row may fall short of it and still count as not weaker."""
_BELOW = 1 - 1e-6
"""Where neutral is cut back, its share of the primary emotion's score: less, also in single precision."""


def neutral_smoothing(
    scores: Float[np.ndarray, "clips classes"], *, variant: Variant = "paper", neutral: int = NEUTRAL
) -> Float64[np.ndarray, "clips classes"]:
    """Smooth the rows of one corpus that have less mass than its mean row; the others stay as they are.

    With E_i = Σ_j e_ij and Ē = mean_i E_i, a row with E_i < Ē has α = min(|Ē − E_i| / Ē, 0.45) and becomes

    * `paper`: e'_j = e_j (1 − α) + (1 − e_j) α / M for all M classes, as printed;
    * `neutral_only`: e'_j = e_j (1 − α), and the α E_i that is taken goes to column `neutral`: what the text of
      the paper says its formula is for. A row keeps its sum unless neutral is cut back.

    `scores` lie in [0, 1] and are not normalised: rows of equal sums, such as normalised ones, are returned unchanged.
    The result lies in [0, 1] and is not normalised either. The paper is silent on four things:

    * A row counts as weaker only where it falls short of Ē by more than a millionth, so that rounding smooths nothing.
    * The primary emotion is the highest score, or several that are equal. The printed formula rises with e_j, so it
      never changes which that is. `neutral_only` can lift neutral above it; neutral is then cut back to just below the
      primary emotion, or to equal it where the two were equal before.
    * A row without any mass has no primary emotion and ends neutral: α Ē, what a row of mean mass would give, is added
      to that column after the formula (with 1 for Ē where no row has mass).
    * Ē is the mean of the rows that are given, so call it for each corpus by itself.

    Raises `ValueError` for scores outside [0, 1] and for a column that there is not.
    """
    e = np.array(scores, dtype=np.float64)
    if not ((e >= 0) & (e <= 1)).all():
        raise ValueError("scores to be smoothed are numbers from 0 to 1")
    if not 0 <= neutral < e.shape[1]:
        raise ValueError(f"there is no column {neutral} for neutral among {e.shape[1]}")
    if variant not in {"paper", "neutral_only"}:
        raise ValueError(f"{variant!r} is no variant of neutral smoothing; there are 'paper' and 'neutral_only'")
    return _smoothed(e, _mean(e), variant, neutral) if len(e) else e


def smooth(
    meaning: Scores,
    corpora: Sequence[str],
    variant: Literal["none", "paper", "neutral_only"],
    *,
    within: Bool[np.ndarray, " clips"],
) -> Scores:
    """Smooth the clips that are used, corpus by corpus, by the mean mass of each corpus's used clips in `within`.

    `within` tells the training clips, so that held-back clips do not decide how strong an emotion is on average.
    """
    if variant == "none":
        return meaning
    values, corpus = meaning.values.copy(), np.array(corpora, dtype=object)
    for name in dict.fromkeys(corpora):
        own = meaning.used & (corpus == name)
        measured = own & within if (own & within).any() else own
        values[own] = _smoothed(values[own], _mean(values[measured]), variant, NEUTRAL)
    return meaning.with_values(values)


def _mean(e: Float64[np.ndarray, "clips classes"]) -> float:
    """Return Ē, or 1 where no row has any mass."""
    return float(e.sum(axis=1).mean()) if e.any() else 1.0


def _smoothed(
    e: Float64[np.ndarray, "clips classes"], mean: float, variant: Variant, neutral: int
) -> Float64[np.ndarray, "clips classes"]:
    mass = e.sum(axis=1)
    weak = mass < mean * (1 - _EQUAL)
    rows, alpha = e[weak], np.minimum((mean - mass[weak]) / mean, MOST)[:, None]
    if variant == "paper":
        moved = rows * (1 - alpha) + (1 - rows) * alpha / e.shape[1]
    else:
        moved = rows * (1 - alpha)
        moved[:, neutral] = _held_back(rows, moved, moved[:, neutral] + alpha[:, 0] * mass[weak], neutral)
    empty = mass[weak] == 0
    moved[empty, neutral] += alpha[empty, 0] * mean
    smoothed = e.copy()
    smoothed[weak] = np.clip(moved, 0.0, 1.0)
    return smoothed


def _held_back(
    before: Float64[np.ndarray, "clips classes"],
    after: Float64[np.ndarray, "clips classes"],
    raised: Float64[np.ndarray, " clips"],
    neutral: int,
) -> Float64[np.ndarray, " clips"]:
    """Return the raised neutral scores, cut back where they would overtake what was above neutral or equal to it."""
    others = np.delete(before, neutral, axis=1).max(axis=1, initial=0.0)
    top = np.delete(after, neutral, axis=1).max(axis=1, initial=0.0)
    below = np.minimum(_BELOW * top, np.nextafter(top, 0.0))
    limit = np.where(before[:, neutral] == others, top, below)
    return np.asarray(np.where(before[:, neutral] > others, raised, np.minimum(raised, limit)))
