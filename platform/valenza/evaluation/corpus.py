"""Scores one corpus: its part of results.json, and its rows of the predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from valenza.evaluation import predictions
from valenza.evaluation.baselines.suite import Suite
from valenza.evaluation.bootstrap import units
from valenza.evaluation.clips import Chosen
from valenza.evaluation.distribution import soft_score
from valenza.evaluation.listen import Ear, Heard
from valenza.evaluation.metrics import reliability
from valenza.evaluation.protocol import columns, predict
from valenza.evaluation.score import bins, calibration_errors, compare, score
from valenza.labels.taxonomy import EMOTIONS
from valenza.recipe import Recipe


def score_corpus(
    recipe: Recipe,
    chosen: Chosen,
    ear: Ear,
    prior: Float[np.ndarray, " classes"],
    temperature: Mapping[str, Any],
    suite: Suite,
) -> tuple[dict[str, Any], pa.Table]:
    """Return a corpus's part of results.json and its predictions, clip by clip.

    `prior` is the training targets'. The headline is the recipe's choice of frames and prior, with its probabilities
    divided by the temperature; the other variants are told as the network gives them.
    """
    name, settings = chosen.card.id, recipe.evaluation
    every = list(range(chosen.index.num_rows))
    heard = ear.hear(chosen.reader(recipe), chosen.ids, every, chosen.rows.tolist(), label=f"hearing {name}")
    whole, own, classes = chosen.groups(), chosen.scored, chosen.classes
    groups, labels = {kind: names[own] for kind, names in whole.items()}, chosen.labels[own]
    shares = {
        f"{frames}_{'adjusted' if adjust else 'raw'}": predict(heard.logits[frames], classes, prior, adjust=adjust)
        for frames in ("masked", "unmasked")
        for adjust in (True, False)
    }
    variants = {kind: score(labels, p[own], classes, groups, seed=recipe.seed) for kind, p in shares.items()}
    adjust = settings.prior == "train"
    raw = shares[f"{settings.frames}_{'adjusted' if adjust else 'raw'}"]
    logits, value = heard.logits[settings.frames], float(temperature["value"])
    reported = predict(logits, classes, prior, adjust=adjust, temperature=value)
    told = {
        "zero_shot": chosen.zero_shot,
        "part": chosen.part,
        "title": chosen.card.title,
        "languages": sorted(set(groups["language"].tolist())),
        "clips": len(labels),
        "left_out": chosen.left_out,
        "classes": list(classes),
        **score(labels, reported[own], classes, groups, seed=recipe.seed),
        "calibration": {
            "temperature": value,
            "in_sample": chosen.part == "validation" and name in temperature.get("corpora", ()),
            "before": calibration_errors(raw[own], labels),
            "after": calibration_errors(reported[own], labels),
        },
        "reliability_before": bins(reliability(raw[own], labels)),
        "soft": _soft(recipe, chosen, heard, prior, value),
        "variants": {kind: {"metrics": v["metrics"], "ci95": v["ci95"]} for kind, v in variants.items()},
        "baselines": {
            kind: compare(labels, reported[own], predicted, classes, groups, seed=recipe.seed) | more
            for kind, predicted, more in suite.predictions(chosen, heard, prior)
        },
    }
    ids = [chosen.ids[row] for row in chosen.rows.tolist()]
    return told, predictions.rows(name, ids, whole, chosen.labels, reported, chosen.targets)


def _soft(
    recipe: Recipe, chosen: Chosen, heard: Heard, prior: Float[np.ndarray, " classes"], temperature: float
) -> dict[str, Any]:
    """Score the distributions of all chosen clips, those with two highest scores included.

    The classes are all that the annotators could choose and that were trained, whether or not one is any clip's label.
    """
    classes = [e for e, known, mass in zip(EMOTIONS, chosen.known, prior, strict=True) if known and mass > 0]
    shares = predict(
        heard.logits[recipe.evaluation.frames],
        classes,
        prior,
        adjust=recipe.evaluation.prior == "train",
        temperature=temperature,
    )
    groups, inside = chosen.groups(), columns(classes)
    who = units(groups["speaker"], groups["recording"])
    return soft_score(chosen.targets[:, inside], shares[:, inside], classes, who, seed=recipe.seed)
