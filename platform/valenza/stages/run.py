"""A run folder: what it holds, and how training enters and re-enters it."""

import fcntl
import json
from pathlib import Path
from typing import Any, TextIO

import yaml

from valenza.errors import PeerError, UsageError, WriteError
from valenza.recipe import Recipe
from valenza.stages.trained import RECIPE
from valenza.training import checkpoint
from valenza.training.runtime import environment, lost_peer, start


def train_run(recipe: Recipe, run: Path, *, resume: str, workers: int, precision: str | None = None) -> Path:
    """Train a recipe in a run folder; returns the last checkpoint.

    `resume` is `auto`, `never` or the path of a checkpoint. Raises `UsageError` where `never` would overwrite a run,
    and `PeerError` where another process of the run is gone.
    """
    source = _source(run, resume)
    accelerator = start(precision)
    held = _enter(run, recipe, environment(accelerator), fresh=source is None) if accelerator.is_main_process else None
    accelerator.wait_for_everyone()
    from valenza.stages import adapt, preference, student, teacher, utterance

    stages = {
        "utterance": utterance.train,
        "adapt": adapt.train,
        "teacher": teacher.train,
        "student": student.train,
        "preference": preference.train,
    }
    try:
        last = stages[recipe.stage](recipe, run, accelerator, resume_from=source, workers=workers)
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not lost_peer(error):
            raise
        raise PeerError(
            f"another process is gone; the same command resumes the run ({str(error).splitlines()[0]})"
        ) from None
    else:
        if held is not None:
            _write_recipe(run, recipe)  # what no step depends on may have changed since the run began
    finally:
        if held is not None:
            held.close()
    accelerator.end_training()
    return last


def _source(run: Path, resume: str) -> Path | None:
    folder = run / "checkpoints"
    if resume == "auto":
        return checkpoint.newest(folder)
    if resume == "never":
        if checkpoint.checkpoints(folder):
            raise UsageError(f"{run}: holds a run already; give another --out, or delete it")
        return None
    chosen = Path(resume)
    if why := checkpoint.fault(chosen):
        raise UsageError(f"--resume: {chosen} is not a usable checkpoint: {why}")
    return chosen


def _enter(run: Path, recipe: Recipe, machine: dict[str, Any], *, fresh: bool) -> TextIO:
    """Make the run folder this process's own until it ends, and write what is known before the first step.

    Raises `PeerError` while another process trains there: one that outlived its launcher, say.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        held = (run / ".lock").open("a", encoding="utf-8")
        (run / "environment.json").write_text(json.dumps(machine, indent=1), encoding="utf-8")
        if fresh:
            _write_recipe(run, recipe)
    except OSError as error:
        raise WriteError(f"{run}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise PeerError(f"{run}: another process is training here; end it, or wait until it ends") from None
    return held


def recipe_text(recipe: Recipe) -> str:
    """Return a resolved recipe as YAML; local folders by their whole path, so that it can be used from anywhere."""
    values = recipe.model_dump(mode="json", exclude_none=True)
    values["data"]["shards"] = str(recipe.data.shards.resolve())
    if recipe.encoder.name is not None and Path(recipe.encoder.name).expanduser().is_dir():
        values["encoder"]["name"] = str(Path(recipe.encoder.name).expanduser().resolve())
    if recipe.goes_on_from is not None:
        values[recipe.stage]["from"] = str(recipe.goes_on_from.resolve())
    if recipe.preference is not None:
        values["preference"]["pairs"] = str(recipe.preference.pairs.resolve())
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _write_recipe(run: Path, recipe: Recipe) -> None:
    (run / RECIPE).write_text(recipe_text(recipe), encoding="utf-8")
