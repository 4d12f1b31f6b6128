"""What the commands share: their options, and how they answer."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from valenza.errors import UsageError

if TYPE_CHECKING:
    from valenza.recipe import Recipe

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, all else on standard error.")]
Manifests = Annotated[Path, typer.Option(help="Folder of manifests.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="VALENZA_DATA", help="Folder that holds each corpus under its id.", show_envvar=True),
]
Shards = Annotated[Path, typer.Option(help="Folder that holds the shards of each corpus under its id.")]
ReadShards = Annotated[
    str,
    typer.Option(
        metavar="FOLDER",
        help="Folder that holds the shards of each corpus under its id, or its s3://, gs:// or https:// address.",
    ),
]
Jobs = Annotated[int, typer.Option(min=1, help="Processes.")]
RecipeFile = Annotated[Path, typer.Argument(help="A recipe, such as recipes/real_small.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value]…", help="Settings to change, such as training.steps=100.", show_default=False),
]
Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare windows, for each training process.")]

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MANIFESTS = Path("datasets_manifests")
SHARDS = Path("shards")


def answer(as_json: bool, value: Any, show: Callable[[], None]) -> None:
    """Print a result for programs or for people."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))  # noqa: T201
    else:
        show()


def read_recipe(path: Path, overrides: list[str] | None) -> "Recipe":
    """Return the checked recipe of a command line; every mistake is told at once."""
    from valenza.config import load
    from valenza.mixture.admission import problems
    from valenza.recipe import Recipe

    return load(Recipe, path, overrides or (), also=problems)


def split_commas(text: str | None) -> list[str]:
    """Return the names in a list with commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def corpus_root(corpus: str, data_root: Path | None, root: Path | None) -> Path:
    """Return the folder of a corpus's audio; raises `UsageError` where none is said or there."""
    if root is None and data_root is None:
        raise UsageError(
            "where is the audio? give --data-root (or set VALENZA_DATA) for <data root>/<id>, "
            "or --root for the corpus itself"
        )
    folder = root if root is not None else Path(str(data_root)) / corpus
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder for {corpus}")
    return folder
