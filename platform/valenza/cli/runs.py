"""From a recipe to a run, its scores and its predictions."""

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
    split_commas,
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
        from valenza.stages.summary import summary

        value["derived"] = summary(resolved)
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
    engine: Annotated[
        Path | None,
        typer.Option(
            help="Who holds the weights: one of launch/accelerate/*.yaml; what the launcher says where absent."
        ),
    ] = None,
) -> None:
    """Train the model of a recipe, alone or under torchrun or Accelerate; a run that was killed goes on."""
    if precision not in {None, "no", "bf16", "fp16"}:
        raise UsageError(f"--precision: {precision!r} is not one of no, bf16, fp16")
    resolved = read_recipe(recipe, overrides)
    from valenza.stages.run import train_run

    run = out or Path("runs") / recipe.stem
    train_run(resolved, run, resume=resume, workers=workers, precision=precision, engine=engine)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.", exists=True, file_okay=False)],
    corpora: Annotated[
        str | None, typer.Option(help="Corpora to score, with commas; the recipe's zero_shot where absent.")
    ] = None,
    shards: Annotated[str | None, typer.Option(help="Where the shards are, if not where the recipe says.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write the results, and report/ beside them; RUN/results.json where absent."),
    ] = None,
    baselines: Annotated[
        str | None, typer.Option(help="More baselines, with commas: best_layer_probe, egemaps_svm.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Which checkpoint, such as step-00001000; the newest where absent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score corpora zero-shot beside the baselines, and write results.json and report/index.html."""
    from valenza.evaluation.results import show_results
    from valenza.evaluation.session import evaluate_run
    from valenza.place import place

    names = None if corpora is None else split_commas(corpora)
    results = evaluate_run(
        run,
        corpora=names,
        shards=None if shards is None else place(shards),
        out=out,
        checkpoint_name=checkpoint,
        baselines=split_commas(baselines),
    )
    answer(as_json, results, lambda: show_results(results))


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN [RUN]…",
            help="Evaluated run folders or results.json files. Seeds of one model with commas: a-7,a-8 b-7,b-8.",
            show_default=False,
        ),
    ],
    corpora: Annotated[str | None, typer.Option(help="Corpora to compare on, with commas; all where absent.")] = None,
    draws: Annotated[int, typer.Option(min=100, help="How often speakers are drawn again.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Whether a model is better than the first on the same clips: paired bootstrap over speakers, McNemar, classes."""
    if len(runs) < 2:
        raise UsageError("give at least two runs to compare")
    from valenza.evaluation.comparison.compare import compare_runs
    from valenza.evaluation.comparison.show import show_comparison

    comparison = compare_runs(runs, corpora=split_commas(corpora), seed=seed, draws=draws)
    answer(as_json, comparison, lambda: show_comparison(comparison))


@app.command()
def augment(
    clip: Annotated[Path, typer.Argument(help="A recording of one's own; its first 30 s are used.")],
    recipe: Annotated[
        Path | None,
        typer.Option(help="The recipe whose changes are made; every change as it is by default, where absent."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("augment.html"),
    seed: Annotated[int, typer.Option(help="Another seed draws other changes.")] = 7,
    as_json: Json = False,
) -> None:
    """A page that plays and draws every augmentation on a clip; prints what was drawn and what each costs."""
    from valenza.config import load
    from valenza.recipe import Augment, Recipe
    from valenza.terminal import table

    chosen = Augment.everything() if recipe is None else load(Recipe, recipe).augment
    if not chosen.changes:
        raise UsageError(f"{recipe}: its `augment` changes nothing")
    from valenza.evaluation.page.changes import write_changes

    rows = [
        (each.name, each.settings, each.drawn, f"{each.milliseconds:.2f}")
        for each in write_changes(clip, chosen, seed, out)
        if each.milliseconds is not None
    ]
    say(f"wrote {out}")
    columns = ("change", "settings", "drawn", "milliseconds")
    value = {"page": str(out), "changes": [dict(zip(columns, row, strict=True)) for row in rows]}
    answer(as_json, value, lambda: table("", columns, rows))


@app.command()
def tabulate(
    results: Annotated[list[Path], typer.Argument(help="results.json files, or the one dynamic.json of a study.")],
    into: Annotated[
        Path | None,
        typer.Option(help="A Markdown file whose lines between `<!-- results -->` (or `dynamic`) marks are replaced."),
    ] = None,
) -> None:
    """A Markdown table of results, so that none is ever typed by hand."""
    from valenza.evaluation.results import markdown_table, replace_table
    from valenza.evaluation.study.short import read_study, short

    study = read_study(results[0]) if len(results) == 1 else None
    text = markdown_table(results) if study is None else short(study)
    if into is None:
        print(text)  # noqa: T201
    else:
        replace_table(into, text, "results" if study is None else "dynamic")
