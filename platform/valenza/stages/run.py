"""A run folder: what it holds, and how training enters and re-enters it."""

import json
from pathlib import Path

import yaml

from valenza.config import load
from valenza.errors import PeerError, UsageError, WriteError
from valenza.recipe import Recipe
from valenza.training import checkpoint
from valenza.training.runtime import environment, lost_peer, start

RECIPE = "recipe.yaml"


def train_run(recipe: Recipe, run: Path, *, resume: str, workers: int, precision: str | None = None) -> Path:
    """Train a recipe in a run folder; returns the last checkpoint.

    `resume` is `auto`, `never` or the path of a checkpoint. Raises `UsageError` where `never` would overwrite a run,
    and `PeerError` where another process of the run is gone.
    """
    source = _source(run, resume)
    accelerator = start(precision)
    if accelerator.is_main_process:
        _open(run, recipe)
        (run / "environment.json").write_text(json.dumps(environment(accelerator), indent=1), encoding="utf-8")
    accelerator.wait_for_everyone()
    from valenza.stages import utterance

    try:
        last = utterance.train(recipe, run, accelerator, resume_from=source, workers=workers)
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not lost_peer(error):
            raise
        raise PeerError(
            f"another process is gone; the same command resumes the run ({str(error).splitlines()[0]})"
        ) from None
    accelerator.end_training()
    return last


def read_recipe(run: Path) -> Recipe:
    """Return the recipe that a run was trained with."""
    if not (run / RECIPE).is_file():
        raise UsageError(f"{run}: not a run folder: it has no {RECIPE}")
    return load(Recipe, run / RECIPE)


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


def _open(run: Path, recipe: Recipe) -> None:
    text = yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)
    try:
        run.mkdir(parents=True, exist_ok=True)
        (run / RECIPE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise WriteError(f"{run}: cannot be written: {error.strerror}") from None
