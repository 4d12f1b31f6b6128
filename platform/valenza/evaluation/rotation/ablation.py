"""What each part of a method is worth: one rotation for every row of a table, and what changes against the first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from valenza.config import Settings, load, suggestion
from valenza.errors import UsageError
from valenza.evaluation.comparison.paired import Scores, difference, mean_over
from valenza.evaluation.predictions import beside, read_predictions
from valenza.evaluation.results import BASELINES, finite, percent, read_results
from valenza.evaluation.rotation.rotate import rotate
from valenza.evaluation.rotation.summary import resample
from valenza.files import write_whole
from valenza.terminal import say

PROBED = ("corpus", "speaker")


class Row(Settings):
    """One variant; a bare list in the file is its settings."""

    settings: tuple[str, ...] = ()
    """`key=value`, as on a command line."""
    only: tuple[str, ...] = ()
    """The languages or corpora that it holds out; all where absent."""
    against: str | None = None
    """The row that it is compared with; the first where absent."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, raw: Any) -> Any:
        return {"settings": raw} if isinstance(raw, list | tuple) else raw


class Ablation(Settings):
    """A table of variants of one recipe."""

    recipe: Path
    """Beside this file."""
    hold_out: Literal["language", "corpus"] = "language"
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    common: tuple[str, ...] = ()
    """Settings of all rows."""
    rows: dict[str, Row] = Field(min_length=1)


@dataclass(frozen=True)
class _Found:
    rotation: dict[str, Any]
    out: Path


def ablate(
    file: Path, *, out: Path, only: Sequence[str] = (), overrides: Sequence[str] = (), jobs: int = 1
) -> dict[str, Any]:
    """Train and score every row of a table of variants, and return what `ablation.json` holds.

    `overrides` are settings of every row and `only` names the rows to do. Runs lie in `out/<row>/<fold>-<seed>`; what
    is finished is not done again. A row's difference is from the row that it is `against`, over the folds of both, with
    an interval that draws the same speakers for both, and seeds. Raises `UsageError` for a row that is not there.
    """
    table = load(Ablation, file)
    rows = {name: row for name, row in table.rows.items() if not only or name in only}
    first = next(iter(rows), "")
    _refuse(file, table, rows, only, first)
    found: dict[str, _Found] = {}
    for number, (name, row) in enumerate(rows.items(), 1):
        say(f"row {number} of {len(rows)}: {name}")
        folder = out / name.replace(" ", "_").replace("/", "_")
        settings = [*table.common, *row.settings, *overrides]
        recipe = file.parent / table.recipe
        chosen: dict[str, Any] = {"seeds": table.seeds, "out": folder, "overrides": settings, "only": row.only}
        found[name] = _Found(rotate(recipe, table.hold_out, **chosen, jobs=jobs), folder)
    told = [_told(name, row, found, row.against or first) for name, row in rows.items()]
    return dict(finite({"format": 1, "seeds": table.seeds, "rows": told}))


def _refuse(file: Path, table: Ablation, rows: Mapping[str, Row], only: Sequence[str], first: str) -> None:
    """Raise `UsageError` where a row is named that is not there or not to be done, or holds out other folds."""
    for name in (*only, *(row.against for row in rows.values() if row.against is not None)):
        if name not in table.rows:
            known = f"there are {', '.join(table.rows)}"
            raise UsageError(f"{file}: there is no row {name!r}{suggestion(name, table.rows)}; {known}")
    for name, row in rows.items():
        if row.against is not None and row.against not in rows:
            raise UsageError(f"{file}: row {name!r} is compared with {row.against!r}, which is not to be done (--row)")
        other = rows[row.against or first]
        if row.only and other.only and not {*row.only} & {*other.only}:
            told = f"row {name!r} holds out nothing that {row.against or first!r} does"
            raise UsageError(f"{file}: {told}, so the two cannot be compared")


def write_ablation(found: Mapping[str, Any], page: Path) -> None:
    """Write the table in Markdown, and what it is made from as JSON beside it; raises `WriteError`."""
    text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(text, page.with_suffix(".json"))
    write_whole(markdown(found), page)


