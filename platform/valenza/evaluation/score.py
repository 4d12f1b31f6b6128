"""Turns the predictions on one corpus's clips into its part of results.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from valenza.evaluation.bootstrap import gain_interval, intervals, unit_confusions, units
from valenza.evaluation.calibration import equal_mass
from valenza.evaluation.metrics import METRICS, confusion, ece, micro_f1, per_class_f1, reliability
from valenza.evaluation.protocol import columns

Groups = Mapping[str, Shaped[np.ndarray, " clips"]]
"""`speaker`, `recording`, `language` and `gender` of each clip."""
_PARTS = ("language", "gender", "speaker")


def score(
    labels: Int[np.ndarray, " clips"],
    probabilities: Float[np.ndarray, "clips emotions"],
    classes: Sequence[str],
    groups: Groups,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return metrics, intervals, per-class F1, confusion and calibration, whole and by language, gender and speaker.

    `labels` are columns of `probabilities`, all among `classes`. Intervals resample `groups["speaker"]`, and where
    there is one speaker its recordings or clips.
    """
    allowed = columns(classes)
    counts = confusion(labels, probabilities.argmax(axis=1), allowed)
    return {
        **_part(labels, probabilities, allowed, groups, np.ones(len(labels), dtype=bool), seed),
        "per_class_f1": dict(zip(classes, per_class_f1(counts).tolist(), strict=True)),
        "confusion": counts.tolist(),
        "reliability": bins(reliability(probabilities, labels)),
        **{
            f"by_{kind}": {
                str(name): _part(labels, probabilities, allowed, groups, groups[kind] == name, seed)
                for name in np.unique(groups[kind])
            }
            for kind in _PARTS
        },
    }


def bins(counted: Float[np.ndarray, "bins 3"]) -> list[dict[str, Any]]:
    """Return the bins that hold clips, as results.json has them."""
    return [{"clips": int(n), "confidence": c / n, "accuracy": r / n} for n, c, r in counted.tolist() if n]


def calibration_errors(
    probabilities: Float[np.ndarray, "clips emotions"], labels: Int[np.ndarray, " clips"]
) -> dict[str, float]:
    """Return the calibration error over 15 bins of equal width, and over 15 of equally many clips."""
    return {"ece": ece(reliability(probabilities, labels)), "ece_adaptive": ece(equal_mass(probabilities, labels))}


def baseline(
    labels: Int[np.ndarray, " clips"], predicted: Int[np.ndarray, "draws clips"], classes: Sequence[str]
) -> dict[str, Any]:
    """Return a baseline's metrics, each averaged over its draws."""
    allowed = columns(classes)
    counts = np.stack([confusion(labels, row, allowed) for row in predicted])
    return {name: float(metric(counts).mean()) for name, metric in METRICS.items()}


def compare(
    labels: Int[np.ndarray, " clips"],
    probabilities: Float[np.ndarray, "clips emotions"],
    predicted: Int[np.ndarray, "draws clips"],
    classes: Sequence[str],
    groups: Groups,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return `baseline`, how much micro-F1 the model gains over it with an interval, and its micro-F1 by language."""
    allowed, who = columns(classes), units(groups["speaker"], groups["recording"]).of_clip
    own = baseline(labels, predicted, classes)
    model = unit_confusions(labels, probabilities.argmax(axis=1), who, allowed)
    draws = [unit_confusions(labels, row, who, allowed) for row in predicted]
    alone = intervals(draws[0], seed=seed).bounds if len(draws) == 1 else {}
    # micro-F1 is linear in the counts, so its mean over the draws is that of their mean matrix.
    bounds = gain_interval(model, np.mean(draws, axis=0), seed=seed).bounds
    languages = {
        str(name): {"micro_f1": float((predicted == labels)[:, groups["language"] == name].mean())}
        for name in np.unique(groups["language"])
    }
    gain = float(micro_f1(model.sum(axis=0))) - own["micro_f1"]
    interval = {"gain_ci95": list(bounds["micro_f1"])} if bounds else {}
    own_intervals = {"ci95": {name: list(pair) for name, pair in alone.items()}} if alone else {}
    return {**own, **own_intervals, "gain": gain, **interval, "by_language": languages}


def _part(
    labels: np.ndarray, probabilities: np.ndarray, allowed: Sequence[int], groups: Groups, own: np.ndarray, seed: int
) -> dict[str, Any]:
    labels, probabilities = labels[own], probabilities[own]
    who = units(groups["speaker"][own], groups["recording"][own])
    counts = unit_confusions(labels, probabilities.argmax(axis=1), who.of_clip, allowed)
    found = intervals(counts, seed=seed)
    metrics = {name: float(metric(counts.sum(axis=0))) for name, metric in METRICS.items()}
    reason = found.reason or who.note
    return {
        "clips": len(labels),
        "speakers": len(np.unique(groups["speaker"][own])),
        "metrics": {**metrics, **calibration_errors(probabilities, labels)},
        "ci95": {name: list(bounds) for name, bounds in found.bounds.items()},
        "resampled": who.kind,
        **({"ci95_reason": reason} if reason else {}),
    }
