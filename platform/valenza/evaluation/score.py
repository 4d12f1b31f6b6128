"""Turns the predictions on one corpus's clips into its part of results.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from valenza.evaluation.bootstrap import gain_interval, intervals, speaker_confusions
from valenza.evaluation.metrics import METRICS, confusion, ece, micro_f1, per_class_f1, reliability
from valenza.evaluation.protocol import columns

Groups = Mapping[str, Shaped[np.ndarray, " clips"]]
"""`speaker`, `language` and `gender` of each clip."""


def score(
    labels: Int[np.ndarray, " clips"],
    probabilities: Float[np.ndarray, "clips emotions"],
    classes: Sequence[str],
    groups: Groups,
    *,
    seed: int,
) -> dict[str, Any]:
    """Return metrics, intervals, per-class F1, confusion and calibration, for all clips and by language and gender.

    `labels` are columns of `probabilities`, all among `classes`. `groups["speaker"]` is what intervals resample.
    """
    allowed = columns(classes)
    predicted = probabilities.argmax(axis=1)
    counts = confusion(labels, predicted, allowed)
    bins = reliability(probabilities, labels)
    whole = _part(labels, probabilities, allowed, groups["speaker"], seed)
    return {
        **whole,
        "per_class_f1": dict(zip(classes, per_class_f1(counts).tolist(), strict=True)),
        "confusion": counts.tolist(),
        "reliability": [{"clips": int(n), "confidence": c / n, "accuracy": r / n} for n, c, r in bins.tolist() if n],
        **{
            f"by_{kind}": {
                str(name): _part(labels[own], probabilities[own], allowed, groups["speaker"][own], seed)
                for name in np.unique(groups[kind])
                for own in [groups[kind] == name]
            }
            for kind in ("language", "gender")
        },
    }


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
    allowed, speakers = columns(classes), groups["speaker"]
    own = baseline(labels, predicted, classes)
    model = speaker_confusions(labels, probabilities.argmax(axis=1), speakers, allowed)
    draws = [speaker_confusions(labels, row, speakers, allowed) for row in predicted]
    # micro-F1 is linear in the counts, so its mean over the draws is that of their mean matrix.
    bounds = gain_interval(model, np.mean(draws, axis=0), seed=seed).bounds
    languages = {
        str(name): {"micro_f1": float((predicted == labels)[:, groups["language"] == name].mean())}
        for name in np.unique(groups["language"])
    }
    gain = float(micro_f1(model.sum(axis=0))) - own["micro_f1"]
    interval = {"gain_ci95": list(bounds["micro_f1"])} if bounds else {}
    return {**own, "gain": gain, **interval, "by_language": languages}


def _part(
    labels: np.ndarray, probabilities: np.ndarray, allowed: Sequence[int], speakers: np.ndarray, seed: int
) -> dict[str, Any]:
    counts = speaker_confusions(labels, probabilities.argmax(axis=1), speakers, allowed)
    found = intervals(counts, seed=seed)
    metrics = {name: float(metric(counts.sum(axis=0))) for name, metric in METRICS.items()}
    return {
        "clips": len(labels),
        "speakers": len(counts),
        "metrics": {**metrics, "ece": ece(reliability(probabilities, labels))},
        "ci95": {name: list(bounds) for name, bounds in found.bounds.items()},
        **({"ci95_reason": found.reason} if found.reason else {}),
    }
