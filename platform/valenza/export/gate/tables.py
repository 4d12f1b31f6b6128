"""What gates and measurements found, as Markdown tables, so that none is ever typed by hand."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from valenza.errors import UsageError
from valenza.export.engines.sidecar import Sidecar
from valenza.export.gate.parity import LIMITS, Cell, Parity

Reports = Sequence[Mapping[str, Any]]


def tables(files: Sequence[Path]) -> dict[str, str]:
    """Return the tables that these files are for, by the mark of their place in a page; see `read_reports`."""
    reports = read_reports(files)
    kinds = {
        "precision": ("cells", parity_table),
        "speed": ("lengths", speed_table),
        "builds": ("build_seconds", builds_table),
    }
    return {mark: table(reports) for mark, (key, table) in kinds.items() if any(key in report for report in reports)}


def read_reports(files: Sequence[Path]) -> Reports:
    """Return what gates' reports, `bench infer --json` and engines' sidecars hold.

    Reports are judged by today's limits, whatever they were then. Raises `UsageError` for those that exceed them, and
    for anything else.
    """
    found = []
    for file in files:
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: cannot be read: {error}") from None
        if not isinstance(held, dict) or not held.keys() & {"cells", "lengths", "build_seconds"}:
            raise UsageError(f"{file}: is no gate's report, no engine's, and not what `bench infer --json` printed")
        try:
            faults = _faults(held) if "cells" in held else []
            if "build_seconds" in held:
                Sidecar.model_validate(held)
        except (KeyError, TypeError, ValidationError) as error:
            raise UsageError(f"{file}: was not written by this command: {error}") from None
        if faults:
            raise UsageError(f"{file}: tells of a file that is not the network: {faults[0]}")
        found.append(held)
    return found


def _faults(report: Mapping[str, Any]) -> list[str]:
    def number(value: Any) -> Any:
        return math.inf if value is None else value

    cells = [Cell(**{key: number(value) for key, value in cell.items()}) for cell in report["cells"]]
    return Parity(LIMITS[report["precision"]], cells, number(report["network"]), report.get("framewise", False)).faults


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


def builds_table(reports: Reports) -> str:
    """Return what building engines took, and how large they are."""
    lines = [
        "| engine | library | compute capabilities | precision | ONNX | engine | build |",
        "|---|---|---|---|--:|--:|--:|",
    ]
    for report in (each for each in reports if "build_seconds" in each):
        sidecar = Sidecar.model_validate(report)
        columns = (
            sidecar.engine.file,
            sidecar.title,
            ", ".join(map(str, sidecar.compute_capabilities)),
            sidecar.precision,
            *(f"{each.bytes / 1e6:.1f} MB" for each in (sidecar.onnx, sidecar.engine)),
            f"{sidecar.build_seconds:.1f} s",
        )
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)
