"""Turns what annotators said into scores over the targets, clip by clip."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64

from valenza.corpora.card import Card, weights
from valenza.errors import DataError
from valenza.labels.taxonomy import EMOTIONS, POSITION


@dataclass(frozen=True)
class Scores:
    """What the clips of an index mean."""

    values: Float64[np.ndarray, "clips classes"]
    """Weights of the targets, not normalised: the mass that is missing from 1 says how weak the emotion was."""
    known: Bool[np.ndarray, "clips classes"]
    """Which targets the clip's annotators could choose at all."""

    @property
    def used(self) -> Bool[np.ndarray, " clips"]:
        """Which clips say anything; the others have labels that their manifest leaves out."""
        return np.asarray(self.values.sum(axis=1) > 0)

    @property
    def targets(self) -> Float64[np.ndarray, "clips classes"]:
        """Scores that sum to 1, for the losses; rows of zeros where a clip says nothing."""
        total = self.values.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(self.values, total, out=np.zeros_like(self.values), where=total > 0))


def scores(index: pa.Table, cards: Mapping[str, Card]) -> Scores:
    """Score every clip of an index by its corpus's label map.

    Votes come before the label: the share of annotators behind each native label, times that label's weights.
    An intensity scales the row, so that a weak happiness is .6 rather than 1 (the mass that smoothing reads).
    Raises `DataError` for a native label that the manifest does not know, naming corpus, label and clip.
    """
    values = np.zeros((index.num_rows, len(EMOTIONS)))
    known = np.zeros((index.num_rows, len(EMOTIONS)), dtype=bool)
    rows = {corpus: _rows(card) for corpus, card in cards.items()}
    columns = (index[name].to_pylist() for name in ("id", "corpus", "label", "votes", "intensity"))
    unknown: dict[tuple[str, str], str] = {}
    for i, (clip, corpus, label, votes, intensity) in enumerate(zip(*columns, strict=True)):
        card, meanings = cards[corpus], rows[corpus]
        known[i] = meanings[None]
        said = {k: v for k, v in votes if v > 0} if votes else {}
        if not said and label is not None:
            said = {label: 1.0}
        total = sum(said.values())
        for native, count in said.items():
            if native not in meanings:
                unknown.setdefault((corpus, native), clip)
                continue
            values[i] += meanings[native] * (count / total)
        if intensity is not None and card.intensities:
            values[i] *= card.intensities.get(intensity, 1.0)
    if unknown:
        lines = (
            f"{corpus}: the label {native!r} of {clip} is not in the manifest"
            for (corpus, native), clip in unknown.items()
        )
        raise DataError("\n".join(lines))
    return Scores(values, known)


def _rows(card: Card) -> dict[str | None, Float64[np.ndarray, " classes"]]:
    """Native label → weights of the targets; under None, which targets are known."""
    rows: dict[str | None, Float64[np.ndarray, " classes"]] = {}
    for native, meaning in card.labels.items():
        row = np.zeros(len(EMOTIONS))
        for target, weight in weights(meaning).items():
            row[POSITION[target]] = weight
        rows[native] = row
    rows[None] = np.array([e in card.classes for e in EMOTIONS], dtype=float)
    return rows
