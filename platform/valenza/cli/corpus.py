"""`valenza corpus`: manifests, and the audio behind them."""

from pathlib import Path
from typing import Annotated

import typer

from valenza import errors
from valenza.cli.options import CORES, MANIFESTS, DataRoot, Jobs, Json, Manifests, answer, corpus_root
from valenza.errors import UsageError
from valenza.terminal import say, table

app = typer.Typer(
    no_args_is_help=True, help="Manifests: list, check against the audio, write a first one, demo corpora."
)


@app.command("list")
def corpus_list(manifests: Manifests = MANIFESTS, as_json: Json = False) -> None:
    """The corpora that have a manifest."""
    from valenza.corpora.card import find_cards, read_card

    cards = [read_card(path) for path in find_cards(manifests).values()]
    rows = [(c.id, c.title, ", ".join(c.languages), c.licence, ", ".join(c.classes)) for c in cards]
    columns = ("id", "title", "languages", "licence", "classes")
    answer(as_json, {"corpora": [c.model_dump(mode="json") for c in cards]}, lambda: table("", columns, rows))


@app.command("check")
def corpus_check(
    corpus: Annotated[str, typer.Argument(help="A corpus id, or a manifest file.")],
    data_root: DataRoot = None,
    root: Annotated[Path | None, typer.Option(help="The corpus folder itself, where it is not DATA_ROOT/<id>.")] = None,
    manifests: Manifests = MANIFESTS,
    jobs: Jobs = CORES,
    as_json: Json = False,
) -> None:
    """Hold a corpus against its manifest: counts, names, labels, and every clip's audio."""
    from valenza.corpora.card import locate, read_card
    from valenza.corpora.check import check
    from valenza.corpora.show import show_report

    card = read_card(locate(corpus, manifests))
    report = check(card, corpus_root(card.id, data_root, root), jobs)
    answer(as_json, report.as_dict(), lambda: show_report(report))
    if report.errors:
        raise typer.Exit(errors.BAD_DATA)


@app.command("new")
def corpus_new(
    folder: Annotated[Path, typer.Argument(help="The corpus folder.", exists=True, file_okay=False)],
    name: Annotated[str | None, typer.Option("--id", help="Its id; the folder's name where absent.")] = None,
    manifests: Manifests = MANIFESTS,
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


@app.command("synth")
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
