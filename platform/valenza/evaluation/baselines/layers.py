"""A linear probe of every layer, of which the one that suits the scored corpus best is told: flattered on purpose."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from valenza.errors import UsageError
from valenza.evaluation.baselines.logistic import Logistic, fit
from valenza.evaluation.baselines.probe import equally
from valenza.evaluation.metrics import confusion, macro_f1, micro_f1
from valenza.evaluation.protocol import columns, predict, training_prior, truth


class LayerProbes:
    """One multinomial logistic regression a layer, fitted to all training clips, every corpus weighing the same.

    On the clips' one label and on all classes alike, with scikit-learn's meaning of the cost: the estimator that most
    would take first. The frozen probe is the one that knows of soft labels and of classes a corpus lacks.
    """

    COST = 3e-3
    """scikit-learn's C, for standardised means and weights whose mean is 1."""

    def __init__(
        self,
        features: Float[np.ndarray, "clips layers width"],
        scores: Float[np.ndarray, "clips classes"],
        corpora: Shaped[np.ndarray, " clips"],
    ) -> None:
        told = truth(scores)
        kept = told.scored
        if not kept.any():
            raise UsageError("no training clip has one label, so there is nothing to fit the layers' probes to")
        targets = np.eye(scores.shape[1])[told.labels[kept]]
        weights, everything = equally(corpora[kept]), np.ones(targets.shape, dtype=bool)
        decay, each = 1 / (self.COST * len(targets)), np.ones(len(targets))
        self.layers: list[Logistic] = [
            fit(features[kept, layer], targets, everything, weights, decay=decay, scaling=each)
            for layer in range(features.shape[1])
        ]
        self.prior = training_prior(targets, weights)

    def best(
        self,
        features: Float[np.ndarray, "clips layers width"],
        labels: Int[np.ndarray, " clips"],
        classes: Sequence[str],
        *,
        adjust: bool,
    ) -> tuple[Int[np.ndarray, "1 clips"], dict[str, Any]]:
        """Return the predictions of the layer with the best macro-F1 on these very clips, and what every layer scores.

        The choice has seen the answers, so a model that beats it beats every single layer.
        """
        predicted = [
            predict(probe.logits(features[:, layer]), classes, self.prior, adjust=adjust).argmax(axis=1)
            for layer, probe in enumerate(self.layers)
        ]
        counts = np.stack([confusion(labels, row, columns(classes)) for row in predicted])
        macro = macro_f1(counts)
        layer = int(macro.argmax())
        told = {"layer": layer, "flattered": True}
        scores = {"micro_f1": micro_f1(counts).tolist(), "macro_f1": macro.tolist()}
        return predicted[layer][None], {**told, "by_layer": scores}
