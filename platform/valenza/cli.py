"""The `valenza` command: parses, explains mistakes, and calls one function."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from valenza import __version__, errors
from valenza.errors import UsageError, ValenzaError
from valenza.terminal import say, table

app = typer.Typer(
    name="valenza",
    help="Speech emotion recognition on many corpora in many languages.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
corpus_app = typer.Typer(
    no_args_is_help=True, help="Manifests: list, check against the audio, write a first one, demo corpora."
)
shards_app = typer.Typer(no_args_is_help=True, help="Shards: build, verify, describe.")
bench_app = typer.Typer(no_args_is_help=True, help="Measurements on this machine.")
app.add_typer(corpus_app, name="corpus")
app.add_typer(shards_app, name="shards")
app.add_typer(bench_app, name="bench")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, all else on standard error.")]
Manifests = Annotated[Path, typer.Option(help="Folder of manifests.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="VALENZA_DATA", help="Folder that holds each corpus under its id.", show_envvar=True),
]
Shards = Annotated[Path, typer.Option(help="Folder that holds the shards of each corpus under its id.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes.")]
RecipeFile = Annotated[Path, typer.Argument(help="A recipe, such as recipes/real_small.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value]…", help="Settings to change, such as training.steps=100.", show_default=False),
]
Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare windows, for each training process.")]

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_MANIFESTS = Path("datasets_manifests")
_SHARDS = Path("shards")


def main() -> NoReturn:
    """Run the command line and exit with a documented code."""
    try:
        # Without the standalone mode, an `Exit` comes back as the command's value.
        ended = app(standalone_mode=False)
        sys.stdout.flush()
        code = ended if isinstance(ended, int) else errors.DONE
    except ValenzaError as error:
        say(f"error: {error}")
        code = error.code
    except (typer.Abort, KeyboardInterrupt):
        say("stopped")
        code = 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = errors.DONE
    except typer.TyperException as error:
        say(f"error: {error.format_message()}")
        code = errors.USAGE
    except OSError as error:
        say(f"error: {error.filename or 'the disk'}: {error.strerror or error}")
        code = errors.CANNOT_WRITE
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        # A thread of a library, still at work or waiting for a peer that is gone, must not change the exit code.
        os._exit(code)
    sys.exit()


def answer(as_json: bool, value: Any, show: Callable[[], None]) -> None:
    """Print a result for programs or for people."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False, allow_nan=False, default=str))  # noqa: T201
    else:
        show()


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Say which version this is."""
    if show:
        print(f"valenza {__version__}")  # noqa: T201
        raise typer.Exit


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine can do, and what is missing."""
    from valenza.doctor import examine

    findings = examine()
    rows = [(f.topic, f.state, f.detail) for f in findings]
    answer(
        as_json,
        {"findings": [dict(zip(("topic", "state", "detail"), r, strict=True)) for r in rows]},
        lambda: table("", ("", "", ""), rows),
    )
    if any(f.state == "missing" for f in findings):
        raise UsageError("something that valenza needs is missing")


@corpus_app.command("list")
def corpus_list(manifests: Manifests = _MANIFESTS, as_json: Json = False) -> None:
    """The corpora that have a manifest."""
    from valenza.corpora.card import find_cards, read_card

    cards = [read_card(path) for path in find_cards(manifests).values()]
    rows = [(c.id, c.title, ", ".join(c.languages), c.licence, ", ".join(c.classes)) for c in cards]
    columns = ("id", "title", "languages", "licence", "classes")
    answer(as_json, {"corpora": [c.model_dump(mode="json") for c in cards]}, lambda: table("", columns, rows))


@corpus_app.command("check")
def corpus_check(
    corpus: Annotated[str, typer.Argument(help="A corpus id, or a manifest file.")],
    data_root: DataRoot = None,
    root: Annotated[Path | None, typer.Option(help="The corpus folder itself, where it is not DATA_ROOT/<id>.")] = None,
    manifests: Manifests = _MANIFESTS,
    jobs: Jobs = _CORES,
    as_json: Json = False,
) -> None:
    """Hold a corpus against its manifest: counts, names, labels, and every clip's audio."""
    from valenza.corpora.card import locate, read_card
    from valenza.corpora.check import check
    from valenza.corpora.show import show_report

    card = read_card(locate(corpus, manifests))
    report = check(card, _corpus_root(card.id, data_root, root), jobs)
    answer(as_json, report.as_dict(), lambda: show_report(report))
    if report.errors:
        raise typer.Exit(errors.BAD_DATA)


@corpus_app.command("new")
def corpus_new(
    folder: Annotated[Path, typer.Argument(help="The corpus folder.", exists=True, file_okay=False)],
    name: Annotated[str | None, typer.Option("--id", help="Its id; the folder's name where absent.")] = None,
    manifests: Manifests = _MANIFESTS,
) -> None:
    """Look at a folder and write a first manifest, in which the label map is to be filled in."""
    from valenza.corpora.scaffold import identifier, scaffold

    corpus = name or identifier(folder)
    path = manifests / f"{corpus}.yaml"
    if path.exists():
        raise UsageError(f"{path} exists; delete it first, or give another --id")
    text = scaffold(folder, corpus)
    manifests.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    say(f"wrote {path}; fill in its label map, then run `valenza corpus check {corpus} --root {folder}`")


