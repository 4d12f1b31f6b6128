"""What gates and measurements found, as Markdown tables, so that none is ever typed by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from valenza.errors import UsageError

Reports = Sequence[Mapping[str, Any]]


def read_reports(files: Sequence[Path]) -> Reports:
    """Return what `<model>.parity.json` files and `bench infer --json` hold; raises `UsageError` for anything else."""
    found = []
    for file in files:
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: cannot be read: {error}") from None
        if not isinstance(held, dict) or not ({"cells"} <= held.keys() or {"lengths"} <= held.keys()):
            raise UsageError(f"{file}: is neither a gate's report nor what `valenza bench infer --json` printed")
        found.append(held)
    return found


def parity_table(reports: Reports) -> str:
    """Return the greatest differences of each precision, over all lengths and batches, and what it costs."""
    head = "| precision | recordings × lengths × batches | logits | mixture | frames | same label | size | macro-F1 |"
    lines = [head, "|---|--:|--:|--:|--:|--:|--:|---|"]
    for report in (each for each in reports if "cells" in each):
        cells = report["cells"]
        asked = sum(cell["recordings"] for cell in cells)
        worst = {name: max(cell[name] for cell in cells) for name in ("logits", "probabilities", "frames")}
        same = sum(cell["same_label"] for cell in cells)
        lengths, batches = ({cell[key] for cell in cells} for key in ("seconds", "batch"))
        scores = [
            f"{name} {100 * each['network']['macro_f1']:.1f} → {100 * each['exported']['macro_f1']:.1f}"
            for name, each in report.get("scores", {}).items()
        ]
        columns = (
            report["precision"],
            f"{max(cell['recordings'] for cell in cells):,} × {len(lengths)} × {len(batches)}",
            *(f"{value:.1e}" for value in worst.values()),
            f"{same:,} of {asked:,}",
            f"{report['bytes'] / 1e6:.1f} MB",
            ", ".join(scores) or "as the network",
        )
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def speed_table(reports: Reports) -> str:
    """Return milliseconds by length, and how many recordings keep their label when padded."""
    lines: list[str] = []
    for report in (each for each in reports if "lengths" in each):
        lines += ["| recording | ms | of the longest | ms a second |", "|--:|--:|--:|--:|"]
        for row in report["lengths"]:
            share = 1 / row["share_of_longest"]
            lines.append(
                f"| {row['seconds']:g} s | {row['ms']:.1f} | 1/{share:.1f} | {row['ms'] / row['seconds']:.1f} |"
            )
        if "labels" in report:
            same, asked = report["labels"]["same"], report["labels"]["recordings"]
            told = f"{same} of {asked} recordings ({report['recordings']}) get the same label"
            every = report["labels"]["same_of_all_classes"]
            how = f"among the classes that their corpus has, and {every} among all"
            lines += ["", f"{told} at their own length as padded with silence to 30 s, {how}."]
    return "\n".join(lines)
