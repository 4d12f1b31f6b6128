"""`valenza pairs`: pairs of sequences, and what annotators said of them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from valenza.cli.options import SHARDS, Json, Shards, answer
from valenza.errors import UsageError
from valenza.terminal import count, say, table

if TYPE_CHECKING:
    from valenza.stages.pairs.folder import Study

app = typer.Typer(no_args_is_help=True, help="Pairs of sequences that people judge: make, simulate, report, export.")

Pairs = Annotated[Path, typer.Argument(help="A folder of pairs.", show_default=False)]
Ties = Annotated[Literal["drop", "half"], typer.Option(help="Leave ties out, or count half for each side.")]


@app.command("make")
def pairs_make(
    run: Annotated[Path, typer.Argument(help="A run of stage utterance, to be slid.", show_default=False)],
    corpora: Annotated[list[str], typer.Argument(help="Corpora whose clips are the tracks.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to write.", show_default=False)],
    shards: Shards = SHARDS,
    student: Annotated[
        list[str] | None,
        typer.Option(help="A frame-level run, or RUN@step-00000100 for one of its checkpoints; may be given twice.")
    ] = None,
    files: Annotated[
        Path | None, typer.Option(help="Folder with your own sequences, <clip id>….json each.", show_default=False)
    ] = None,
    tracks: Annotated[
        int | None, typer.Option(min=1, help="Clips, evenly from all speakers.", show_default="all")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Drawn sequences of each track.")] = 5,
    samples: Annotated[
        int, typer.Option(min=0, help="Of which so many are drawn from the students' Dirichlet heads.")
    ] = 1,
    per_track: Annotated[int, typer.Option(min=1, help="Pairs of a track at most.")] = 4,
    pairs: Annotated[
        int | None, typer.Option(min=1, help="Pairs in all, without catch trials.", show_default="all")
    ] = None,
    catch: Annotated[float, typer.Option(min=0, max=0.5, help="Share of catch trials.")] = 0.08,
    similar: Annotated[
        float, typer.Option(min=0, help="Sequences with a smaller mean absolute difference are never both kept.")
    ] = 0.01,
    low: Annotated[float, typer.Option(help="Shortest window and step, in seconds.")] = 0.25,
    high: Annotated[float, typer.Option(help="Longest window and step, in seconds.")] = 1.25,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    title: Annotated[str, typer.Option(help="What annotators read.")] = "Which face fits the voice?",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Make sequences for recordings, and pairs of them that are worth a person's time."""
    from valenza.stages.pairs.make import make_pairs
    from valenza.stages.pairs.sources import slides_of, student_of

    study = make_pairs(
        out,
        shards,
        corpora,
        slide=slides_of(run),
        students=[student_of(named) for named in student or ()],
        files=files,
        tracks=tracks,
        k=k,
        per_track=per_track,
        pairs=pairs,
        catch=catch,
        samples=samples,
        similar=similar,
        low=low,
        high=high,
        seed=seed,
        title=title,
    )
    answer(as_json, {"out": str(out), **study.made}, lambda: show_study(study))


def show_study(study: "Study") -> None:
    """Print how many of everything a study has, and say of what it has too little."""
    counts = study.made["counts"]
    rows = [("tracks", counts["tracks"])]
    rows += [(f"sequences: {kind}", number) for kind, number in counts["candidates"].items()]
    rows += [(f"pairs: {kind}", number) for kind, number in counts["pairs"].items()]
    table(str(study.folder), ("", "number"), rows)
    told = (
        ("tracks_that_fell_short", "track", f"fewer drawn sequences than {study.made['k']}"),
        ("tracks_without_a_pair", "track", "no two sequences that differ, and left out"),
        ("files_of_clips_not_taken", "given file", "a clip that was not taken"),
    )
    for name, thing, why in told:
        if number := counts[name]:
            say(f"{count(number, thing)} with {why}")


