"""Many runs at once: rotations, ablations, and the study of emotion over time."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from valenza.cli.options import Json, Overrides, RecipeFile, answer, split_commas
from valenza.errors import UsageError
from valenza.terminal import say

app = typer.Typer()


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
    from valenza.config import load
    from valenza.recipe import Dynamic

    load(Dynamic, recipe, overrides or ())  # a mistake is told before torch is imported
    from valenza.evaluation.study.run import begin, run_stages
    from valenza.evaluation.study.tables import tables, text, write_tables

    folder = out or Path("runs") / recipe.stem
    plan = begin(recipe, overrides or [], folder)
    found = tables(plan, run_stages(plan, jobs))
    page = into or folder / "dynamic.md"
    write_tables(plan, found, page)
    say(f"wrote {page}, {page.with_suffix('.json')} and {folder / 'report' / 'index.html'}")
    answer(as_json, found, lambda: print(text(found), end=""))  # noqa: T201
