"""Training as a command or a study asks for it: watched over from the first moment on."""

from pathlib import Path

import yaml

from valenza.recipe import Recipe
from valenza.training.watch import Watch


def train_run(
    recipe: Recipe, run: Path, *, resume: str, workers: int, precision: str | None = None, engine: Path | None = None
) -> Path:
    """Train a recipe in a run folder; returns the last checkpoint.

    `resume` is `auto`, `never` or the path of a checkpoint; `engine` a configuration of `accelerate launch`. Raises
    `UsageError` where `never` would overwrite a run, `PreemptedError` when asked to end, and `PeerError` where another
    process of the run is gone. `exit.json` in the run folder tells how it ended.
    """
    with Watch(run).over() as watch:
        # Imported under the watch: it takes seconds, in which a request to end may come.
        from valenza.stages.session import train

        return train(recipe, run, watch, resume=resume, workers=workers, precision=precision, engine=engine)


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
