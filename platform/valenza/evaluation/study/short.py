"""What a study comes to in a few lines, for a README."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from valenza.errors import UsageError
from valenza.evaluation.dynamic.table import COLUMNS, four, spread, step


def read_study(file: Path) -> dict[str, Any] | None:
    """Return what `valenza dynamic` wrote as JSON, or nothing where the file is of another kind."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    return found if isinstance(found, dict) and {"systems", "betas", "race"} <= found.keys() else None


def short(found: Mapping[str, Any]) -> str:
    """Return the systems of a study over all its test tracks: error, step from the row above, and F1."""
    part = found["systems"]["sets"][0]
    name, cell = COLUMNS["macro_f1"]
    lines = [f"| | MAE [95 %] | step [95 %] | {name} |", "|---|--:|--:|--:|"]
    before = None
    for row in part["rows"]:
        scores = row["scores"]
        cells = [row["system"], spread(scores["mae"], four, whole=True), step(row, before)]
        lines.append("| " + " | ".join([*cells, spread(scores["macro_f1"], cell)]) + " |")
        before = row["system"]
    return "\n".join(lines) + "\n"
