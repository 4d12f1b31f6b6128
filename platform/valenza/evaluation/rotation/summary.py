"""Puts the scores of a rotation's runs together: rotation.json, and its table in Markdown."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valenza.evaluation.bootstrap import percentiles, unit_confusions, units
from valenza.evaluation.comparison.paired import COMPARED, Scores, draw, mean_over
from valenza.evaluation.predictions import Answers, beside, read_predictions
from valenza.evaluation.results import BASELINES, finite, percent, read_results
from valenza.evaluation.rotation.folds import Fold
from valenza.evaluation.schema import CorpusResult, Results
from valenza.files import write_whole

Run = tuple[Fold, int, Path]
_SEED = 0
"""Of the draws; a rotation's intervals are the same each time they are made."""


def summarise(runs: Sequence[Run]) -> dict[str, Any]:
    """Return each fold's scores and their mean over folds.

    A fold's score is the mean over its held-out corpora and over seeds; its interval draws speakers and seeds again.
    `sd` is the standard deviation over seeds, of the fold or of the mean over folds. Baselines are means over seeds.
    """
    seeds = list(dict.fromkeys(seed for _, seed, _ in runs))
    told, drawn = [], {}
    for name in dict.fromkeys(fold.name for fold, _, _ in runs):
        own = [(fold, seed, path) for fold, seed, path in runs if fold.name == name]
        found, draws = _fold(own)
        told.append(found)
        if draws is not None:
            drawn[name] = draws
    mean = _mean(told, seeds, drawn) if told else {}
    return dict(finite({"seeds": seeds, "folds": told, "mean": mean}))


def write_rotation(rotation: Mapping[str, Any], out: Path) -> None:
    """Write rotation.json and rotation.md; raises `WriteError`."""
    write_whole(json.dumps(rotation, indent=1, ensure_ascii=False, allow_nan=False) + "\n", out / "rotation.json")
    write_whole(markdown(rotation), out / "rotation.md")


def markdown(rotation: Mapping[str, Any]) -> str:
    """Return the table of a rotation, in per cent: a row a fold and one for the mean, with the baselines beside."""
    parts = list(rotation["folds"])
    if rotation["mean"].get("model"):
        parts.append({"fold": "mean", **rotation["mean"]})
    shown = [name for name in BASELINES if any(name in part["baselines"] for part in parts)]
    heads = ["held out", "corpora", "clips", "micro-F1 [95 %]", "macro-F1 [95 %]", "UA", *map(BASELINES.get, shown)]
    lines = ["| " + " | ".join(map(str, heads)) + " |", "|---|---|" + "--:|" * (len(heads) - 2)]
    for part in parts:
        corpora = ", ".join(part.get("held_out", ())) + (" ¹" if part.get("claim") == "cross_corpus" else "")
        model = [_score(part["model"][name], whole=name != "ua") for name in COMPARED]
        beside = [_baseline(part["baselines"].get(name)) for name in shown]
        lines.append("| " + " | ".join([part["fold"], corpora, f"{part['clips']:,}", *model, *beside]) + " |")
    return "\n".join([*lines, "", *_notes(rotation)]) + "\n"


def _notes(rotation: Mapping[str, Any]) -> Iterator[str]:
    seeds = rotation["seeds"]
    several = len(seeds) > 1
    over = f"Mean{' ± standard deviation' if several else ''} over seeds {', '.join(map(str, seeds))}"
    yield f"{over}; intervals draw speakers{' and seeds' if several else ''} again. Baselines: micro-F1 / macro-F1."
    if any("best_layer_probe" in fold["baselines"] for fold in rotation["folds"]):
        yield "The best layer's probe takes, for each corpus, the layer that is best on it: flattered on purpose."
    if any(fold["claim"] == "cross_corpus" for fold in rotation["folds"]):
        yield "¹ Its language was trained on in other corpora, or nobody says that it was not."
    for failure in rotation.get("failed", ()):
        yield f"Failed: {failure['fold']}, seed {failure['seed']}: {failure['error'].splitlines()[0]}"


def _fold(runs: Sequence[Run]) -> tuple[dict[str, Any], Scores | None]:
    fold = runs[0][0]
    results = {seed: read_results(path / "results.json") for _, seed, path in runs}
    answers = [read_predictions(beside(path / "results.json")) for _, _, path in runs]
    drawn = {corpus: resample([one[corpus] for one in answers], corpus) for corpus in fold.held_out}
    whole = {corpus: one for corpus, one in drawn.items() if one is not None}
    draws = mean_over(list(whole.values())) if len(whole) == len(drawn) else None
    by_seed = {seed: _model(result.corpora.values()) for seed, result in results.items()}
    first = next(iter(results.values()))
    told = {
        "fold": fold.name,
        "held_out": list(fold.held_out),
        "train": dict(fold.train),
        "aside": list(fold.aside),
        "claim": fold.claim,
        "clips": sum(corpus.clips for corpus in first.corpora.values()),
        "speakers": sum(corpus.speakers for corpus in first.corpora.values()),
        "model": _spread(by_seed, draws),
        "baselines": _baselines(results.values()),
        "runs": [_run(seed, path, results[seed]) for _, seed, path in runs],
    }
    return told, draws


