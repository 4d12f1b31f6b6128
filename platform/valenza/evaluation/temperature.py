"""The temperature of a run, fitted to the speakers that its training corpora kept for validation, and kept with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from valenza.errors import WriteError
from valenza.evaluation.calibration import fit_temperature
from valenza.evaluation.clips import sample
from valenza.evaluation.listen import Ear
from valenza.evaluation.protocol import training_prior
from valenza.files import write_whole
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.prepare import Prepared, clip_weights
from valenza.terminal import say

FILE = "calibration.json"
_MOST = 2_000
"""Validation clips that are heard; one scalar needs no more."""
SKIPPED = "no clip is kept for validation, so probabilities are as the network gives them (temperature 1)"


def fit_run(recipe: Recipe, prepared: Prepared, ear: Ear) -> dict[str, Any]:
    """Return the temperature and what it was fitted to, as results.json has it; `value` is 1 where nothing was.

    Only validation speakers are heard, never a scored zero-shot corpus. Corpora count as they do in training.
    """
    rows = prepared.parts["validation"]
    every = np.array(prepared.index["corpus"].to_pylist())
    rows = rows[sample(every[rows], min(_MOST, len(rows)), seed=recipe.seed)] if len(rows) else rows
    prior = training_prior(prepared.scores.targets, clip_weights(recipe, prepared))
    if not len(rows):
        return {"value": 1.0, "skipped": SKIPPED}
    logits = _logits(recipe, prepared, ear, rows)
    corpora = every[rows]
    fitted = fit_temperature(
        logits,
        prepared.scores.targets[rows],
        prepared.scores.known[rows] & (prior > 0),
        np.array([recipe.data.train[corpus] for corpus in corpora]),
        prior if recipe.evaluation.prior == "train" else None,
    )
    if fitted is None:
        return {"value": 1.0, "skipped": SKIPPED}
    return {
        "value": fitted.value,
        "clips": fitted.clips,
        "speakers": len(set(zip(corpora, prepared.index["speaker"].take(rows).to_pylist(), strict=True))),
        "corpora": sorted(set(corpora.tolist())),
        "nll_before": fitted.nll_before,
        "nll_after": fitted.nll_after,
    }


def _logits(
    recipe: Recipe, prepared: Prepared, ear: Ear, rows: Int64[np.ndarray, " clips"]
) -> Float[np.ndarray, "clips classes"]:
    """Hear the validation clips corpus by corpus, as the scored ones are heard."""
    reader, ids = Reader(recipe.data.shards, prepared.index), prepared.index["id"].to_pylist()
    heard: dict[int, np.ndarray] = {}
    for corpus, every in prepared.corpora.items():
        own = rows[np.isin(rows, every)].tolist()
        if own:
            found = ear.hear(reader, ids, every, own, label=f"hearing {corpus}'s validation speakers")
            heard.update(zip(own, found.logits[recipe.evaluation.frames], strict=True))
    return np.stack([heard[row] for row in rows.tolist()])


def write_temperature(run: Path, checkpoint: str, recipe: Recipe, found: dict[str, Any]) -> None:
    """Keep a checkpoint's temperature in the run folder, for `valenza predict`; one that is not ours keeps none."""
    entry = {**found, **_settings(recipe)}
    try:
        write_whole(json.dumps({**_read(run), checkpoint: entry}, indent=1) + "\n", run / FILE)
    except WriteError as error:
        say(f"{error}; `valenza predict` will use no temperature")


def read_temperature(run: Path, checkpoint: str, recipe: Recipe) -> float | None:
    """Return the temperature of a checkpoint, or None where it was never fitted or the protocol has changed since."""
    entry = _read(run).get(checkpoint)
    if not isinstance(entry, dict) or any(entry.get(k) != v for k, v in _settings(recipe).items()):
        return None
    value = entry.get("value")
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _settings(recipe: Recipe) -> dict[str, str]:
    """Return what a temperature holds for."""
    settings = recipe.evaluation
    return {"padding": settings.padding, "frames": settings.frames, "prior": settings.prior}


def _read(run: Path) -> dict[str, Any]:
    try:
        held = json.loads((run / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}