@app.command("simulate")
def pairs_simulate(
    pairs: Pairs,
    shards: Shards = SHARDS,
    error_rate: Annotated[float, typer.Option(min=0, max=1, help="How often an answer is wrong.")] = 0.15,
    tie_zone: Annotated[
        float, typer.Option(min=0, help="Errors that differ by less are a tie; mean absolute errors.")
    ] = 0.005,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    ties: Ties = "drop",
    out: Annotated[
        Path | None, typer.Option(help="JSON lines to write; preferences.jsonl in the folder where not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write what an annotator made of arithmetic prefers, where the tracks' clips have frame labels."""
    from valenza.annotate.store import FILE
    from valenza.files import write_whole
    from valenza.stages.pairs.folder import PREFERENCES, read_pairs
    from valenza.stages.pairs.preferences import as_lines, preferences
    from valenza.stages.pairs.simulated import simulate
    from valenza.stages.pairs.truth import truth_of

    study = read_pairs(pairs)
    target = pairs / PREFERENCES if out is None else out
    if out is None and (pairs / FILE).exists():
        raise UsageError(f"{pairs}: people judge these pairs; give --out, so that no file of theirs is written over")
    found = simulate(study, truth_of(study, shards), seed=seed, error_rate=error_rate, tie_zone=tie_zone)
    plain = {pair.id for pair in study.pairs if pair.kind == "plain"}
    votes = [(vote.pair, vote.choice) for vote in found.answers if vote.pair in plain]
    rows = preferences(study, votes, ties)
    write_whole(as_lines(rows), target)
    told = {"preferences": len(rows), "votes": len(votes), "file": str(target), "note": found.note}
    answer(
        as_json,
        {**told, "answers": found.summary},
        lambda: say(f"{count(len(rows), 'preference')} from {count(len(votes), 'vote')}: {target}. {found.note}"),
    )


@app.command("report")
def pairs_report(
    pairs: Pairs,
    min_catch: Annotated[
        float, typer.Option(min=0, max=1, help="Name annotators who passed less than this share of catch trials.")
    ] = 0.7,
    as_json: Json = False,
) -> None:
    """How far annotators agree, whom to doubt, and what is left to judge."""
    from valenza.annotate.answers import read_answers
    from valenza.annotate.report import report, show_report
    from valenza.stages.pairs.folder import read_pairs

    told = report(read_answers(read_pairs(pairs)), min_catch)
    answer(as_json, told, lambda: show_report(told))


@app.command("export")
def pairs_export(
    pairs: Pairs,
    out: Annotated[
        Path | None, typer.Option(help="JSON lines to write; preferences.jsonl in the folder where not given.")
    ] = None,
    ties: Ties = "drop",
    min_catch: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave out who passed less than this share of catch trials.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="CSV to write, with every vote.")] = None,
    label_studio: Annotated[Path | None, typer.Option(help="JSON to write, with tasks for Label Studio.")] = None,
    as_json: Json = False,
) -> None:
    """Write what annotators prefer, for training and for analysis."""
    from valenza.annotate import export
    from valenza.annotate.answers import read_answers
    from valenza.files import write_whole
    from valenza.stages.pairs.folder import PREFERENCES, read_pairs
    from valenza.stages.pairs.preferences import as_lines

    study = read_pairs(pairs)
    answers = read_answers(study)
    votes = export.kept(answers, min_catch)
    rows = export.preferences(study, votes, ties)
    target = pairs / PREFERENCES if out is None else out
    files = {target: as_lines(rows)}
    if log is not None:
        files[log] = export.as_log(answers)
    if label_studio is not None:
        files[label_studio] = json.dumps(export.as_label_studio(study, votes), ensure_ascii=False, indent=1) + "\n"
        files[label_studio.with_suffix(".xml")] = export.LABEL_STUDIO
    for path, text in files.items():
        write_whole(text, path)
    told = {"preferences": len(rows), "votes": len(votes), "files": [str(path) for path in files]}
    answer(
        as_json,
        told,
        lambda: say(
            f"{count(len(rows), 'preference')} from {count(len(votes), 'vote')}: " + ", ".join(map(str, files))
        ),
    )