def _run(seed: int, path: Path, results: Results) -> dict[str, Any]:
    corpora = {name: {"classes": c.classes, **_corpus(c)} for name, c in results.corpora.items()}
    return {"seed": seed, "run": path.name, "checkpoint": results.checkpoint, "corpora": corpora}


def _corpus(corpus: CorpusResult) -> dict[str, Any]:
    baselines = {
        name: {metric: baseline.model_dump()[metric] for metric in COMPARED} | _extra(baseline.model_dump())
        for name, baseline in corpus.baselines.items()
    }
    return {
        "metrics": corpus.metrics.model_dump(),
        "ci95": dict(corpus.ci95),
        "per_class_f1": corpus.per_class_f1,
        "baselines": baselines,
    }


def _extra(baseline: Mapping[str, Any]) -> dict[str, Any]:
    return {key: baseline[key] for key in ("layer", "by_layer") if baseline.get(key) is not None}


def resample(runs: Sequence[Answers], corpus: str, side: int = 0) -> Scores | None:
    """Score resamples of a corpus with the model `side` of runs; None where a single clip leaves nothing to resample.

    The same speakers are drawn for every model.
    """
    who = units(runs[0].speakers, runs[0].recordings)
    classes = sorted({c for one in runs for c in one.classes})
    confusions = [unit_confusions(one.labels, one.predicted, who.of_clip, classes) for one in runs]
    return draw(confusions, corpus, side, seed=_SEED).scores if len(confusions[0]) > 1 else None


def _model(corpora: Iterable[CorpusResult]) -> dict[str, float]:
    """Return the mean over corpora of each score."""
    values = [corpus.metrics.model_dump() for corpus in corpora]
    return {name: float(np.mean([value[name] for value in values])) for name in COMPARED}


def _spread(by_seed: Mapping[int, Mapping[str, float]], draws: Scores | None) -> dict[str, Any]:
    """Return mean, standard deviation over seeds and interval of each score."""
    found = {}
    for name in COMPARED:
        values = [scores[name] for scores in by_seed.values()]
        found[name] = {
            "mean": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "ci95": list(percentiles(draws[name])) if draws else None,
        }
    return found


def _baselines(results: Iterable[Results]) -> dict[str, dict[str, float]]:
    """Return the mean over corpora and seeds of each baseline that all have."""
    corpora = [corpus for result in results for corpus in result.corpora.values()]
    names = [name for name in BASELINES if all(name in corpus.baselines for corpus in corpora)]
    dumped = {name: [corpus.baselines[name].model_dump() for corpus in corpora] for name in names}
    return {
        n: {metric: float(np.mean([v[metric] for v in values])) for metric in COMPARED} for n, values in dumped.items()
    }


def _mean(told: Sequence[Mapping[str, Any]], seeds: Sequence[int], drawn: Mapping[str, Scores]) -> dict[str, Any]:
    """Return the mean over folds, every fold counting once; by seed only where all folds have that seed."""
    by_seed = {}
    for seed in seeds:
        runs = [run for fold in told for run in fold["runs"] if run["seed"] == seed]
        if len(runs) == len(told):
            parts = [
                {name: np.mean([c["metrics"][name] for c in run["corpora"].values()]) for name in COMPARED}
                for run in runs
            ]
            by_seed[seed] = {name: float(np.mean([part[name] for part in parts])) for name in COMPARED}
    names = [name for name in BASELINES if all(name in fold["baselines"] for fold in told)]
    model = _spread(by_seed, mean_over(list(drawn.values())) if len(drawn) == len(told) else None) if by_seed else {}
    return {
        "clips": sum(fold["clips"] for fold in told),
        "model": model,
        "by_seed": {str(seed): scores for seed, scores in by_seed.items()},
        "baselines": {
            n: {metric: float(np.mean([fold["baselines"][n][metric] for fold in told])) for metric in COMPARED}
            for n in names
        },
    }


def _score(score: Mapping[str, Any], *, whole: bool) -> str:
    spread = "" if score["sd"] is None else f" ± {100 * score['sd']:.1f}"
    bounds = f" [{100 * score['ci95'][0]:.1f}, {100 * score['ci95'][1]:.1f}]" if whole and score["ci95"] else ""
    return f"{percent(score['mean'])}{spread}{bounds}"


def _baseline(scores: Mapping[str, float] | None) -> str:
    return "–" if scores is None else f"{percent(scores['micro_f1'])} / {percent(scores['macro_f1'])}"
