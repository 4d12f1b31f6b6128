"""How near a predicted distribution is to the annotators', where the truth is not one label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from valenza.evaluation.bootstrap import Units, mean_intervals

_NAMES = ("cross_entropy", "js_divergence", "annotated_entropy")


def cross_entropy(
    annotated: Float[np.ndarray, "clips classes"], predicted: Float[np.ndarray, "clips classes"]
) -> Float[np.ndarray, " clips"]:
    """Return −Σ annotated · ln predicted of each clip, in nats; infinite where the annotated was held impossible."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(annotated > 0, annotated * np.log(predicted), 0.0)
    return np.asarray(-terms.sum(axis=1))


def js_divergence(
    annotated: Float[np.ndarray, "clips classes"], predicted: Float[np.ndarray, "clips classes"]
) -> Float[np.ndarray, " clips"]:
    """Return the Jensen-Shannon divergence of each clip, in bits: 0 for equal distributions, 1 for disjoint ones."""
    middle = (annotated + predicted) / 2
    both = [
        cross_entropy(p, np.where(p > 0, middle, 1.0)) - cross_entropy(p, np.where(p > 0, p, 1.0))
        for p in (annotated, predicted)
    ]
    return np.asarray(np.clip((both[0] + both[1]) / 2 / np.log(2), 0.0, 1.0))


def soft_score(
    targets: Float[np.ndarray, "clips classes"],
    predicted: Float[np.ndarray, "clips classes"],
    classes: Sequence[str],
    who: Units,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the means over clips of cross-entropy and divergence, with intervals, as results.json has them.

    Both hold only the columns of `classes`: those that the annotators could choose and that were trained. What they
    said beside them is cut, and a clip of which nothing remains is left out. `annotated_entropy` is the least that
    the cross-entropy could be.
    """
    total = targets.sum(axis=1)
    kept = total > 0
    if not kept.any():
        return {"clips": 0, "left_out": len(total), "classes": list(classes)}
    annotated = targets[kept] / total[kept, None]
    values = np.stack(
        [
            cross_entropy(annotated, predicted[kept]),
            js_divergence(annotated, predicted[kept]),
            cross_entropy(annotated, annotated),
        ],
        axis=1,
    )
    of_clip = np.unique(who.of_clip[kept], return_inverse=True)[1]
    bounds = mean_intervals(values, of_clip, seed=seed)
    return {
        "clips": int(kept.sum()),
        "left_out": int((~kept).sum()),
        "classes": list(classes),
        **dict(zip(_NAMES, values.mean(axis=0).tolist(), strict=True)),
        "ci95": {name: list(pair) for name, pair in zip(_NAMES, bounds, strict=False)},
        "resampled": who.kind,
    }
