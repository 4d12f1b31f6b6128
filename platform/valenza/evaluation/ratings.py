"""Scores a run that was adapted to native classes: how far its outputs follow the annotators' ratings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped
from scipy.special import expit, softmax

from valenza.evaluation.clips import held_back
from valenza.evaluation.domain import probe_run
from valenza.evaluation.listen import Ear
from valenza.evaluation.metrics import METRICS, confusion, per_class_f1
from valenza.evaluation.page.report import write_report
from valenza.evaluation.protocol import truth
from valenza.evaluation.results import FORMAT, finite, write_results
from valenza.labels.native import outputs
from valenza.model.network import Network
from valenza.objectives.correlation import mean_of, moments, pearson, spearman
from valenza.recipe import Augment, Recipe
from valenza.shards.read import Reader
from valenza.stages.frozen import Listener
from valenza.stages.prepare import Prepared
from valenza.terminal import say

_DRAWS = 2_000


def evaluate_ratings(
    run: Path,
    recipe: Recipe,
    prepared: Prepared,
    names: Sequence[str],
    network: Network,
    checkpoint: str,
    histograms: dict[str, dict[str, float]],
    out: Path | None,
) -> dict[str, Any]:
    """Score corpora with a network of native outputs, write results.json and the report, and return the results."""
    ear = Ear(recipe, network, Listener(network.encoder, Augment()))
    results: dict[str, Any] = finite(
        {
            "format": FORMAT,
            "run": run.resolve().name,
            "seed": recipe.seed,
            "checkpoint": checkpoint,
            "evaluation": recipe.evaluation.model_dump(mode="json"),
            "training": {name: round(recipe.data.train[name], 4) for name in sorted(recipe.data.train)},
            "domain_probe": probe_run(recipe, prepared, ear),
            "corpora": {name: score_ratings(recipe, prepared, ear, name, outputs(recipe)) for name in names},
        }
    )
    file = out or run / "results.json"
    page = file.parent / "report" / "index.html"
    write_results(results, file)
    write_report(results, run, histograms, page)
    for name, corpus in results["corpora"].items():
        found = corpus["ratings"]
        shown = "  ".join(
            f"{kind} {found[kind]:.3f}" for kind in ("pearson", "spearman", "mse") if found[kind] is not None
        )
        say(f"{name}: {shown} over {len(corpus['classes'])} outputs and {found['clips']} clips")
    say(f"wrote {file} and {page}")
    return results


def score_ratings(
    recipe: Recipe, prepared: Prepared, ear: Ear, corpus: str, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Return a corpus's part of results.json, on its test part, or its validation speakers where it has none.

    `ratings` holds the mean Pearson and Spearman correlation over the outputs (Osman et al. 2023, table 3), each with
    an interval that resamples speakers, and the mean squared error. The classification scores take the highest output
    against the highest rating; clips with two of them are left out there. Raises `DataError` where all was trained on.
    """
    part, rows = held_back(prepared, corpus)
    reader, ids = Reader(recipe.data.shards, prepared.index), [str(i) for i in prepared.index["id"].to_pylist()]
    heard = ear.hear(reader, ids, prepared.corpora[corpus], rows.tolist(), label=f"hearing {corpus}")
    logits = heard.logits[recipe.evaluation.frames].astype(np.float64)
    regression = recipe.adapt is not None and recipe.adapt.loss == "regression"
    said, wanted = expit(logits) if regression else softmax(logits, axis=1), prepared.targets[rows]
    taken = prepared.index.take(rows)
    speakers = np.array(taken["speaker"].to_pylist())
    return {
        "zero_shot": False,
        "part": part,
        "title": prepared.cards[corpus].title,
        "languages": sorted(set(taken["language"].to_pylist())),
        "speakers": len(set(speakers.tolist())),
        **_highest(said, wanted, classes),
        "ratings": {"clips": len(rows), **correlations(said, wanted, speakers, classes, seed=recipe.seed)},
    }


def correlations(
    said: Float64[np.ndarray, "clips outputs"],
    wanted: Float64[np.ndarray, "clips outputs"],
    speakers: Shaped[np.ndarray, " clips"],
    classes: tuple[str, ...],
    *,
    seed: int,
) -> dict[str, Any]:
    """Return the mean correlations over the outputs, those of each, and the mean squared error."""
    linear, ranked = pearson(moments(said, wanted)), spearman(said, wanted)
    both = zip(classes, linear.tolist(), ranked.tolist(), strict=True)
    found: dict[str, Any] = {
        "pearson": mean_of(linear),
        "spearman": mean_of(ranked),
        "mse": float(np.square(said - wanted).mean()),
        "by_output": {name: {"pearson": p, "spearman": s} for name, p, s in both},
    }
    who, number = np.unique(speakers, return_inverse=True)
    if len(who) > 1:
        parts = np.stack([moments(said[number == i], wanted[number == i]) for i in range(len(who))])
        found["ci95"] = {"pearson": _interval(parts, seed)}
    return found


def _interval(parts: Float64[np.ndarray, "speakers 6 outputs"], seed: int) -> list[float]:
    """Return the 95 % percentile interval of the mean Pearson correlation, speakers drawn again."""
    count = len(parts)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    drawn = pearson(np.moveaxis(np.tensordot(times.astype(np.float64), parts, axes=1), 1, 0))
    means = np.array([mean_of(row) for row in drawn])
    return [float(bound) for bound in np.nanquantile(means, (0.025, 0.975))]


def _highest(
    said: Float64[np.ndarray, "clips outputs"], wanted: Float[np.ndarray, "clips outputs"], classes: tuple[str, ...]
) -> dict[str, Any]:
    labels: Int64[np.ndarray, " clips"] = truth(wanted).labels
    own = labels >= 0
    counts = confusion(labels[own], said[own].argmax(axis=1), range(len(classes)))
    return {
        "clips": int(own.sum()),
        "left_out": int((~own).sum()),
        "classes": list(classes),
        "metrics": {**{name: float(metric(counts)) for name, metric in METRICS.items()}, "ece": None},
        "per_class_f1": dict(zip(classes, per_class_f1(counts).tolist(), strict=True)),
        "confusion": counts.tolist(),
    }
