"""The training clips that baselines are fitted to, and what each layer of the untrained encoder says of them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, Shaped

from valenza.evaluation.clips import sample
from valenza.evaluation.listen import layer_means
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.frozen import Listener
from valenza.stages.prepare import Prepared

_CLIPS = 6_000
"""The most training clips that a baseline is fitted to."""


@dataclass(frozen=True)
class Training:
    """The training clips that baselines are fitted to."""

    reader: Reader
    ids: list[str]
    """Of all clips in the training corpora."""
    rows: Int64[np.ndarray, " clips"]
    scores: Float[np.ndarray, "clips classes"]
    known: Bool[np.ndarray, "clips classes"]
    groups: dict[str, Shaped[np.ndarray, " clips"]]
    """`corpora`, `languages` and `speakers`."""
    every: dict[str, list[int]]
    """Corpus → all its rows."""

    def layer_means(self, listener: Listener) -> Float32[np.ndarray, "clips layers width"]:
        """Hear these clips corpus by corpus; a corpus that training heard whole is not heard again."""
        heard = np.zeros((len(self.rows), listener.encoder.depth, listener.encoder.width), dtype=np.float32)
        for corpus, every in self.every.items():
            mine = np.flatnonzero(np.isin(self.rows, every))
            if len(mine):
                own = self.rows[mine].tolist()
                label = f"frozen probe: {corpus}"
                heard[mine] = layer_means(listener, self.reader, self.ids, every, own, label=label)
        return heard


def training_clips(recipe: Recipe, prepared: Prepared) -> Training:
    """Return training clips, at most 6,000, evenly over the corpora."""
    rows = prepared.parts["train"]
    corpora = np.array(prepared.index["corpus"].to_pylist())[rows]
    rows = rows[sample(corpora, min(_CLIPS, len(rows)), seed=recipe.seed)]
    taken = prepared.index.take(rows)
    names = {"corpora": "corpus", "languages": "language", "speakers": "speaker"}
    return Training(
        Reader(recipe.data.shards, prepared.index),
        prepared.index["id"].to_pylist(),
        rows,
        prepared.scores.targets[rows],
        prepared.scores.known[rows],
        {name: np.array(taken[column].to_pylist()) for name, column in names.items()},
        prepared.corpora,
    )