@corpus_app.command("synth")
def corpus_synth(
    folder: Annotated[Path, typer.Argument(help="Where to write the corpora and their manifests.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    as_json: Json = False,
) -> None:
    """Speak the demo corpora with espeak-ng: 16 to train on, 4 in languages that are not trained on."""
    from dataclasses import asdict

    from valenza.corpora.synth.demo import speak

    summary = speak(folder, seed=seed)
    told = f"{summary.clips} clips, {summary.hours:.2f} h, {summary.corpora} corpora in {folder}"
    answer(as_json, asdict(summary), lambda: say(told))


@shards_app.command("build")
def shards_build(
    corpora: Annotated[
        list[str] | None, typer.Argument(help="Corpus ids or manifest files.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every corpus that has a manifest.")] = False,
    data_root: DataRoot = None,
    root: Annotated[Path | None, typer.Option(help="The corpus folder itself; for one corpus.")] = None,
    manifests: Manifests = _MANIFESTS,
    shards: Shards = _SHARDS,
    jobs: Jobs = _CORES,
    skip_bad: Annotated[bool, typer.Option(help="Leave out unreadable clips, and list them in shards.json.")] = False,
    as_json: Json = False,
) -> None:
    """Store corpora as WebDataset shards beside a checked index."""
    from valenza.corpora.card import find_cards, locate, read_card
    from valenza.corpora.parse import clips
    from valenza.errors import DataError
    from valenza.shards.info import show_build
    from valenza.shards.write import build

    names = list(find_cards(manifests)) if every else corpora or []
    if not names:
        raise UsageError("which corpora? give their ids, or --all")
    if root is not None and len(names) > 1:
        raise UsageError("--root is the folder of one corpus; several are found under --data-root")
    built = []
    for corpus in names:
        path = locate(corpus, manifests)
        card = read_card(path)
        parsed = clips(card, _corpus_root(card.id, data_root, root))
        if parsed.problems and not skip_bad:
            raise DataError(
                f"{card.id}: {len(parsed.problems)} problems; `valenza corpus check {corpus}` lists them, "
                "--skip-bad leaves them out\n" + "\n".join(map(str, parsed.problems[:10]))
            )
        report = build(card, path, parsed.clips, shards, jobs, skip_bad=skip_bad)
        show_build(report)
        built.append({"corpus": card.id, "clips": report.description.clips, "built": report.built, "kept": report.kept})
    answer(as_json, {"corpora": built}, lambda: None)


@shards_app.command("verify")
def shards_verify(
    corpora: Annotated[list[str] | None, typer.Argument(help="Corpus ids; all where absent.")] = None,
    shards: Shards = _SHARDS,
    jobs: Jobs = _CORES,
    as_json: Json = False,
) -> None:
    """Read every byte of the shards and compare it with what was written."""
    from valenza.shards.index import built
    from valenza.shards.verify import verify

    names = corpora or built(shards)
    if not names:
        raise UsageError(f"{shards}: no shards here; `valenza shards build` makes them")
    found = {name: [str(f) for f in verify(shards / name, jobs)] for name in names}

    def show() -> None:
        for name, findings in found.items():
            say(f"{name}: " + ("every byte is as written" if not findings else f"{len(findings)} findings"))
            for finding in findings:
                print(finding)  # noqa: T201

    answer(as_json, found, show)
    if any(found.values()):
        raise typer.Exit(errors.SHARD_IO)


@shards_app.command("info")
def shards_info(shards: Shards = _SHARDS, as_json: Json = False) -> None:
    """What is stored: clips, hours, bytes, speakers, languages, splits."""
    from valenza.shards.info import describe, show_info

    info = describe(shards)
    answer(as_json, {"corpora": info}, lambda: show_info(info))


@app.command()
def check(recipe: RecipeFile, overrides: Overrides = None, as_json: Json = False) -> None:
    """The resolved recipe and what it comes to; needs no GPU and no audio."""
    import yaml

    resolved = _recipe(recipe, overrides)
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
    resolved = _recipe(recipe, overrides)
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


@bench_app.command("plan")
def bench_plan(
    clips: Annotated[int, typer.Option(min=1, help="How many random durations.")] = 1_000_000,
    window_seconds: Annotated[float, typer.Option(min=0.1)] = 30.0,
    fill: Annotated[float, typer.Option(min=0.01, max=1.0)] = 0.8,
    seed: int = 7,
    as_json: Json = False,
) -> None:
    """Plan an epoch over random durations: seconds, memory, and how full its windows are."""
    from valenza.mixture.bench import measure_plan

    measured = measure_plan(clips, window_seconds=window_seconds, fill=fill, seed=seed)
    answer(as_json, measured, lambda: table("", ("", ""), list(measured.items())))


def _recipe(path: Path, overrides: list[str] | None) -> Any:
    from valenza.config import load
    from valenza.mixture.admission import problems
    from valenza.recipe import Recipe

    return load(Recipe, path, overrides or (), also=problems)


def _corpus_root(corpus: str, data_root: Path | None, root: Path | None) -> Path:
    if root is None and data_root is None:
        raise UsageError(
            "where is the audio? give --data-root (or set VALENZA_DATA) for <data root>/<id>, "
            "or --root for the corpus itself"
        )
    folder = root if root is not None else Path(str(data_root)) / corpus
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder for {corpus}")
    return folder
