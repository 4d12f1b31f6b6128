"""A run as training left it: its recipe and its network."""

from pathlib import Path

import torch

from valenza.config import load
from valenza.errors import UsageError
from valenza.model.network import Network, build_network
from valenza.model.student import Student, build_student
from valenza.recipe import Recipe
from valenza.training import checkpoint

RECIPE = "recipe.yaml"
FRAMEWISE = ("student", "preference")
"""Stages whose networks say something of every frame."""


def read_recipe(run: Path) -> Recipe:
    """Return the recipe that a run was trained with."""
    if not (run / RECIPE).is_file():
        raise UsageError(f"{run}: not a run folder: it has no {RECIPE}")
    return load(Recipe, run / RECIPE)


def newest_checkpoint(run: Path, name: str | None = None) -> Path:
    """Return the named checkpoint of a run, or the newest that verifies."""
    folder = run / "checkpoints"
    chosen = checkpoint.newest(folder) if name is None else folder / name
    if chosen is None:
        raise UsageError(f"{run}: has no checkpoint yet")
    return chosen


def load_network(recipe: Recipe, source: Path) -> Network:
    """Return the trained network of a checkpoint, ready to predict."""
    network = build_network(recipe)
    network.load_state_dict(checkpoint.load_weights(source))
    return network.eval().to(device())


def load_student(recipe: Recipe, source: Path) -> Student:
    """Return the frame-level network of a checkpoint, ready to predict."""
    student = build_student(recipe)
    student.load_state_dict(checkpoint.load_weights(source))
    return student.eval().to(device())


def device() -> torch.device:
    """Return where networks are used: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
