"""All baselines of a run: each fitted once to the training clips, when it is first asked for."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from valenza.evaluation.baselines import egemaps
from valenza.evaluation.baselines.chance import majority, random_head
from valenza.evaluation.baselines.layers import LayerProbes
from valenza.evaluation.baselines.probe import Probe, fit_probe
from valenza.evaluation.baselines.training import Training, training_clips
from valenza.evaluation.clips import Chosen
from valenza.evaluation.listen import Heard, layer_means
from valenza.evaluation.protocol import predict
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.frozen import Listener
from valenza.stages.prepare import Prepared


class Suite:
    """Predicts with every baseline that a recipe asks for."""

    def __init__(self, recipe: Recipe, prepared: Prepared, listener: Listener) -> None:
        self.recipe, self.listener = recipe, listener
        self._prepared = prepared

    def predictions(
        self, chosen: Chosen, heard: Heard, prior: Float[np.ndarray, " classes"]
    ) -> Iterator[tuple[str, Int[np.ndarray, "draws clips"], dict[str, Any]]]:
        """Yield name, predictions for the scored clips, and what else is to be told of each baseline.

        `heard` is what the trained network heard of all chosen clips.
        """
        recipe, own = self.recipe, chosen.scored
        rows, labels, classes = chosen.rows[own], chosen.labels[own], chosen.classes
        adjust = recipe.evaluation.prior == "train"
        random = random_head(heard.read[recipe.evaluation.frames][own], classes, seed=recipe.seed)
        yield "random_head", random, {"draws": len(random)}
        yield "majority", majority(prior, classes, len(labels)), {}
        reader, ids, every = chosen.reader(recipe), chosen.ids, list(range(chosen.index.num_rows))
        means = layer_means(self.listener, reader, ids, every, rows.tolist(), label=f"frozen probe: {chosen.card.id}")
        fitted = self.probe
        probed = predict(fitted.logits(means), classes, fitted.prior, adjust=adjust).argmax(axis=1)
        yield "frozen_probe", probed[None], {"layer": fitted.layer, "chosen_on_held_out": fitted.unit}
        if "best_layer_probe" in recipe.evaluation.baselines:
            yield "best_layer_probe", *self.layer_probes.best(means, labels, classes, adjust=adjust)
        if "egemaps_svm" in recipe.evaluation.baselines:
            features = _functionals(reader, ids, every, rows.tolist(), chosen.card.id)
            yield "egemaps_svm", *self.machine.predict(features, classes)

    @cached_property
    def training(self) -> Training:
        """The clips that they are fitted to."""
        return training_clips(self.recipe, self._prepared)

    @cached_property
    def _means(self) -> np.ndarray:
        return self.training.layer_means(self.listener)

    @cached_property
    def probe(self) -> Probe:
        """The linear probe whose layer was chosen on held-out training clips."""
        clips = self.training
        return fit_probe(self._means, clips.scores, clips.known, **clips.groups)

    @cached_property
    def layer_probes(self) -> LayerProbes:
        """A linear probe of every layer."""
        clips = self.training
        return LayerProbes(self._means, clips.scores, clips.groups["corpora"])

    @cached_property
    def machine(self) -> egemaps.Machine:
        """The support vector machine."""
        clips = self.training
        found: np.ndarray | None = None
        for corpus, every in clips.every.items():
            mine = np.flatnonzero(np.isin(clips.rows, every))
            own = _functionals(clips.reader, clips.ids, every, clips.rows[mine].tolist(), corpus)
            found = np.zeros((len(clips.rows), own.shape[1]), dtype=np.float32) if found is None else found
            found[mine] = own
        return egemaps.Machine(np.asarray(found), clips.scores, clips.groups["corpora"], seed=self.recipe.seed)


def _functionals(
    reader: Reader, ids: Sequence[str], every: Sequence[int], rows: Sequence[int], corpus: str
) -> np.ndarray:
    """Return these rows' functionals; those of the whole corpus are kept where they are most of it."""
    label = f"eGeMAPS of {corpus}"
    if 2 * len(rows) < len(every):
        return egemaps.functionals(reader, ids, rows, label=label)
    return egemaps.functionals(reader, ids, every, label=label)[np.searchsorted(every, rows)]
