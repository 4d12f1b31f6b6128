"""What a recipe comes to, before anything is heard or trained."""

from pathlib import Path

import numpy as np

from valenza.labels.native import outputs
from valenza.recipe import Recipe
from valenza.shards.stored import read_index
from valenza.stages.pairs.folder import PREFERENCES, read_pairs
from valenza.stages.pairs.preferences import read_preferences
from valenza.stages.prepare import clip_weights, prepare, training_stream
from valenza.training.growth import windows_in_all


def summary(recipe: Recipe) -> dict[str, object]:
    """Return how much a recipe hears and how often: of clips and windows, of recordings, or of preferences."""
    if recipe.stage == "teacher":
        return _heard(recipe)
    if recipe.preference is not None:
        return _compared(recipe, recipe.preference.pairs)
    if recipe.stage == "student":
        return _framewise(recipe)
    return _windows(recipe)


def _windows(recipe: Recipe) -> dict[str, object]:
    prepared = prepare(recipe)
    windows = training_stream(recipe, prepared).epoch(0)
    seconds = prepared.durations
    filled = [float(seconds[list(w)].sum()) / recipe.data.window_seconds for w in windows]
    weights = clip_weights(recipe, prepared)
    mixture = weights @ prepared.targets
    return {
        "clips": {part: len(rows) for part, rows in prepared.parts.items()},
        "hours_per_epoch": float(weights @ seconds) / 3600,
        "windows_per_epoch": len(windows),
        "mean_fill": float(np.mean(filled)),
        "steps_per_epoch": len(windows) * recipe.training.steps / windows_in_all(recipe.training),
        "epochs": windows_in_all(recipe.training) / len(windows),
        "label_mixture": dict(zip(outputs(recipe), (mixture / mixture.sum()).round(4).tolist(), strict=True)),
    }


def _heard(recipe: Recipe) -> dict[str, object]:
    index = read_index(recipe.data.shards, sorted(recipe.data.train))
    return {"recordings": index.num_rows, "hours": float(np.sum(index["duration"].to_numpy())) / 3600}


def _framewise(recipe: Recipe) -> dict[str, object]:
    prepared = prepare(recipe)
    each = float(clip_weights(recipe, prepared).sum())
    return {
        "recordings": {part: len(rows) for part, rows in prepared.parts.items()},
        "hours_per_epoch": float(clip_weights(recipe, prepared) @ prepared.durations) / 3600,
        "epochs": windows_in_all(recipe.training) / each,
    }


def _compared(recipe: Recipe, folder: Path) -> dict[str, object]:
    study = read_pairs(folder)
    file = folder / PREFERENCES
    count = len(read_preferences(file)) if file.is_file() else 0
    epochs = windows_in_all(recipe.training) / count if count else None
    return {"tracks": len(study.tracks), "pairs": len(study.pairs), "preferences": count, "epochs": epochs}
