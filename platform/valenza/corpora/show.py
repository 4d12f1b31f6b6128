"""Prints a check's report for the owner of the data."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from valenza.corpora.parse import Problem
from valenza.corpora.report import LabelCount, Report
from valenza.terminal import count, table

_LINES = 40
"""Findings printed of each kind; `--json` has all of them."""


def show_report(report: Report) -> None:
    """Print the summary, the labels, and every finding by file."""
    shortest, median, longest = report.durations
    rows = [
        ("clips", f"{report.clips}"),
        ("speakers", f"{report.speakers}"),
        ("clips by gender", _several(report.genders)),
        ("recordings", f"{report.recordings}"),
        ("hours", f"{report.hours:.2f}"),
        ("durations", f"{shortest:.2f} to {longest:.2f} s, median {median:.2f} s"),
        ("languages", _several(report.languages)),
        ("splits", _several(report.splits) or "none of its own"),
        ("sample rates", _several({f"{rate} Hz": count for rate, count in report.rates.items()})),
        ("channels", _several(report.channels)),
        ("containers", _several(report.containers)),
        ("ignored by the manifest", f"{report.ignored}"),
        ("files that are not audio", f"{sum(report.not_audio.values())}"),
    ]
    table(f"{report.corpus}: {report.root}", ("", ""), rows)
    labels = [
        (label.native, _meaning(label), label.clips, label.speakers, f"{label.hours:.2f}")
        for label in report.labels
    ]  # fmt: skip
    table("\nLabels", ("native", "target", "clips", "speakers", "hours"), labels)
    _findings("Errors", report.errors)
    _findings("Notes", report.notes)
    print(f"\n{closing(report)}")  # noqa: T201


def closing(report: Report) -> str:
    """Say in one line whether the corpus can be used, and which published figures it fits."""
    notes = f", {count(len(report.notes), 'note')}" if report.notes else ""
    if report.errors:
        files = len({problem.path for problem in report.errors if problem.path})
        where = f" in {count(files, 'file')}" if files else ""
        return f"{report.corpus}: not ready, {count(len(report.errors), 'error')}{where}{notes}"
    fit = {None: "no expected counts to compare with", "published": "counts as expected"}
    return f"{report.corpus}: ready{notes}; {fit.get(report.release, f'counts fit the release {report.release}')}"


def _meaning(label: LabelCount) -> str:
    if not label.meaning:
        return "left out" if label.listed else "not in the manifest"
    return " + ".join(target if weight == 1 else f"{weight:g} {target}" for target, weight in label.meaning.items())


def _several(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value}: {clips}" if len(counts) > 1 else value for value, clips in counts.items())


def _findings(title: str, problems: Sequence[Problem]) -> None:
    if not problems:
        return
    kinds: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.field].append(problem)
    lines = [f"\n{title}"]
    for field, found in kinds.items():
        lines += [f"  {problem}" for problem in found[:_LINES]]
        if len(found) > _LINES:
            lines.append(f"  … and {len(found) - _LINES} more about {field}; --json lists all")
    print("\n".join(lines))  # noqa: T201
