"""The learning curve, from the lines that a run writes while it trains."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valenza.evaluation.page.charts import curve
from valenza.evaluation.page.markup import Html, tag
from valenza.training.report import read_metrics

_POINTS = 400
"""More than the picture has room for are averaged."""


@dataclass(frozen=True)
class Series:
    """Values by training step; NaN where a value did not exist."""

    steps: list[float]
    values: list[float]


def history(metrics: Path) -> tuple[Series, Series]:
    """Return the training loss and the validation micro-F1 by step; of a step that was run twice, the later one."""
    loss: dict[int, float] = {}
    validation: dict[int, float] = {}
    for line in read_metrics(metrics) if metrics.is_file() else []:
        if "loss" in line:
            loss[line["step"]] = _number(line["loss"])
        scores = line.get("validation")
        if isinstance(scores, Mapping) and "micro_f1" in scores:
            validation[line["step"]] = _number(scores["micro_f1"])
    return _series(loss), _series(validation)


def learning_curves(metrics: Path) -> Iterator[Html]:
    """Yield the part of the report about training."""
    yield tag("h2", "Training", id="training")
    loss, validation = history(metrics)
    if not loss.steps and not validation.steps:
        yield tag("p", "This run has left no metrics.jsonl to draw a learning curve from.")
        return
    last = max([*loss.steps, *validation.steps, 1.0])
    if loss.steps:
        drawn = _averaged(loss)
        alt = f"Training loss, from {drawn.values[0]:.3g} to {drawn.values[-1]:.3g} in {last:,.0f} steps"
        yield tag("h4", "Training loss")
        yield tag("figure", Html(curve(drawn.steps, drawn.values, last=last, alt=alt)), class_="wide")
    if validation.steps:
        best = int(np.nanargmax(validation.values)) if np.isfinite(validation.values).any() else 0
        said = f"best {100 * validation.values[best]:.1f} at step {validation.steps[best]:,.0f}"
        yield tag("h4", f"Validation micro-F1, %: {said}")
        picture = curve(
            validation.steps, validation.values, last=last, alt=f"Validation micro-F1, {said}", dots=True, percent=True
        )
        yield tag("figure", Html(picture), class_="wide")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _series(values: Mapping[int, float]) -> Series:
    steps = sorted(values)
    return Series([float(step) for step in steps], [values[step] for step in steps])


def _averaged(series: Series) -> Series:
    """Average neighbouring points until they are few enough to draw."""
    every = -(-len(series.steps) // _POINTS)
    if every == 1:
        return series
    parts = range(0, len(series.steps), every)
    means = [float(np.mean(series.values[i : i + every])) for i in parts]
    return Series([float(np.mean(series.steps[i : i + every])) for i in parts], means)
