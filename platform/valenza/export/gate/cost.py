"""What an exported model's precision costs: its score on the corpora that the run is scored on."""

from pathlib import Path
from typing import Any

import numpy as np

from valenza.evaluation.clips import choose
from valenza.evaluation.metrics import confusion, macro_f1, micro_f1
from valenza.evaluation.protocol import columns
from valenza.inference.model import SHORTEST, Engine
from valenza.recipe import Recipe
from valenza.shards.index import DESCRIPTION
from valenza.stages.prepare import prepare
from valenza.terminal import track

MOST = 0.01
"""Of macro-F1 that eight bits, or halves, may cost."""


def scored_corpora(recipe: Recipe) -> list[str]:
    """Return the zero-shot corpora of a recipe whose shards are here; none unless those of training are here too.

    Training's tell which classes a score is over, and how often it had each.
    """
    shards = recipe.data.shards
    if not isinstance(shards, Path):
        return list(recipe.data.zero_shot)
    here = {name for name in (*recipe.data.train, *recipe.data.zero_shot) if (shards / name / DESCRIPTION).is_file()}
    return [name for name in recipe.data.zero_shot if name in here] if here >= {*recipe.data.train} else []


def precision_cost(recipe: Recipe, exact: Engine, engine: Engine) -> dict[str, dict[str, Any]]:
    """Return micro- and macro-F1 of both on every zero-shot corpus, each clip at its own length.

    The classes are those of the corpus that training had; probabilities are as the models give them.
    """
    told: dict[str, dict[str, Any]] = {}
    prepared = prepare(recipe)
    for name in scored_corpora(recipe):
        chosen = choose(recipe, name, prepared)
        rows, labels = chosen.rows[chosen.scored], chosen.labels[chosen.scored]
        reader, allowed = chosen.reader(recipe), columns(chosen.classes)
        shares: dict[str, list[np.ndarray]] = {"network": [], "exported": []}
        for row in track(rows, f"scoring {name}", len(rows)):
            clip = reader.audio(int(row))
            audio = np.zeros((1, max(len(clip), SHORTEST)), np.float32)
            audio[0, : len(clip)] = clip / np.float32(32768)
            for kind, each in (("network", exact), ("exported", engine)):
                shares[kind].append(each(audio, np.array([audio.shape[1]]))["mixture"][0])
        told[name] = _scores(shares, labels, allowed)
    return told


def _scores(shares: dict[str, list[np.ndarray]], labels: np.ndarray, allowed: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {"clips": len(labels)}
    decided = {}
    for kind, rows in shares.items():
        best = np.stack(rows)[:, allowed].argmax(axis=1)
        decided[kind] = np.asarray(allowed)[best]
        counts = confusion(labels, decided[kind], allowed)
        found[kind] = {"micro_f1": float(micro_f1(counts)), "macro_f1": float(macro_f1(counts))}
    found["macro_f1_loss"] = found["network"]["macro_f1"] - found["exported"]["macro_f1"]
    found["same_label"] = float((decided["network"] == decided["exported"]).mean())
    return found
