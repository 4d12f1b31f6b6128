"""Compares models on the clips that all of them were scored on."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from valenza.evaluation.bootstrap import Units, unit_confusions, units
from valenza.evaluation.comparison.paired import (
    COMPARED,
    DRAWS,
    Confusions,
    Difference,
    Drawn,
    difference,
    draw,
    mcnemar,
    mean_over,
    observed,
)
from valenza.evaluation.comparison.runs import Model, common_corpora, read_models
from valenza.evaluation.results import finite
from valenza.labels.taxonomy import EMOTIONS


def compare_runs(
    words: Sequence[str], *, corpora: Sequence[str] = (), seed: int = 0, draws: int = DRAWS
) -> dict[str, Any]:
    """Compare every later model with the first; each word is a run, or several with commas that differ in their seed.

    Returns differences second − first of micro-F1, macro-F1 and UA with 95 % intervals and p, per corpus and for the
    mean over corpora, each class's F1, and McNemar's test where both models are a single run. Raises `UsageError` where
    runs were not scored on the same clips.
    """
    models = read_models(words)
    names = common_corpora(models, corpora)
    told = [
        {"name": model.name, "runs": [{"run": r.name, "checkpoint": r.results.checkpoint} for r in model.runs]}
        for model in models
    ]
    first, *others = models
    pairs = [_pair(first, other, place, names, seed, draws) for place, other in enumerate(others, 1)]
    return dict(finite({"format": 1, "draws": draws, "seed": seed, "models": told, "comparisons": pairs}))


def _pair(first: Model, second: Model, place: int, names: Sequence[str], seed: int, draws: int) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    drawn: dict[str, tuple[Drawn, Drawn]] = {}
    for corpus in names:
        found[corpus], both = _corpus(first, second, place, corpus, seed, draws)
        if both is not None:
            drawn[corpus] = both
    pair: dict[str, Any] = {"first": first.name, "second": second.name, "corpora": found}
    if len(names) > 1:
        pair["mean"] = _mean(found, drawn)
    return pair


def _corpus(
    first: Model, second: Model, place: int, corpus: str, seed: int, draws: int
) -> tuple[dict[str, Any], tuple[Drawn, Drawn] | None]:
    answers = first.runs[0].answers[corpus]
    who = units(answers.speakers, answers.recordings)
    classes = sorted({c for model in (first, second) for run in model.runs for c in run.answers[corpus].classes})
    sides = [_confusions(model, corpus, who, classes) for model in (first, second)]
    (one, ones), (other, others) = (observed(side) for side in sides)
    both: tuple[Drawn, Drawn] | None = None
    if len(sides[0][0]) > 1:
        both = (
            draw(sides[0], corpus, 0, seed=seed, draws=draws),
            draw(sides[1], corpus, place, seed=seed, draws=draws),
        )
    gaps = {
        name: difference(one[name], other[name], (both[0].scores[name], both[1].scores[name]) if both else None)
        for name in COMPARED
    }
    by_class = {}
    for i, column in enumerate(classes):
        pair = (both[0].per_class_f1[:, i], both[1].per_class_f1[:, i]) if both else None
        by_class[EMOTIONS[column]] = {
            "first": ones[i],
            "second": others[i],
            **_told(difference(ones[i], others[i], pair)),
        }
    alone = len(first.runs) == len(second.runs) == 1
    told = {
        "clips": len(answers.ids),
        "units": len(sides[0][0]),
        "resampled": who.kind,
        **({"note": who.note} if who.note else {}),
        "first": one,
        "second": other,
        "difference": {name: _told(gap) for name, gap in gaps.items()},
        "per_class_f1": by_class,
        "mcnemar": asdict(mcnemar(*(_right(model, corpus) for model in (first, second)))) if alone else None,
    }
    return told, both


def _mean(found: dict[str, dict[str, Any]], drawn: dict[str, tuple[Drawn, Drawn]]) -> dict[str, Any]:
    """Return the differences of the mean over corpora; every corpus counts once."""
    means = {
        side: {name: float(np.mean([told[side][name] for told in found.values()])) for name in COMPARED}
        for side in ("first", "second")
    }
    whole = len(drawn) == len(found)
    sides = [mean_over([pair[side].scores for pair in drawn.values()]) for side in (0, 1)] if whole else []
    gaps = {
        name: difference(
            means["first"][name],
            means["second"][name],
            (sides[0][name], sides[1][name]) if whole else None,
        )
        for name in COMPARED
    }
    return {**means, "difference": {name: _told(gap) for name, gap in gaps.items()}}


def _confusions(model: Model, corpus: str, who: Units, classes: Sequence[int]) -> list[Confusions]:
    answers = [run.answers[corpus] for run in model.runs]
    return [unit_confusions(a.labels, a.predicted, who.of_clip, classes) for a in answers]


def _right(model: Model, corpus: str) -> np.ndarray:
    answers = model.runs[0].answers[corpus]
    return np.asarray(answers.labels == answers.predicted)


def _told(gap: Difference) -> dict[str, Any]:
    return {"value": gap.value, "ci95": list(gap.ci95) if gap.ci95 else None, "p": gap.p}
