"""Writes and reads results.json, and prints the tables that are made from it."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from valenza.errors import UsageError
from valenza.evaluation.schema import Interval, Results
from valenza.files import write_whole
from valenza.terminal import say, table

FORMAT = 1
ALWAYS = ("random_head", "majority", "frozen_probe")
OPTIONAL = ("best_layer_probe", "egemaps_svm")
BASELINES = {
    "random_head": "random head",
    "majority": "majority",
    "frozen_probe": "frozen probe",
    "best_layer_probe": "best layer's probe",
    "egemaps_svm": "eGeMAPS SVM",
}
_COLUMNS = ["corpus", "language", "clips", "micro-F1 [95 %]", "macro-F1", "UA"]


def finite(value: Any) -> Any:
    """Return the same tree of dicts and lists with null for numbers that do not exist: NaN is not JSON."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_results(results: Mapping[str, Any], path: Path) -> None:
    """Write results.json whole or not at all. Raises `WriteError`, and `ValueError` for what no reader would accept."""
    plain = finite(results)
    Results.model_validate(plain)
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(text, path)


def read_results(path: Path) -> Results:
    """Read results.json. Raises `UsageError` where it is missing or not one."""
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; `valenza evaluate` writes it") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path}: not results of this version: {place}: {first['msg']}") from None


def markdown_table(paths: Sequence[Path]) -> str:
    """Return the table of the README, in per cent; with several runs, the name of each heads its rows."""
    read = {path: read_results(path) for path in paths}
    shown = baselines_of(*read.values())
    lead = ["run"] if len(paths) > 1 else []
    columns = [*lead, *_COLUMNS, *(BASELINES[name] for name in shown)]
    numbers = len(shown) + 4
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) - numbers) + "--:|" * numbers]
    for path, results in read.items():
        for row in _rows(results, shown):
            cells = [*([results.run or path.parent.name] if lead else []), *row]
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def replace_table(page: Path, text: str, mark: str = "results") -> None:
    """Replace what stands between `<!-- results -->` and `<!-- /results -->`, or another mark, in a Markdown file.

    Raises `UsageError` where the two marks are not there once each, in this order, and `WriteError`.
    """
    try:
        whole = page.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{page}: cannot be read: {error.strerror}") from None
    opening, closing = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, found, rest = whole.partition(opening)
    _, closed, after = rest.partition(closing)
    if not found or not closed or opening in rest or closing in before + after:
        raise UsageError(
            f"{page}: needs one line {opening} and, after it, one line {closing}; the table goes between them"
        )
    write_whole(f"{before}{opening}\n\n{text.strip()}\n\n{closing}{after}", page)


def show_results(results: Mapping[str, Any]) -> None:
    """Print the scores as a table, in per cent; what a reader must know about them goes to standard error."""
    valid = Results.model_validate(results)
    shown = baselines_of(valid)
    columns = [*_COLUMNS, *(BASELINES[name] for name in shown)]
    table(f"{valid.checkpoint}: per cent", columns, list(_rows(valid, shown)))
    for name, corpus in valid.corpora.items():
        if not corpus.zero_shot:
            say(f"{name}: not zero-shot; scored on its {corpus.part or 'held-back'} part")
        if corpus.ci95_reason:
            say(f"{name}: {corpus.ci95_reason}")


def baselines_of(*results: Results) -> list[str]:
    """Return the baselines that a table shows: those that every evaluation has, and the optional ones it finds."""
    found = {name for one in results for corpus in one.corpora.values() for name in corpus.baselines}
    return [name for name in BASELINES if name in ALWAYS or name in found]


def percent(value: float | None) -> str:
    """Return a score in per cent with one digit, or a dash."""
    return "–" if value is None else f"{100 * value:.1f}"


def percent_interval(bounds: Interval | None) -> str:
    """Return an interval in per cent in brackets, or nothing."""
    return "" if bounds is None else f"[{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"


def _rows(results: Results, shown: Sequence[str]) -> Iterator[list[str]]:
    for name, corpus in results.corpora.items():
        scores = corpus.metrics
        headline = f"{percent(scores.micro_f1)} {percent_interval(corpus.ci95.get('micro_f1'))}".strip()
        references = [percent(corpus.baselines[b].micro_f1) if b in corpus.baselines else "–" for b in shown]
        facts = [name if corpus.zero_shot else f"{name} (seen)", ", ".join(corpus.languages), f"{corpus.clips:,}"]
        yield [*facts, headline, percent(scores.macro_f1), percent(scores.ua), *references]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").replace("<", "&lt;").split())
