"""openSMILE's eGeMAPS functionals with a linear support vector machine: what was usual before transformers."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from valenza.errors import UsageError
from valenza.evaluation.baselines.probe import equally
from valenza.evaluation.protocol import columns, truth
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.shards.read import Reader
from valenza.stages.frozen import keep
from valenza.terminal import track

SET = "eGeMAPSv02"
"""88 functionals (Eyben et al. 2016)."""
INSTALL = "the baseline egemaps_svm needs `pip install valenza[baselines]`"


def functionals(
    reader: Reader, ids: Sequence[str], rows: Sequence[int], *, label: str
) -> Float32[np.ndarray, "clips functionals"]:
    """Return the functionals of these clips, kept under `$VALENZA_CACHE`; 0 for what is not defined in a clip.

    Raises `UsageError` where openSMILE is not installed.
    """
    file = _file(reader, ids, rows)
    if file.exists():
        return np.asarray(np.load(file))
    try:
        import opensmile
    except ImportError:
        raise UsageError(INSTALL) from None
    smile = opensmile.Smile(opensmile.FeatureSet[SET], opensmile.FeatureLevel.Functionals)
    found = np.zeros((len(rows), smile.num_features), dtype=np.float32)
    for i, row in enumerate(track(rows, label, len(rows))):
        found[i] = smile.process_signal(reader.audio(row) / np.float32(32768), SAMPLE_RATE).to_numpy()[0]
    found = np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
    keep(file, found)
    return found


class Machine:
    """A linear support vector machine, one class against the others, on standardised functionals."""

    C = 0.01
    """Cost of a clip on the wrong side; fixed, so that nothing is chosen on what is scored."""

    def __init__(
        self,
        features: Float32[np.ndarray, "clips functionals"],
        scores: Float[np.ndarray, "clips classes"],
        corpora: Shaped[np.ndarray, " clips"],
        *,
        seed: int,
    ) -> None:
        try:
            from sklearn.preprocessing import StandardScaler
            from sklearn.svm import LinearSVC
        except ImportError:
            raise UsageError(INSTALL) from None
        told = truth(scores)
        weights = equally(corpora[told.scored])
        weights = weights / weights.mean()
        self.scaler = StandardScaler().fit(features[told.scored].astype(np.float64), sample_weight=weights)
        self.machine = LinearSVC(C=self.C, dual=False, random_state=seed)
        self.machine.fit(self._standard(features[told.scored]), told.labels[told.scored], sample_weight=weights)

    def predict(
        self, features: Float32[np.ndarray, "clips functionals"], classes: Sequence[str]
    ) -> tuple[Int[np.ndarray, "1 clips"], dict[str, Any]]:
        """Return the class on whose side each clip lies deepest, among those that its corpus has.

        A machine gives no probabilities, so no prior is subtracted. Raises `UsageError` where training had none of
        `classes`, or fewer than two.
        """
        distance = self.machine.decision_function(self._standard(features))
        trained = self.machine.classes_.astype(np.int64)
        if distance.ndim == 1:  # two classes share one plane
            distance = np.stack([-distance, distance], axis=1)
        allowed = np.isin(trained, columns(classes))
        if not allowed.any():
            raise UsageError(f"none of {', '.join(classes)} was in the training labels of egemaps_svm")
        chosen = np.where(allowed, distance, -np.inf).argmax(axis=1)
        return trained[chosen][None], {"features": SET}

    def _standard(self, features: Float32[np.ndarray, "clips functionals"]) -> Float[np.ndarray, "clips functionals"]:
        return np.asarray(self.scaler.transform(features.astype(np.float64)))


def _file(reader: Reader, ids: Sequence[str], rows: Sequence[int]) -> Path:
    digest = hashlib.sha256(f"1 {SET}".encode())
    for row in rows:
        digest.update(f"{ids[row]} {reader.checksum(row)}\n".encode())
    root = Path(os.environ.get("VALENZA_CACHE", Path.home() / ".cache" / "valenza"))
    return root / "functionals" / f"{digest.hexdigest()[:32]}.npy"
