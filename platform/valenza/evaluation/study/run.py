"""Runs a study: every seed through its stages, what is finished not again, and then the tables."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
import yaml

from valenza.config import load
from valenza.errors import PeerError, UsageError
from valenza.evaluation.dynamic.intervals import Measured
from valenza.evaluation.study.measure import measure
from valenza.evaluation.study.plan import SEED, Plan
from valenza.files import write_whole
from valenza.recipe import Dynamic, Recipe
from valenza.recipe.dynamic import HEADS
from valenza.stages.pairs.folder import HEAD, PREFERENCES, read_pairs
from valenza.stages.pairs.make import make_pairs
from valenza.stages.pairs.preferences import as_lines, preferences
from valenza.stages.pairs.simulated import simulate
from valenza.stages.pairs.sources import slides_of, student_of
from valenza.stages.pairs.truth import truth_of
from valenza.stages.run import recipe_text, train_run
from valenza.stages.trained import RECIPE
from valenza.terminal import say
from valenza.training import checkpoint

STUDY = "study.yaml"
"""The resolved settings of the study, in its folder."""


def begin(recipe: Path, overrides: Sequence[str], out: Path) -> Plan:
    """Read a study and make its folder its own; raises `UsageError` where another study lies there."""
    settings = load(Dynamic, recipe, overrides)
    plan = Plan(settings, out.resolve())  # what runs say of each other holds from any folder
    text = str(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    file = out / STUDY
    if file.is_file() and load(Dynamic, file).model_copy(update={"seeds": settings.seeds}) != settings:
        raise UsageError(f"{out}: holds another study ({file}); use another --out, or delete it")
    write_whole(text, file)
    return plan


def run_stages(plan: Plan, jobs: int) -> list[Measured]:
    """Train what is not trained yet, and return what every seed scores.

    The first seed goes alone: what a frozen encoder hears is kept, and the other seeds, `jobs` at once, find it.
    """
    plan.make_tracks()
    first, *others = plan.settings.seeds
    found = {first: run_seed(plan, first)}
    jobs = min(jobs, len(others))
    if jobs <= 1:
        found |= {seed: run_seed(plan, seed) for seed in others}
    else:
        context, threads = multiprocessing.get_context("spawn"), max(1, torch.get_num_threads() // jobs)
        with ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
            try:
                found |= dict(zip(others, pool.map(run_seed, [plan] * len(others), others), strict=True))
            except BrokenProcessPool:
                raise PeerError("a seed was killed; the same command goes on from where it was") from None
    return [one for seed in plan.settings.seeds for one in found[seed]]


def run_seed(plan: Plan, seed: int) -> list[Measured]:
    """Take one seed through all stages, and return what its systems score."""
    for head in HEADS:
        train(plan.utterance(head, seed), plan.run("utterance", seed, head=head))
        train(plan.teacher(head, seed), plan.run("teacher", seed, head=head))
        train(plan.student(head, seed), plan.run("student", seed, head=head))
    judge(plan, seed)
    for beta in plan.settings.preference.betas:
        train(plan.preference(beta, seed), plan.run("preference", seed, beta=beta))
    say(f"seed {seed}: scoring")
    return measure(plan, seed)


def train(recipe: Recipe, run: Path) -> None:
    """Train a run unless it is finished; one that was stopped goes on."""
    file = run / RECIPE
    if recipe.stage != "teacher" and file.is_file() and file.read_text(encoding="utf-8") == recipe_text(recipe):
        last = checkpoint.newest(run / "checkpoints")
        if last is not None and last.name == f"step-{recipe.training.steps:08d}":
            return
    say(f"{run.name}: {recipe.stage}")
    train_run(recipe, run, resume="auto", workers=0)


def judge(plan: Plan, seed: int) -> None:
    """Make the pairs of a seed from its Dirichlet networks, and let the simulated annotator judge them."""
    folder, asked = plan.pairs(seed), plan.settings.pairs
    if not (folder / HEAD).is_file():
        student = plan.run("student", seed, head="dirichlet")
        saved = checkpoint.checkpoints(student / "checkpoints")
        make_pairs(
            folder,
            plan.tracks,
            plan.sets("preferences"),
            slide=slides_of(plan.run("utterance", seed, head="dirichlet")),
            students=[student_of(f"{student}@{one.name}") for one in (saved[-1], saved[0])],
            tracks=asked.tracks,
            k=asked.k,
            samples=asked.samples,
            per_track=asked.per_track,
            pairs=asked.pairs,
            seed=SEED,  # of all seeds alike, so that what is heard in the windows that are drawn is heard once
        )
    if not (folder / PREFERENCES).is_file():
        study = read_pairs(folder)
        truth = truth_of(study, plan.tracks)
        said = simulate(study, truth, seed=seed, error_rate=asked.error_rate, tie_zone=asked.tie_zone)
        plain = {pair.id for pair in study.pairs if pair.kind == "plain"}
        votes = [(vote.pair, vote.choice) for vote in said.answers if vote.pair in plain]
        write_whole(as_lines(preferences(study, votes)), folder / PREFERENCES)
        told = said.summary
        say(f"{folder}: {told['pairs']} pairs judged, {told['tie']} ties, {told['flips']} errors")
