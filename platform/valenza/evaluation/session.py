"""One evaluation of one run: its model over every scored corpus, beside the baselines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from valenza.errors import UsageError
from valenza.evaluation.baselines.suite import Suite
from valenza.evaluation.clips import choose
from valenza.evaluation.corpus import score_corpus
from valenza.evaluation.domain import probe_run
from valenza.evaluation.listen import Ear
from valenza.evaluation.page.report import write_report
from valenza.evaluation.predictions import beside, write_predictions
from valenza.evaluation.protocol import training_prior
from valenza.evaluation.ratings import evaluate_ratings
from valenza.evaluation.results import FORMAT, OPTIONAL, finite, write_results
from valenza.evaluation.temperature import fit_run, write_temperature
from valenza.labels.harmonise import scores
from valenza.labels.native import outputs
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.network import build_network
from valenza.place import Place
from valenza.recipe import Augment, Recipe
from valenza.shards.stored import read_cards, read_index
from valenza.stages.frozen import Listener
from valenza.stages.prepare import Prepared, clip_weights, prepare
from valenza.stages.trained import device, load_network, newest_checkpoint, read_recipe
from valenza.terminal import say
from valenza.training.runtime import reseed


def evaluate_run(
    run: Path,
    *,
    corpora: Sequence[str] | None = None,
    shards: Place | None = None,
    out: Path | None = None,
    checkpoint_name: str | None = None,
    baselines: Sequence[str] = (),
) -> dict[str, Any]:
    """Score corpora with a run's model, write results.json, predictions and report, and return the results.

    A corpus that was trained on is scored on its test part, or on its validation speakers where it has none, and called
    what it is. `baselines` adds to the recipe's. Raises `DataError` where a corpus said to be zero-shot shares takes,
    speakers, samples or its language with training.
    """
    recipe = _changed(read_recipe(run), shards, baselines)
    if recipe.stage not in ("utterance", "adapt"):
        raise UsageError(f"{run}: is a run of stage {recipe.stage}, which has no clips; `valenza dynamic` scores it")
    names = _names(run, recipe, corpora)
    prepared = prepare(recipe)
    if outputs(recipe) != EMOTIONS:
        source, histograms = newest_checkpoint(run, checkpoint_name), label_histograms(prepared, names, recipe)
        network = load_network(recipe, source)
        return evaluate_ratings(run, recipe, prepared, names, network, source.name, histograms, out)
    chosen = {name: choose(recipe, name, prepared) for name in names}
    source = newest_checkpoint(run, checkpoint_name)
    network = load_network(recipe, source)
    prior = training_prior(prepared.scores.targets, clip_weights(recipe, prepared))
    # The same numbers that training began with.
    reseed(recipe.seed)
    listener = Listener(build_network(recipe).encoder.to(device()), Augment())
    # An adapted encoder is frozen as its run left it; any other frozen one is the same before training and after.
    ear, suite = Ear(recipe, network, Listener(network.encoder, Augment())), Suite(recipe, prepared, listener)
    temperature = fit_run(recipe, prepared, ear)
    if "skipped" in temperature:
        say(f"no temperature: {temperature['skipped']}")
    found = {name: score_corpus(recipe, c, ear, prior, temperature, suite) for name, c in chosen.items()}
    results: dict[str, Any] = finite(
        {
            "format": FORMAT,
            "run": run.resolve().name,
            "seed": recipe.seed,
            "checkpoint": source.name,
            "prior": dict(zip(EMOTIONS, prior.tolist(), strict=True)),
            "temperature": temperature,
            "evaluation": recipe.evaluation.model_dump(mode="json"),
            "domain_probe": probe_run(recipe, prepared, ear),
            "training": {name: round(recipe.data.train[name], 4) for name in sorted(recipe.data.train)},
            "corpora": {name: told for name, (told, _) in found.items()},
        }
    )
    file = out or run / "results.json"
    page = file.parent / "report" / "index.html"
    write_predictions([rows for _, rows in found.values()], beside(file))
    write_results(results, file)
    write_temperature(run, source.name, recipe, temperature)
    write_report(results, run, label_histograms(prepared, names, recipe), page)
    say(f"wrote {file}, {beside(file).name} beside it, and {page}")
    return results


def label_histograms(prepared: Prepared, names: Sequence[str], recipe: Recipe) -> dict[str, dict[str, float]]:
    """Return how much of each class every corpus has, in clips, training corpora first."""
    found = {}
    for corpus, rows in prepared.rows_of("train").items():
        found[corpus] = dict(zip(EMOTIONS, prepared.scores.targets[rows].sum(axis=0).tolist(), strict=True))
    for name in names:
        index, cards = read_index(recipe.data.shards, [name]), read_cards(recipe.data.shards, [name])
        found[name] = dict(zip(EMOTIONS, scores(index, cards).targets.sum(axis=0).tolist(), strict=True))
    return found


def _names(run: Path, recipe: Recipe, corpora: Sequence[str] | None) -> list[str]:
    """Return the corpora to score: those named, else the recipe's zero-shot ones, or what an adapted run learned."""
    learned = list(recipe.data.train) if recipe.adapt is not None else []
    names = list(corpora) if corpora is not None else list(recipe.data.zero_shot) or learned
    if not names:
        raise UsageError(f"{run}: the recipe has no zero_shot corpora; name some with --corpora")
    if learned and (strange := [name for name in names if name not in learned]):
        told = f"was adapted to {', '.join(learned)}; the run it started from may have heard {', '.join(strange)}"
        raise UsageError(f"{run}: {told}")
    return names


def _changed(recipe: Recipe, shards: Place | None, baselines: Sequence[str]) -> Recipe:
    """Return the recipe with its shards elsewhere, or with more baselines; raises `UsageError` for an unknown one."""
    if shards is not None:
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"shards": shards})})
    if unknown := [name for name in baselines if name not in OPTIONAL]:
        raise UsageError(f"--baselines: {', '.join(unknown)} is not one of {', '.join(OPTIONAL)}")
    if not baselines:
        return recipe
    wanted = tuple(name for name in OPTIONAL if name in {*recipe.evaluation.baselines, *baselines})
    return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"baselines": wanted})})
