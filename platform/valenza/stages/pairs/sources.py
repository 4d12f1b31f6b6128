"""Run folders as what candidates are made with."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int16
from scipy.special import softmax

from valenza.errors import UsageError
from valenza.labels.native import outputs
from valenza.labels.taxonomy import EMOTIONS
from valenza.recipe import Recipe
from valenza.stages.frozen import Listener
from valenza.stages.once import logits
from valenza.stages.pairs.candidates import Slides, Student
from valenza.stages.prepare import read_prior
from valenza.stages.trained import FRAMEWISE, load_network, load_student, newest_checkpoint, read_recipe

_SLID = ("utterance", "adapt")


def slides_of(run: Path) -> Slides:
    """Return the newest network of a run that was trained on whole clips; raises `UsageError` for another run."""
    recipe = _emotions(run)
    if recipe.stage not in _SLID:
        raise UsageError(f"{run}: its stage is {recipe.stage}; what is slid is a network of stage utterance")
    network = load_network(recipe, newest_checkpoint(run))
    return Slides(Listener(network.encoder, recipe.augment), network, run.resolve().name, read_prior(run) > 0)


def student_of(named: str) -> Student:
    """Return the frame-level network of `RUN`, or of `RUN@CHECKPOINT`; raises `UsageError` where there is none.

    A class that its training has never seen has no concentration and no share.
    """
    path, at, name = named.rpartition("@")
    run, checkpoint = (Path(named), None) if not at or Path(named).is_dir() else (Path(path), name)
    recipe = _emotions(run)
    source = newest_checkpoint(run, checkpoint)
    network = (load_student if recipe.stage in FRAMEWISE else load_network)(recipe, source)
    dirichlet, seen = recipe.heads.emotion == "dirichlet", read_prior(run) > 0

    def alpha(audio: Int16[np.ndarray, " samples"]) -> Float32[np.ndarray, "frames classes"]:
        said = np.where(seen, logits(network, audio), -np.inf)
        return np.asarray(np.exp(said) if dirichlet else softmax(said, axis=1))

    return Student(run.resolve().name, source.name, alpha, dirichlet)


def _emotions(run: Path) -> Recipe:
    recipe = read_recipe(run)
    if (classes := outputs(recipe)) != EMOTIONS:
        raise UsageError(f"{run}: rates {', '.join(classes)} and tells no emotions")
    return recipe
