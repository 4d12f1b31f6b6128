"""A run folder: what it holds, and how the processes of a run enter and leave it."""

import fcntl
import json
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from accelerate import Accelerator

from valenza.errors import DONE, UNEXPECTED, PeerError, PreemptedError, UsageError, ValenzaError, WriteError
from valenza.recipe import Recipe
from valenza.stages import adapt, preference, student, teacher, utterance
from valenza.stages.run import recipe_text
from valenza.stages.trained import RECIPE
from valenza.training import checkpoint
from valenza.training.engines.choice import choose
from valenza.training.peers import first_of, lost_peer
from valenza.training.report import EXIT, leave
from valenza.training.runtime import Machine, environment, start
from valenza.training.watch import HEARTBEATS, STACKS, Watch

STAGES = {
    "utterance": utterance.train,
    "adapt": adapt.train,
    "teacher": teacher.train,
    "student": student.train,
    "preference": preference.train,
}


def train(
    recipe: Recipe,
    run: Path,
    watch: Watch,
    *,
    resume: str,
    workers: int,
    precision: str | None,
    engine: Path | None,
) -> Path:
    """Do what `train_run` says, under a watch."""
    choice = choose(engine)
    source = _source(run, resume)
    accelerator = start(precision or choice.precision, watch)
    held: TextIO | None = None
    try:
        with _told(run, watch, accelerator):
            held = _enter_together(run, recipe, environment(accelerator, choice), accelerator, fresh=source is None)
            watch.enter()
            machine = Machine(accelerator, choice, watch, workers)
            last = STAGES[recipe.stage](recipe, run, machine, resume_from=source)
        if held is not None:
            _write_recipe(run, recipe)  # what no step depends on may have changed since the run began
            leave(run, DONE, "done")
    finally:
        if held is not None:
            held.close()
    accelerator.end_training()
    return last


@contextmanager
def _told(run: Path, watch: Watch, accelerator: Accelerator) -> Iterator[None]:
    """Leave how a run failed in its folder, once entered; a peer that is gone is no failure of this process."""
    try:
        try:
            yield
        except RuntimeError as error:
            if accelerator.num_processes == 1 or not lost_peer(error):
                raise
            raise _explained(error, watch) from None
    except ValenzaError as error:
        if watch.entered:
            leave(run, error.code, str(error))
        raise
    except Exception as error:
        if watch.entered:
            leave(run, UNEXPECTED, f"{type(error).__name__}: {error}")
        raise


def _explained(error: RuntimeError, watch: Watch) -> ValenzaError:
    """Return what to raise where an exchange with another process failed."""
    reason = str(error).splitlines()[0]
    if watch.entered:
        watch.write_stacks("another process is gone: " + "".join(traceback.format_exception(error)))
    if watch.asked:
        return PreemptedError(f"asked to end, as was another process, which is gone already ({reason})")
    return PeerError(f"another process is gone; the same command resumes the run ({reason})")


def _enter_together(
    run: Path, recipe: Recipe, machine: dict[str, Any], accelerator: Accelerator, *, fresh: bool
) -> TextIO | None:
    """Let the first process enter the run folder; where it cannot, all processes raise what it met."""
    held, failure = None, None
    if accelerator.is_main_process:
        try:
            held = _enter(run, recipe, machine, fresh=fresh)
        except (PeerError, WriteError) as error:
            failure = (error.code, str(error))
    told = first_of(accelerator, failure)
    if told is not None:
        raise (WriteError if told[0] == WriteError.code else PeerError)(told[1])
    return held


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
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PeerError(f"{run}: another process is training here; end it, or wait until it ends") from None
        (run / EXIT).unlink(missing_ok=True)
        for folder in (HEARTBEATS, STACKS):  # what an earlier start left would be taken for this one's
            shutil.rmtree(run / folder, ignore_errors=True)
        (run / "environment.json").write_text(json.dumps(machine, indent=1), encoding="utf-8")
        if fresh:
            _write_recipe(run, recipe)
    except OSError as error:
        raise WriteError(f"{run}: cannot be written: {error.strerror}") from None
    return held


def _write_recipe(run: Path, recipe: Recipe) -> None:
    (run / RECIPE).write_text(recipe_text(recipe), encoding="utf-8")
