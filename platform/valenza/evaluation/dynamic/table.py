"""The tables of emotion over time: systems against each other, and the strengths of preference tuning."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from valenza.errors import UsageError
from valenza.evaluation.comparison.paired import DRAWS
from valenza.evaluation.dynamic.intervals import Board, Measured, board
from valenza.evaluation.dynamic.metrics import SCORES, frame_f1_by_class
from valenza.evaluation.results import finite
from valenza.labels.taxonomy import EMOTIONS

SYSTEMS = (
    "sliding window + CE",
    "sliding window + Dirichlet",
    "student + CE",
    "student + Dirichlet",
    "student + DPO",
)
"""The rows of table 3, each trained upon the one above or instead of it."""
CLAIM = ("student + DPO", "student + Dirichlet", "sliding window + Dirichlet")
"""The paper's order, from the least error."""
POOLED = "all"
PUBLISHED = {
    "sliding window + CE": (0.207, 0.231),
    "sliding window + Dirichlet": (0.206, 0.228),
    "student + CE": (0.201, 0.208),
    "student + Dirichlet": (0.200, 0.206),
    "student + DPO": (0.195, 0.203),
}
"""MAE with a large and a base encoder, Fedorov & Korobchenko, table 3."""
PUBLISHED_BETA = {0.01: 0.215, 0.1: 0.197, 0.5: 0.195, 10.0: 0.200}
"""MAE by β with a large encoder, table 4."""


def summarise(
    measured: Sequence[Measured],
    *,
    order: Sequence[str] = SYSTEMS,
    against: str | None = None,
    claim: Sequence[str] = (),
    draws: int = DRAWS,
    seed: int = 0,
    draw_seeds: bool = False,
) -> dict[str, Any]:
    """Return every score of every system, by test set and over all tracks, with intervals, as JSON can hold it.

    `order` names the systems, a row each; a row's step is from the row before it, or from `against` where that is
    given. `claim` names systems from the least error to the greatest, and is judged by the paired interval of each
    step. Scores are means over seeds; intervals draw speakers again (`intervals.board`). Raises `UsageError` where
    systems are not measured on the same tracks with the same seeds.
    """
    for name in (*claim, *([] if against is None else [against])):
        if name not in order:
            raise UsageError(f"{name!r} is compared with, but is none of {', '.join(order)}")
    measured = [one for one in measured if one.system in order]
    sets = list(dict.fromkeys(one.test_set for one in measured))
    parts = {name: [one for one in measured if one.test_set == name] for name in sets}
    if len(sets) != 1:
        parts = {POOLED: measured, **parts}
    told = []
    for name, part in parts.items():
        found = board(part, order, draws=draws, seed=seed, draw_seeds=draw_seeds)
        told.append({"set": name, **_told(found, against), "claim": list(_claimed(found, claim))})
    seeds = list(dict.fromkeys(one.seed for one in measured))
    head = {"format": 1, "systems": list(order), "seeds": seeds, "draws": draws, "draw_seeds": draw_seeds}
    return dict(finite({**head, "against": against, "sets": told}))


def _told(found: Board, against: str | None) -> dict[str, Any]:
    rows = []
    for number, system in enumerate(found.systems):
        other = number - 1 if against is None else found.systems.index(against)
        compared = other >= 0 and other != number
        sums = found.sums[number].sum(axis=(0, 1))
        by_class = zip(EMOTIONS, frame_f1_by_class(sums).tolist(), strict=True)
        rows.append(
            {
                "system": system,
                "scores": {name: found.spread(number, name) for name in SCORES},
                "frame_f1": dict(by_class),
                "from": found.systems[other] if compared else None,
                "step": {name: found.step(other, number, name) for name in SCORES} if compared else None,
            }
        )
    return {"tracks": found.tracks, "speakers": len(found.speakers), "rows": rows}


def _claimed(found: Board, claim: Sequence[str]) -> Iterator[dict[str, Any]]:
    for less, more in pairwise(claim):
        gap = found.step(found.systems.index(more), found.systems.index(less), "mae")
        holds = gap["value"] < 0 and gap["beyond_noise"]
        yield {"less": less, "more": more, **gap, "seeds": len(found.seeds), "holds": holds}


Cell = Callable[[float], str]


def four(value: float) -> str:
    """Return an error with four decimals."""
    return f"{value:.4f}"


def three(value: float) -> str:
    """Return a number with three decimals."""
    return f"{value:.3f}"


def per_cent(value: float) -> str:
    """Return a share in per cent with one decimal."""
    return f"{100 * value:.1f}"


COLUMNS: dict[str, tuple[str, Cell]] = {
    "mae": ("MAE", four),
    "kl": ("KL", three),
    "macro_f1": ("macro-F1", per_cent),
    "boundary_f1_0.25": ("boundary F1 ±0.25 s", per_cent),
    "boundary_f1_0.5": ("±0.5 s", per_cent),
    "eder": ("EDER", per_cent),
}
"""What the tables show of the scores: heading and figures. F1 and EDER are in per cent."""


