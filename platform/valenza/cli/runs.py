"""From a recipe to a run, its scores and its predictions."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from valenza.cli.options import (
    Json,
    Overrides,
    RecipeFile,
    Workers,
    answer,
    read_recipe,
)
from valenza.errors import UsageError
from valenza.terminal import say

app = typer.Typer()


@app.command()
def check(recipe: RecipeFile, overrides: Overrides = None, as_json: Json = False) -> None:
    """The resolved recipe and what it comes to; needs no GPU and no audio."""
    import yaml

    resolved = read_recipe(recipe, overrides)
    value: dict[str, Any] = {"recipe": resolved.model_dump(mode="json")}
    if resolved.data.shards.is_dir():
        from valenza.stages.prepare import prepare, summary

        value["derived"] = summary(resolved, prepare(resolved))
    else:
        say(f"{resolved.data.shards}: no shards yet, so clips, windows and epochs are not known")
    answer(as_json, value, lambda: print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end=""))  # noqa: T201


@app.command()
def train(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/<recipe> where absent.")] = None,
    resume: Annotated[
        str, typer.Option(help="auto: go on from the newest checkpoint; never: start over; or a checkpoint.")
    ] = "auto",
    workers: Workers = 0,
    precision: Annotated[
        str | None, typer.Option(help="no, bf16 or fp16; what the launcher says where absent.")
    ] = None,
) -> None:
    """Train the model of a recipe, alone or under torchrun or Accelerate; a run that was killed goes on."""
    if precision not in {None, "no", "bf16", "fp16"}:
        raise UsageError(f"--precision: {precision!r} is not one of no, bf16, fp16")
    resolved = read_recipe(recipe, overrides)
    from valenza.stages.run import train_run

    train_run(resolved, out or Path("runs") / recipe.stem, resume=resume, workers=workers, precision=precision)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", exists=True, file_okay=False)],
    corpora: Annotated[
        str | None, typer.Option(help="Corpora to score, with commas; the recipe's zero_shot where absent.")
    ] = None,
    shards: Annotated[Path | None, typer.Option(help="Where the shards are, if not where the recipe says.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write the results, and report/ beside them; RUN/results.json where absent."),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Which checkpoint, such as step-00001000; the newest where absent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score corpora zero-shot beside the baselines, and write results.json and report/index.html."""
    from valenza.evaluation.results import show_results
    from valenza.evaluation.session import evaluate_run

    names = None if corpora is None else [name.strip() for name in corpora.split(",") if name.strip()]
    results = evaluate_run(run, corpora=names, shards=shards, out=out, checkpoint_name=checkpoint)
    answer(as_json, results, lambda: show_results(results))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A run folder.", exists=True, file_okay=False)],
    audio: Annotated[list[Path], typer.Argument(help="Audio files of any length and container that libsndfile reads.")],
    form: Annotated[str, typer.Option("--format", help="csv or json.")] = "csv",
) -> None:
    """The emotions of audio files: one row a file, with the share of each emotion."""
    from valenza.evaluation.predict import predict_files, render

    if form not in {"csv", "json"}:
        raise UsageError(f"--format: {form!r} is not one of csv, json")
    sys.stdout.write(render(predict_files(model, audio), form))


@app.command()
def tabulate(
    results: Annotated[list[Path], typer.Argument(help="results.json files.")],
    into: Annotated[
        Path | None, typer.Option(help="A Markdown file whose lines between `<!-- results -->` marks are replaced.")
    ] = None,
) -> None:
    """A Markdown table of results, so that none is ever typed by hand."""
    from valenza.evaluation.results import markdown_table, replace_table

    text = markdown_table(results)
    if into is None:
        print(text)  # noqa: T201
    else:
        replace_table(into, text)
