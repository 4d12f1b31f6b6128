"""A fresh linear probe: how well corpus, speaker and language can be told from what the emotion head reads."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped

from valenza.evaluation.baselines.logistic import fit
from valenza.evaluation.clips import sample
from valenza.evaluation.listen import Ear
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.prepare import Prepared

_CLIPS = 1_500
"""The most training clips that are heard for the probe."""
_HELD_OUT = 4
"""One recording in so many is held out."""


def domain_probe(
    representations: Float[np.ndarray, "clips width"],
    *,
    corpus: Shaped[np.ndarray, " clips"],
    speaker: Shaped[np.ndarray, " clips"],
    language: Shaped[np.ndarray, " clips"],
    held_out: Bool[np.ndarray, " clips"],
) -> dict[str, dict[str, float]]:
    """Return how well a linear classifier tells corpus, speaker and language of clips that it was not fitted to.

    For each of the three: `accuracy`, `ua` (mean recall), `majority` (what naming the commonest one scores), `classes`
    and `clips`. The classifier is logistic regression with scikit-learn's default penalty (C = 1) on standardised
    features, so it sees what a linear head can use and nothing of the adversary's own head, which may have become
    useless. A held-out clip whose name was never fitted does not count. What has one name only is left out.
    """
    said = {"corpus": corpus, "speaker": np.char.add(np.char.add(corpus.astype(str), "/"), speaker.astype(str))}
    x, found = representations.astype(np.float64), {}
    for kind, names in {**said, "language": language}.items():
        classes, number = np.unique(names, return_inverse=True)
        scored = held_out & np.isin(number, number[~held_out])
        if len(classes) < 2 or not scored.any() or len(np.unique(number[~held_out])) < 2:
            continue
        targets = np.eye(len(classes))[number[~held_out]]
        known, weights = np.ones(targets.shape, dtype=bool), np.ones(len(targets))
        fitted = fit(x[~held_out], targets, known, weights, decay=1 / len(targets))
        right = fitted.logits(x[scored]).argmax(axis=1) == number[scored]
        of = np.bincount(number[scored], minlength=len(classes))
        recall = np.bincount(number[scored], weights=right, minlength=len(classes))[of > 0] / of[of > 0]
        commonest = np.bincount(number[~held_out]).argmax()
        found[kind] = {
            "accuracy": float(right.mean()),
            "ua": float(recall.mean()),
            "majority": float((number[scored] == commonest).mean()),
            "classes": int((of > 0).sum()),
            "clips": int(scored.sum()),
        }
    return found


def hold_out(corpora: Sequence[str], recordings: Sequence[str]) -> Bool[np.ndarray, " clips"]:
    """Hold out every fourth recording, by the digest of its name, so that clips of one take stay together."""
    digests = (hashlib.sha256(f"{c} {r}".encode()).digest() for c, r in zip(corpora, recordings, strict=True))
    return np.array([int.from_bytes(d[:8], "big") % _HELD_OUT == 0 for d in digests], dtype=bool)


def representations(
    recipe: Recipe, prepared: Prepared, ear: Ear, rows: Sequence[int]
) -> Float[np.ndarray, "clips width"]:
    """Return what the last layer of the trained head reads of these clips of the training corpora."""
    reader, ids = Reader(recipe.data.shards, prepared.index), [str(i) for i in prepared.index["id"].to_pylist()]
    found = np.zeros((len(rows), ear.network.head.width), dtype=np.float32)
    device = next(ear.network.parameters()).device
    for corpus, every in prepared.corpora.items():
        mine = np.flatnonzero(np.isin(rows, every))
        if not len(mine):
            continue
        own = [rows[i] for i in mine.tolist()]
        read = ear.hear(reader, ids, every, own, label=f"domain probe: {corpus}").read[recipe.evaluation.frames]
        with torch.inference_mode():
            found[mine] = ear.network.represent(torch.from_numpy(read).to(device)).cpu().numpy()
    return found


def probe_run(recipe: Recipe, prepared: Prepared, ear: Ear) -> dict[str, Any]:
    """Probe a trained network on a sample of the clips that it was trained on, as results.json has it."""
    rows = prepared.parts["train"]
    corpora = np.array(prepared.index["corpus"].to_pylist())[rows]
    rows = rows[sample(corpora, min(_CLIPS, len(rows)), seed=recipe.seed)]
    taken = prepared.index.take(rows)
    names = {name: taken[name].to_pylist() for name in ("corpus", "speaker", "language", "recording")}
    return domain_probe(
        representations(recipe, prepared, ear, rows.tolist()),
        corpus=np.array(names["corpus"]),
        speaker=np.array(names["speaker"]),
        language=np.array(names["language"]),
        held_out=hold_out(names["corpus"], names["recording"]),
    )