def markdown(summary: Mapping[str, Any], *, note: str = "") -> str:
    """Return a table of systems for all tracks and for each test set; `note` says how preferences were obtained."""
    lines: list[str] = []
    for part in summary["sets"]:
        if len(summary["sets"]) > 1:
            lines += [f"**{heading(part)}**", ""]
        lines += [*_table(part), ""]
        lines += [*(f"{said}  " for said in claims(part)), ""] if part["claim"] else []
    if any(row["system"] in PUBLISHED for part in summary["sets"] for row in part["rows"]):
        lines.append(
            "The paper (Fedorov & Korobchenko, table 3) has other tracks and another truth: compare the order."
        )
    return "\n".join([*lines, *notes(summary, note)]) + "\n"


def heading(part: Mapping[str, Any]) -> str:
    """Return the name of a test set with its size."""
    name = "All test sets" if part["set"] == POOLED else part["set"]
    return f"{name}: {part['tracks']:,} tracks, {part['speakers']:,} speakers"


def _table(part: Mapping[str, Any]) -> Iterator[str]:
    known = any(row["system"] in PUBLISHED for row in part["rows"])
    heads = ["", "MAE [95 %]", "step [95 %]", *(head for head, _ in list(COLUMNS.values())[1:])]
    yield "| " + " | ".join(heads + (["paper: large / base"] if known else [])) + " |"
    yield "|---|" + "--:|" * (len(heads) - 1 + known)
    for number, row in enumerate(part["rows"]):
        before = part["rows"][number - 1]["system"] if number else None
        cells = [row["system"], spread(row["scores"]["mae"], four, whole=True), step(row, before)]
        cells += [spread(row["scores"][name], cell) for name, (_, cell) in list(COLUMNS.items())[1:]]
        if known:
            published = PUBLISHED.get(row["system"])
            cells.append("" if published is None else " / ".join(f"{value:.3f}"[1:] for value in published))
        yield "| " + " | ".join(cells) + " |"


def spread(score: Mapping[str, Any], cell: Cell, *, whole: bool = False) -> str:
    """Return a score with its standard deviation over seeds and, where `whole`, its interval."""
    if score["mean"] is None:
        return "–"
    over = "" if score["sd"] is None else f" ± {cell(score['sd'])}"
    bounds = f" [{cell(score['ci95'][0])}, {cell(score['ci95'][1])}]" if whole and score["ci95"] else ""
    return f"{cell(score['mean'])}{over}{bounds}"


def step(row: Mapping[str, Any], before: str | None) -> str:
    """Return how much a row's MAE differs from the one that it is compared with; a star where beyond the noise."""
    if row["step"] is None:
        return ""
    gap = row["step"]["mae"]
    bounds = f" [{gap['ci95'][0]:+.4f}, {gap['ci95'][1]:+.4f}]" if gap["ci95"] else ""
    star = " *" if gap["beyond_noise"] else ""
    return f"{gap['value']:+.4f}{bounds}{star}" + ("" if row["from"] == before else f" from {row['from']}")


def claims(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each step of the claimed order: whether it holds, by how much and with how many seeds."""
    for one in part["claim"]:
        verdict = "holds, beyond the noise"
        if not one["holds"]:
            verdict = "within the noise" if one["value"] < 0 else "does not hold"
        bounds = f" [{one['ci95'][0]:+.4f}, {one['ci95'][1]:+.4f}]" if one["ci95"] else ""
        p = "" if one["p"] is None else f", p = {one['p']:.4f}"
        seeds = f", {one['seeds_agree']} of {one['seeds']} seeds"
        yield f"{one['less']} < {one['more']}: {verdict} ({one['value']:+.4f}{bounds}{p}{seeds})"


def notes(summary: Mapping[str, Any], note: str) -> Iterator[str]:
    """Yield what has to be known to read the table of systems."""
    yield how(summary)
    yield "KL is in nats; F1 and EDER (wrong time over all time, Wang et al. 2023) are in per cent."
    if note:
        yield note


def how(summary: Mapping[str, Any]) -> str:
    """Return how the errors, intervals and steps of a summary were made."""
    seeds = summary["seeds"]
    over = f"means ± standard deviation over seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else "of one seed"
    again = "speakers and seeds" if summary["draw_seeds"] else "speakers"
    rows = "the row above" if summary["against"] is None else summary["against"]
    return (
        f"MAE is the mean over frames and classes of |predicted − true|; scores are {over}. Intervals (95 %) draw "
        f"{again} again, the same for all systems ({summary['draws']:,} draws); a step is from {rows}, with a star "
        "where its interval excludes 0."
    )
