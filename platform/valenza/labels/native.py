"""What annotators said in the corpus's own classes, as ratings between 0 and 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64

from valenza.config import suggestion
from valenza.corpora.card import Card
from valenza.errors import DataError, UsageError
from valenza.labels.taxonomy import EMOTIONS
from valenza.recipe import Recipe


def outputs(recipe: Recipe) -> tuple[str, ...]:
    """Return what a recipe's network has logits for: the 8 emotions, or the native classes that it is adapted to."""
    if recipe.adapt is None or recipe.adapt.outputs == "emotions":
        return EMOTIONS
    return recipe.adapt.outputs


@dataclass(frozen=True)
class Ratings:
    """How much of each native class is in each clip."""

    values: Float64[np.ndarray, "clips outputs"]
    """0 … 1; they need not sum to 1."""
    rated: Bool[np.ndarray, " clips"]
    """Which clips have votes or a label."""


def native_ratings(index: pa.Table, cards: Mapping[str, Card], names: Sequence[str]) -> Ratings:
    """Return the native ratings of every clip of an index, one column for each of `names`.

    Votes are divided by the highest mark where the manifest says that they are marks (`ratings`), and by the clip's
    votes where they are counts; without votes, the label's own output is 1. Raises `UsageError` for an output that no
    corpus speaks of, and `DataError` for a mark above the highest.
    """
    native = sorted({label for card in cards.values() for label in card.labels})
    if strange := [name for name in names if name not in native]:
        told = "; ".join(f"{name!r} is no label of {', '.join(cards)}{suggestion(name, native)}" for name in strange)
        raise UsageError(f"adapt.outputs: {told}")
    column = {name: i for i, name in enumerate(names)}
    values = np.zeros((index.num_rows, len(names)))
    rated = np.zeros(index.num_rows, dtype=bool)
    columns = (index[name].to_pylist() for name in ("id", "corpus", "label", "votes"))
    for i, (clip, corpus, label, votes) in enumerate(zip(*columns, strict=True)):
        said = dict(votes) if votes else ({label: 1.0} if label is not None else {})
        marks = cards[corpus].ratings if votes else None
        whole = sum(said.values()) if marks is None else marks
        rated[i] = whole > 0 and bool(said)
        for name, value in said.items():
            if name not in column or not rated[i]:
                continue
            if not 0 <= value <= whole:
                raise DataError(f"{corpus}: {clip} rates {name!r} with {value:g}, beyond 0 … {whole:g}")
            values[i, column[name]] = value / whole
    return Ratings(values, rated)