def _told(name: str, row: Row, found: Mapping[str, _Found], against: str) -> dict[str, Any]:
    own, other = found[name], found[against]
    folds, others = _macro(own), _macro(other)
    told: dict[str, Any] = {
        "row": name,
        "settings": list(row.settings),
        "model": own.rotation["mean"]["model"],
        "macro_f1": folds,
        "domain_probe": _probed(own),
        "baselines": own.rotation["mean"]["baselines"],
    }
    names = [fold for fold in folds if fold in others]
    if against == name or not names:
        return told
    first, second = (_drawn(one, names, side) for side, one in enumerate((other, own)))
    before, after = (float(np.mean([scores[fold] for fold in names])) for scores in (others, folds))
    gap = difference(before, after, (first["macro_f1"], second["macro_f1"]) if first and second else None)
    return {**told, "against": against, "difference": {"value": gap.value, "ci95": gap.ci95, "p": gap.p}}


def _macro(one: _Found) -> dict[str, float]:
    """Return the macro-F1 of each fold."""
    return {fold["fold"]: float(fold["model"]["macro_f1"]["mean"]) for fold in one.rotation["folds"]}


def _drawn(one: _Found, names: Sequence[str], side: int) -> Scores | None:
    """Return the mean over folds of each score, resample by resample; the same speakers for every row.

    As in a rotation, every fold counts once, however many corpora it holds out; None where one cannot be resampled.
    """
    parts = []
    for fold in (fold for fold in one.rotation["folds"] if fold["fold"] in names):
        runs = [read_predictions(beside(one.out / run["run"] / "results.json")) for run in fold["runs"]]
        drawn = [resample([run[corpus] for run in runs], corpus, side) for corpus in fold["held_out"]]
        if any(scores is None for scores in drawn):
            return None
        parts.append(mean_over([scores for scores in drawn if scores is not None]))
    return mean_over(parts)


def _probed(one: _Found) -> dict[str, float]:
    """Return how well a fresh probe tells corpus and speaker, averaged over all runs."""
    files = [one.out / run["run"] / "results.json" for fold in one.rotation["folds"] for run in fold["runs"]]
    probes = [read_results(file).domain_probe for file in files]
    return {
        kind: float(np.mean([probe[kind].accuracy for probe in probes]))
        for kind in PROBED
        if all(kind in probe for probe in probes)
    }


def markdown(found: Mapping[str, Any]) -> str:
    """Return the table of an ablation, in per cent, with the baselines of its first row below."""
    rows = found["rows"]
    folds = list(dict.fromkeys(fold for row in rows for fold in row["macro_f1"]))
    heads = ["", "micro-F1 [95 %]", "macro-F1 [95 %]", "difference [95 %]", *folds, "corpus told", "speaker told"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    for row in rows:
        scores = [_spread(row["model"][metric]) for metric in ("micro_f1", "macro_f1")]
        each = [percent(row["macro_f1"].get(fold)) for fold in folds]
        probed = [percent(row["domain_probe"].get(kind)) for kind in PROBED]
        lines.append("| " + " | ".join([row["row"], *scores, _gap(row, rows[0]), *each, *probed]) + " |")
    for name, scores in rows[0]["baselines"].items():
        cells = [BASELINES[name], percent(scores["micro_f1"]), percent(scores["macro_f1"])]
        lines.append("| " + " | ".join([*cells, *[""] * (len(heads) - len(cells))]) + " |")
    seeds = ", ".join(map(str, found["seeds"]))
    note = (
        f"Means over the languages or corpora held out in turn and seeds {seeds}, ± standard deviation over seeds; "
        "by language: macro-F1. Intervals draw speakers and seeds again. The difference is in macro-F1, from the first "
        "row or the one named, over the same folds. Told: accuracy of a fresh linear probe on what the emotion head "
        "reads."
    )
    return "\n".join([*lines, "", note]) + "\n"


def _spread(score: Mapping[str, Any]) -> str:
    spread = "" if score["sd"] is None else f" ± {percent(score['sd'])}"
    bounds = f" [{percent(score['ci95'][0])}, {percent(score['ci95'][1])}]" if score["ci95"] else ""
    return f"{percent(score['mean'])}{spread}{bounds}"


def _gap(row: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    gap = row.get("difference")
    if gap is None:
        return ""
    beside_which = "" if row["against"] == first["row"] else f" from {row['against']}"
    bounds = f" [{100 * gap['ci95'][0]:+.1f}, {100 * gap['ci95'][1]:+.1f}]" if gap["ci95"] else ""
    return f"{100 * gap['value']:+.1f}{bounds}{beside_which}"
