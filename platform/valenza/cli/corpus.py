"""`valenza corpus`: manifests, and the audio behind them."""

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from valenza import errors
from valenza.cli.options import CORES, MANIFESTS, DataRoot, Jobs, Json, Manifests, answer, corpus_root
from valenza.errors import UsageError
from valenza.terminal import say

if TYPE_CHECKING:
    from valenza.corpora.card import Card
    from valenza.corpora.report import Report

app = typer.Typer(
    no_args_is_help=True, help="Manifests: list, check against the audio, write a first one, import, demo corpora."
)


@app.command("list")
def corpus_list(
    manifests: Manifests = MANIFESTS,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="The page that stands beside the manifests as README.md.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The corpora that have a manifest, with the figures their authors published."""
    from valenza.corpora.card import find_cards, read_card
    from valenza.corpora.catalogue import languages, markdown, show_catalogue

    cards, wrong = [], []
    for path in find_cards(manifests).values():
        try:
            cards.append(read_card(path))
        except UsageError as error:  # of several broken manifests, all are told
            wrong.append(str(error))
    if wrong:
        raise UsageError("\n".join(wrong))
    if as_markdown:
        if as_json:
            raise UsageError("--markdown and --json: give one of them")
        sys.stdout.write(markdown(cards))
        return
    whole = [{**card.model_dump(mode="json"), "classes": card.classes} for card in cards]
    answer(as_json, {"corpora": whole, "languages": sorted(languages(cards))}, lambda: show_catalogue(cards))


@app.command("check")
def corpus_check(
    corpus: Annotated[str, typer.Argument(help="A corpus id, or a manifest file.")],
    data_root: DataRoot = None,
    root: Annotated[Path | None, typer.Option(help="The corpus folder itself, where it is not DATA_ROOT/<id>.")] = None,
    manifests: Manifests = MANIFESTS,
    jobs: Jobs = CORES,
    labels: Annotated[
        bool, typer.Option("--labels", help="Also tell how much of each target there is, from label map to loss.")
    ] = False,
    labels_page: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Draw what --labels tells.")] = None,
    shortcuts: Annotated[
        bool, typer.Option("--shortcuts", help="Also ask what gives labels away unheard, and find copies and cuts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Hold a corpus against its manifest: counts, names, labels, and every clip's audio."""
    from valenza.corpora.card import locate, read_card
    from valenza.corpora.check import check
    from valenza.corpora.show import show_report

    card = read_card(locate(corpus, manifests))
    folder = corpus_root(card.id, data_root, root)
    report = check(card, folder, jobs)
    told, shows = report.as_dict(), [partial(show_report, report)]
    if labels or labels_page is not None:
        mass, show_mass = _label_mass(card, folder, labels_page)
        told["label_mass"] = mass
        shows.append(show_mass)
    if shortcuts:
        told["shortcuts"], show_shortcuts = _shortcuts(card, folder, jobs, report)
        shows.append(show_shortcuts)

    def show() -> None:
        for part in shows:
            part()

    answer(as_json, told, show)
    if report.errors:
        raise typer.Exit(errors.BAD_DATA)


def _label_mass(card: "Card", folder: Path, page: Path | None) -> tuple[dict[str, Any], partial[None]]:
    """Follow a corpus's labels, draw them where a page is asked for, and return what to tell and how to show it."""
    from valenza.corpora.parse import clips
    from valenza.labels.mass import label_mass, show_label_mass

    mass = label_mass(card, clips(card, folder).clips)
    if page is not None:
        from valenza.evaluation.page.labels import write_label_page

        write_label_page(mass, page)
        say(f"wrote {page}")
    return mass.as_dict(), partial(show_label_mass, mass)


def _shortcuts(card: "Card", folder: Path, jobs: int, report: "Report") -> tuple[dict[str, Any] | None, partial[None]]:
    """Ask what gives the labels away, and return what to tell and how to show it; nothing where no clip is sound."""
    from valenza.corpora.shortcuts.audit import audit
    from valenza.corpora.shortcuts.show import show_audit

    broken = {problem.path for problem in report.errors if problem.field == "audio"}
    try:
        audited = audit(card, folder, jobs, skip=broken)
    except errors.DataError as error:
        if not report.errors:
            raise
        # the report that comes before it says why
        return None, partial(print, f"\nWhat gives the label away cannot be told: {error}")
    return audited.as_dict(), partial(show_audit, audited)


@app.command("new")
def corpus_new(
    folder: Annotated[Path, typer.Argument(help="The corpus folder.", exists=True, file_okay=False)],
    name: Annotated[str | None, typer.Option("--id", help="Its id; the folder's name where absent.")] = None,
    manifests: Manifests = MANIFESTS,
) -> None:
    """Look at a folder and write a first manifest, in which the label map is to be filled in."""
    from valenza.corpora.scaffold import identifier, scaffold
    from valenza.files import write_whole

    corpus = name or identifier(folder)
    path = manifests / f"{corpus}.yaml"
    if path.exists():
        raise UsageError(f"{path} exists; delete it first, or give another --id")
    text = scaffold(folder, corpus)
    write_whole(text, path)
    say(f"wrote {path}; fill in its label map, then run `valenza corpus check {corpus} --root {folder}`")


@app.command("import")
def corpus_import(
    source: Annotated[Path, typer.Argument(help="The other project's file or folder.")],
    form: Annotated[
        Literal["nemo", "emobox", "audformat", "audiofolder", "datasets", "cameo"],
        typer.Option("--format", help="What it is."),
    ],
    name: Annotated[str | None, typer.Option("--id", help="The corpus's id; the source's name where absent.")] = None,
    manifests: Manifests = MANIFESTS,
    out: Annotated[
        Path | None, typer.Option(help="Data root under which audio is written that the source's rows hold.")
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(help="Folder under which all audio lies, and where relative paths begin.", file_okay=False),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="Where a fact stands, as in label=mood; nothing passes it over."),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="What audio paths say besides, as in '(?P<speaker>[0-9]+)_'.")
    ] = None,
    fold: Annotated[int | None, typer.Option(help="The EmoBox fold whose splits hold.")] = None,
    as_json: Json = False,
) -> None:
    """Make corpora of another project's lists or rows: a manifest, and one table beside the audio."""
    from valenza.corpora.exchange.bring import Wanted, bring

    pairs = [pair.partition("=") for pair in column or []]
    if not all(mark for _, mark, _ in pairs):
        raise UsageError("--column wants NAME=COLUMN, as in label=mood")
    columns = {fact: where for fact, _, where in pairs}
    brought = bring(source, form, manifests, Wanted(name, audio, out, columns, pattern, fold))

    def show() -> None:
        for one in brought:
            say(f"{one.corpus}: {one.clips:,} clips of {one.speakers or 'unknown'} speakers; wrote {one.manifest}")
            for note in one.notes:
                say(f"  {note}")
            if one.unfilled:
                say(f"  fill in what these labels mean: {', '.join(one.unfilled)}")
            say(f"  then: valenza corpus check {one.manifest} --root {one.root}")

    answer(as_json, {"corpora": [asdict(one) for one in brought]}, show)


@app.command("synth")
def corpus_synth(
    folder: Annotated[Path, typer.Argument(help="Where to write the corpora and their manifests.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    as_json: Json = False,
) -> None:
    """Speak the demo corpora with espeak-ng: 16 to train on, 4 in languages that are not trained on."""
    from valenza.corpora.synth.demo import speak

    summary = speak(folder, seed=seed)
    told = f"{summary.clips} clips, {summary.hours:.2f} h, {summary.corpora} corpora in {folder}"
    answer(as_json, asdict(summary), lambda: say(told))
