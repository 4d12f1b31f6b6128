"""Prints a comparison as tables that say in words which model is better."""

from collections.abc import Iterator, Mapping
from typing import Any

from valenza.evaluation.results import percent
from valenza.terminal import say, table

_METRICS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1", "ua": "UA"}


def show_comparison(comparison: Mapping[str, Any]) -> None:
    """Print a table of scores, one of classes, and McNemar's test, for each pair of models."""
    for pair in comparison["comparisons"]:
        title = f"{pair['second']} against {pair['first']}: per cent, difference [95 %]"
        columns = ["corpus", "metric", "first", "second", "difference", "p"]
        table(title, columns, list(_rows(pair)))
        table("\nF1 by class", ["corpus", "class", "first", "second", "difference", "p"], list(_classes(pair)))
        if tests := list(_tests(pair)):
            columns = ["corpus", "clips", "only first right", "only second right", "exact p", "mid-p"]
            table("\nMcNemar's test", columns, tests)
    say(_notes(comparison))


def _rows(pair: Mapping[str, Any]) -> Iterator[list[str]]:
    parts = dict(pair["corpora"])
    if "mean" in pair:
        parts["mean over corpora"] = pair["mean"]
    for corpus, told in parts.items():
        for name, label in _METRICS.items():
            gap = told["difference"][name]
            yield [corpus, label, percent(told["first"][name]), percent(told["second"][name]), _gap(gap), _p(gap["p"])]


def _classes(pair: Mapping[str, Any]) -> Iterator[list[str]]:
    for corpus, told in pair["corpora"].items():
        for name, gap in told["per_class_f1"].items():
            yield [corpus, name, percent(gap["first"]), percent(gap["second"]), _gap(gap), _p(gap["p"])]


def _tests(pair: Mapping[str, Any]) -> Iterator[list[str]]:
    for corpus, told in pair["corpora"].items():
        if (test := told["mcnemar"]) is not None:
            right = f"{test['only_first']:,}", f"{test['only_second']:,}"
            yield [corpus, f"{told['clips']:,}", *right, _p(test["exact_p"]), _p(test["mid_p"])]


def _notes(comparison: Mapping[str, Any]) -> str:
    pairs = comparison["comparisons"]
    what = sorted({told["resampled"] for pair in pairs for told in pair["corpora"].values()})
    several = any(len(model["runs"]) > 1 for model in comparison["models"])
    drawn = f"{' or '.join(what)}{' and runs' if several else ''}"
    lines = [f"Intervals and p draw {drawn} again, {comparison['draws']:,} times, the same clips for both models."]
    if several:
        lines.append(
            "Scores of several runs are their mean. McNemar's test is for single runs, and left out for these."
        )
    else:
        lines.append("McNemar's test takes clips as independent, which those of one speaker are not.")
    if len(pairs) > 1:
        lines.append("p is not corrected for the number of comparisons.")
    notes = {f"{c}: {told['note']}" for pair in pairs for c, told in pair["corpora"].items() if "note" in told}
    return "\n".join([*lines, *sorted(notes)])


def _gap(gap: Mapping[str, Any]) -> str:
    if gap["value"] is None:
        return "–"
    bounds = f" [{100 * gap['ci95'][0]:+.1f}, {100 * gap['ci95'][1]:+.1f}]" if gap["ci95"] else ""
    return f"{100 * gap['value']:+.1f}{bounds}"


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
