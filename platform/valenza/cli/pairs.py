"""`valenza pairs`: pairs of sequences, and what annotators said of them."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from valenza.cli.options import Json, answer
from valenza.terminal import count, say

app = typer.Typer(no_args_is_help=True, help="Pairs of sequences that people judge: report, export.")

Pairs = Annotated[Path, typer.Argument(help="A folder of pairs.", show_default=False)]


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
    ties: Annotated[
        Literal["drop", "half"], typer.Option(help="Leave ties out, or count half for each side.")
    ] = "drop",
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

    study = read_pairs(pairs)
    answers = read_answers(study)
    votes = export.kept(answers, min_catch)
    rows = export.preferences(study, votes, ties)
    target = pairs / PREFERENCES if out is None else out
    files = {target: export.as_lines(rows)}
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
