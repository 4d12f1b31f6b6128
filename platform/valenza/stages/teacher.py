"""Stage `teacher`: a model of whole clips is slid over recordings, and what it says becomes their frame labels."""

from pathlib import Path

from valenza.errors import UsageError
from valenza.labels.native import outputs
from valenza.labels.taxonomy import EMOTIONS
from valenza.recipe import Recipe
from valenza.recipe.source import heard
from valenza.stages.heard import write_heard
from valenza.stages.prepare import read_prior
from valenza.stages.sliding import Sliding, slide
from valenza.stages.trained import load_network, newest_checkpoint, read_recipe
from valenza.terminal import say
from valenza.training.runtime import Machine


def train(recipe: Recipe, run: Path, machine: Machine, *, resume_from: Path | None) -> Path:
    """Write the shards that a student learns from into `run/shards`, and return that folder.

    Nothing is trained. What is there already of the same model, window and step is not done again. Raises `UsageError`
    where the run tells no emotions.
    """
    if recipe.teacher is None:
        raise UsageError("teacher: a recipe of this stage says what it starts from")
    source, settings = recipe.teacher.source, recipe.teacher
    earlier = read_recipe(source)
    if outputs(earlier) != EMOTIONS:
        raise UsageError(f"teacher.from: {source} rates {', '.join(outputs(earlier))} and tells no emotions")
    last = newest_checkpoint(source)
    shards = run / "shards"
    if (
        machine.accelerator.is_main_process
    ):  # the windows of a recording are batched; more than one process is not needed
        network = load_network(earlier, last)
        slider = slide(network, Sliding(settings.window, settings.step))
        classes = [emotion for emotion, mass in zip(EMOTIONS, read_prior(source), strict=True) if mass > 0]
        for corpus in recipe.data.train:
            name = heard(corpus)
            write_heard(
                slider,
                network,
                recipe.data.shards,
                corpus,
                None,
                shards,
                name=name,
                temperature=settings.temperature,
                classes=classes,
                made={"run": source.resolve().name, "checkpoint": last.name, "heads": earlier.heads.model_dump()},
            )
            say(f"wrote {shards / name}")
    machine.accelerator.wait_for_everyone()
    return shards
