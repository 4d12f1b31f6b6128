"""From a recipe to a run, its scores and its predictions."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

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

    names = None if corpora is None else split_commas(corpora)
    results = evaluate_run(
        run,
        corpora=names,
        shards=shards,
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
def rotate(
    recipe: RecipeFile,
    overrides: Overrides = None,
    hold_out: Annotated[str, typer.Option(help="What is held out in turn: language or corpus.")] = "language",
    seeds: Annotated[str | None, typer.Option(help="Seeds, with commas; the recipe's where absent.")] = None,
    only: Annotated[str | None, typer.Option(help="The languages or corpora to hold out; all where absent.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs; runs/<recipe>-rotation where absent.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs that train side by side.")] = 1,
    plan: Annotated[bool, typer.Option("--plan", help="Write the recipes of all runs, and train none.")] = False,
    as_json: Json = False,
) -> None:
    """Train and score a recipe once for every language or corpus held out; what is finished is not done again."""
    if hold_out not in {"language", "corpus"}:
        raise UsageError(f"--hold-out: {hold_out!r} is not one of language, corpus")
    numbers = split_commas(seeds)
    if wrong := [number for number in numbers if not number.isdecimal()]:
        raise UsageError(f"--seeds: {', '.join(wrong)} is not a whole number")
    from valenza.evaluation.rotation import rotate as rotation

    folder = out or Path("runs") / f"{recipe.stem}-rotation"
    by: Literal["language", "corpus"] = "language" if hold_out == "language" else "corpus"
    chosen: dict[str, Any] = {"seeds": [int(number) for number in numbers], "out": folder}
    chosen |= {"overrides": overrides or [], "only": split_commas(only)}
    if plan:
        files = [str(task.file) for task in rotation.plan(recipe, by, **chosen)]
        answer(as_json, {"recipes": files}, lambda: print("\n".join(files)))  # noqa: T201
        return
    from valenza.evaluation.rotation.summary import markdown

    found = rotation.rotate(recipe, by, **chosen, jobs=jobs)
    say(f"wrote {folder / 'rotation.json'} and {folder / 'rotation.md'}")
    answer(as_json, found, lambda: print(markdown(found), end=""))  # noqa: T201


@app.command()
def ablate(
    table: Annotated[Path, typer.Argument(help="A table of variants, such as recipes/ablations/real_small.yaml.")],
    overrides: Overrides = None,
    row: Annotated[list[str] | None, typer.Option(help="A row to do; say it again for more. All where absent.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the runs; runs/<table>-ablation where absent.")] = None,
    into: Annotated[
        Path | None, typer.Option(help="The Markdown file to write, with JSON beside it; OUT/ablation.md where absent.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs that train side by side.")] = 1,
    as_json: Json = False,
) -> None:
    """What each part of a method is worth: a rotation for every row of a table, in one table with intervals."""
    from valenza.evaluation.rotation.ablation import ablate as run
    from valenza.evaluation.rotation.ablation import markdown, write_ablation

    folder = out or Path("runs") / f"{table.stem}-ablation"
    found = run(table, out=folder, only=row or [], overrides=overrides or [], jobs=jobs)
    page = into or folder / "ablation.md"
    write_ablation(found, page)
    say(f"wrote {page} and {page.with_suffix('.json')}")
    answer(as_json, found, lambda: print(markdown(found), end=""))  # noqa: T201


@app.command()
def dynamic(
    recipe: Annotated[Path, typer.Argument(help="A study, such as recipes/dynamic.yaml.", show_default=False)],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of tracks and runs; runs/<study> where absent.")] = None,
    into: Annotated[
        Path | None, typer.Option(help="The Markdown file to write, with JSON beside it; OUT/dynamic.md where absent.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Seeds that train side by side, after the first.")] = 1,
    as_json: Json = False,
) -> None:
    """Emotion over time, whole: clips, teacher, student, preferences; sliding window against one pass, in one table."""
    from valenza.evaluation.study.run import begin, run_stages
    from valenza.evaluation.study.tables import tables, text, write_tables

    folder = out or Path("runs") / recipe.stem
    plan = begin(recipe, overrides or [], folder)
    found = tables(plan, run_stages(plan, jobs))
    page = into or folder / "dynamic.md"
    write_tables(plan, found, page)
    say(f"wrote {page}, {page.with_suffix('.json')} and {folder / 'report' / 'index.html'}")
    answer(as_json, found, lambda: print(text(found), end=""))  # noqa: T201


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
