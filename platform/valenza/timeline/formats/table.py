"""Shares over time as CSV, one row a moment: for spreadsheets and data frames."""

import csv
import io
from collections.abc import Sequence

from valenza.errors import UsageError
from valenza.timeline.formats.options import Options, legible, resampled
from valenza.timeline.timeline import Timeline


def write(timelines: Sequence[Timeline], options: Options) -> str:
    """Return `file,time,<class>…[,concentration]`: seconds and shares to a millionth.

    There is a concentration where every recording has one. Raises `UsageError` where classes differ.
    """
    classes = timelines[0].classes
    if other := next((timeline for timeline in timelines if timeline.classes != classes), None):
        raise UsageError(
            f"one table has the same classes throughout: {', '.join(classes)} or {', '.join(other.classes)}"
        )
    sure = all(timeline.concentration is not None for timeline in timelines)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "time", *classes, *(["concentration"] if sure else [])])
    for timeline in (resampled(timeline, options.rate) for timeline in timelines):
        file = legible(timeline.name)
        for key, (time, row) in enumerate(zip(timeline.times.tolist(), timeline.mixtures.tolist(), strict=True)):
            cells = [file, *(f"{value:.6f}" for value in (time, *row))]
            if sure and timeline.concentration is not None:
                cells.append(f"{timeline.concentration[key]:.6g}")
            writer.writerow(cells)
    return text.getvalue()
