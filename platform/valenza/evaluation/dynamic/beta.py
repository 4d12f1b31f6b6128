"""The table of strengths of preference tuning: MAE by β, as table 4 of Fedorov & Korobchenko."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from valenza.evaluation.comparison.paired import DRAWS
from valenza.evaluation.dynamic.intervals import Measured
from valenza.evaluation.dynamic.table import PUBLISHED_BETA, four, heading, how, spread, summarise

BETAS = (0.01, 0.1, 0.5, 10.0)
DEFAULT = 0.5


def system(beta: float) -> str:
    """Return the name of the system that was tuned with this β."""
    return f"β = {beta:g}"


def summarise_betas(
    measured: Sequence[Measured],
    *,
    betas: Sequence[float] = BETAS,
    reference: float = DEFAULT,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the scores of systems that are named by `system`, each compared with the one of the reference β."""
    order = [system(beta) for beta in betas]
    found = summarise(measured, order=order, against=system(reference), draws=draws, seed=seed)
    return {**found, "betas": list(betas), "reference": reference}


def beta_markdown(summary: Mapping[str, Any], *, note: str = "") -> str:
    """Return a table with a column for each β: MAE of each test set, and below it the step from the reference."""
    betas = summary["betas"]
    heads = ["MAE", *(f"β = {beta:g}" for beta in betas)]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * len(betas)]
    for part in summary["sets"]:
        lines += ["| " + " | ".join(cells) + " |" for cells in beta_rows(part, summary["reference"])]
    published = ["" if beta not in PUBLISHED_BETA else f"{PUBLISHED_BETA[beta]:.3f}"[1:] for beta in betas]
    if any(published):
        lines.append("| " + " | ".join(["paper, large encoder", *published]) + " |")
    return "\n".join([*lines, "", how(summary), *([note] if note else [])]) + "\n"


def beta_rows(part: Mapping[str, Any], reference: float) -> Iterator[list[str]]:
    """Yield the errors of a test set, the least in bold, and their steps."""
    means = [row["scores"]["mae"]["mean"] for row in part["rows"]]
    errors = [spread(row["scores"]["mae"], four, whole=True) for row in part["rows"]]
    best = means.index(min(means))
    errors[best] = f"**{errors[best]}**"
    yield [heading(part), *errors]
    steps = []
    for row in part["rows"]:
        gap = row["step"] and row["step"]["mae"]
        bounds = f" [{gap['ci95'][0]:+.4f}, {gap['ci95'][1]:+.4f}]" if gap and gap["ci95"] else ""
        steps.append(f"{gap['value']:+.4f}{bounds}{' *' if gap['beyond_noise'] else ''}" if gap else "–")
    yield [f"step from {system(reference)}", *steps]
