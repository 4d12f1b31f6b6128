"""Trains and scores every fold of a rotation, skipping what is finished, and puts the scores together."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch

from valenza.config import load
from valenza.errors import DataError, NonFiniteError, PeerError, UsageError, ValenzaError
from valenza.evaluation.results import read_results
from valenza.evaluation.rotation.folds import By, Fold, folder, folds
from valenza.evaluation.rotation.summary import summarise, write_rotation
from valenza.evaluation.session import evaluate_run
from valenza.files import write_whole
from valenza.mixture.admission import problems
from valenza.model.network import build_network
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.stages.frozen import Listener, may_hear_once
from valenza.stages.run import recipe_text, train_run
from valenza.stages.trained import device, newest_checkpoint, read_recipe
from valenza.terminal import say

_GOES_ON = (NonFiniteError, DataError)
"""Failures of one fold, which do not stop the others."""


@dataclass(frozen=True)
class Task:
    """One training run of a rotation."""

    fold: Fold
    seed: int
    recipe: Recipe
    run: Path

    @property
    def file(self) -> Path:
        """Where its resolved recipe is written before anything is trained."""
        return self.run.with_name(f"{self.run.name}.yaml")


def plan(recipe: Path, by: By | Sequence[Fold], *, seeds: Sequence[int], out: Path, overrides: Sequence[str] = (),
         only: Sequence[str] = ()) -> list[Task]:  # fmt: skip
    """Write the resolved recipe of every fold and seed, `out/<fold>-<seed>.yaml`, and return the runs to be.

    `seeds` are the recipe's own where empty. Raises `UsageError` for a mistake in the recipe, an override or a fold.
    """
    base = load(Recipe, recipe, overrides, also=problems)
    parts = folds(base, by, only) if isinstance(by, str) else list(by)
    tasks = [
        Task(fold, seed, fold.recipe(base, seed), folder(out, fold, seed))
        for seed in dict.fromkeys(seeds or [base.seed])
        for fold in parts
    ]
    for task in tasks:
        write_whole(recipe_text(task.recipe), task.file)
        load(Recipe, task.file, also=problems)
    return tasks


def rotate(
    recipe: Path,
    by: By | Sequence[Fold],
    *,
    seeds: Sequence[int] = (),
    out: Path,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    jobs: int = 1,
) -> dict[str, Any]:
    """Train and evaluate a recipe once for every language or corpus (or given fold) held out, and every seed.

    Returns what `out/rotation.json` holds: `folds`, each with its runs, the model's and the baselines' scores, and
    `mean` over the folds. A run that is finished with the same recipe is not touched, one that was stopped goes on.
    A frozen encoder's answers are shared by all runs. With several `jobs`, runs train side by side, each on a GPU of
    its own while there are enough. A fold whose loss is not finite, or whose data are refused, does not stop the
    others: it is listed under `failed`, and raised once they are done. Raises `UsageError` under torchrun.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "rotate trains its folds in processes of its own (--jobs). To train each on several, write their recipes "
            "with --plan, train every one under torchrun as `valenza train OUT/FOLD-SEED.yaml --out OUT/FOLD-SEED`, "
            "and run rotate again to score them"
        )
    tasks = plan(recipe, by, seeds=seeds, out=out, overrides=overrides, only=only)
    todo = [task for task in tasks if not finished(task)]
    if done := len(tasks) - len(todo):
        say(f"{done} of {len(tasks)} runs are finished already")
    failures = [(task, error) for task, error in _run(todo, min(jobs, len(todo))) if error is not None]
    failed = [{"fold": task.fold.name, "seed": task.seed, "error": str(error)} for task, error in failures]
    broken = {task.run for task, _ in failures}
    kept = [task for task in tasks if task.run not in broken]
    told = {"recipe": str(recipe), "overrides": list(overrides), "hold_out": by if isinstance(by, str) else "folds"}
    rotation = {"format": 1, **told, **summarise([(t.fold, t.seed, t.run) for t in kept]), "failed": failed}
    write_rotation(rotation, out)
    if failures:
        task, error = failures[0]
        raise type(error)(f"{len(failures)} of {len(tasks)} runs failed; {task.run}: {error}")
    return rotation


def finished(task: Task) -> bool:
    """Return whether a run has been scored with this very recipe, from its last checkpoint."""
    if not (task.run / "results.json").is_file() or not (task.run / "results.parquet").is_file():
        return False
    try:
        results, trained = read_results(task.run / "results.json"), read_recipe(task.run)
        newest = newest_checkpoint(task.run, None)
    except UsageError:
        return False
    wanted = load(Recipe, task.file)
    whole = newest.name == f"step-{wanted.training.steps:08d}" == results.checkpoint
    scored = results.evaluation == wanted.evaluation.model_dump(mode="json")
    return trained == wanted and whole and scored and set(results.corpora) == set(wanted.data.zero_shot)


def _run(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, ValenzaError | None]]:
    """Yield every task with how it failed, or None."""
    if jobs <= 1:
        for number, task in enumerate(tasks, 1):
            say(f"run {number} of {len(tasks)}: {task.run.name}, held out: {', '.join(task.fold.held_out)}")
            yield task, _train_and_score(task)
        return
    _hear_first(tasks)
    context = multiprocessing.get_context("spawn")
    devices: SimpleQueue[str] = context.SimpleQueue()
    for name in _devices(jobs):
        devices.put(name)
    threads = max(1, torch.get_num_threads() // jobs)
    with ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(devices, threads)) as pool:
        waiting = {pool.submit(_train_and_score, task): task for task in tasks}
        try:
            for number, done in enumerate(as_completed(waiting), 1):
                say(f"run {number} of {len(tasks)}: {waiting[done].run.name} has ended")
                yield waiting[done], done.result()
        except BrokenProcessPool:
            raise PeerError(
                "a process of the rotation was killed; the same command goes on from where it was"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _train_and_score(task: Task) -> ValenzaError | None:
    try:
        train_run(task.recipe, task.run, resume="auto", workers=0)
        evaluate_run(task.run)
    except _GOES_ON as error:
        say(f"{task.run}: {error}")
        return error
    return None


def _hear_first(tasks: Sequence[Task]) -> None:
    """Hear every corpus once with a frozen encoder, or each of the processes would."""
    recipe = tasks[0].recipe
    if recipe.encoder.name is None:
        return  # a new encoder is another one with every seed
    encoder = build_network(recipe).encoder.to(device())
    for corpus in sorted({c for task in tasks for c in (*task.fold.train, *task.fold.held_out)}):
        index = read_index(recipe.data.shards, [corpus])
        if not may_hear_once(recipe, encoder, index.num_rows):
            return
        listener, reader = Listener(encoder, recipe.augment), Reader(recipe.data.shards, index)
        ids, every = index["id"].to_pylist(), range(index.num_rows)
        for number in range(recipe.augment.versions or 1):
            if not listener.file(reader, ids, every, number).exists():
                listener.means(reader, ids, every, number=number, label=f"hearing {corpus}, version {number}")


def _devices(jobs: int) -> list[str]:
    """Return for each process the GPU that it sees, in turn; nothing where there is none to choose."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = visible.split(",") if visible else [str(i) for i in range(count)]
    return [names[job % len(names)] if count else "" for job in range(jobs)]


def _begin(devices: "SimpleQueue[str]", threads: int) -> None:
    if device := devices.get():
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    torch.set_num_threads(threads)
