"""Turns what annotators said into scores over the targets, for all clips at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from valenza.corpora.card import Card, weights
from valenza.errors import DataError
from valenza.labels.taxonomy import EMOTIONS, NEUTRAL, POSITION

_BEYOND = 1 + 1e-6
"""A mark may exceed the highest by what rounding does to a mean of marks."""


@dataclass(frozen=True)
class Scores:
    """What the clips of an index mean."""

    values: Float64[np.ndarray, "clips classes"]
    """Weights of the targets, not normalised: the mass that is missing from 1 says how weak the emotion was."""
    known: Bool[np.ndarray, "clips classes"]
    """Which targets the clip's annotators could choose at all, in the copy of the corpus that is here."""
    used: Bool[np.ndarray, " clips"]
    """Which clips say anything, if only that no emotion was heard; the others have labels that mean nothing here."""

    @property
    def targets(self) -> Float64[np.ndarray, "clips classes"]:
        """Scores over what each clip's corpus knows that sum to 1, for the losses.

        A clip that is used and has no mass, because every emotion was marked 0, is neutral. Rows of zeros where a clip
        is not used.
        """
        inside = np.where(self.known, self.values, 0.0)
        total = inside.sum(axis=1, keepdims=True)
        shares = np.divide(inside, total, out=np.zeros_like(inside), where=total > 0)
        shares[self.used & (total[:, 0] <= 0), NEUTRAL] = 1.0
        return np.asarray(shares)

    def with_values(self, values: Float64[np.ndarray, "clips classes"]) -> "Scores":
        """Return the same clips with other scores, such as smoothed ones."""
        return replace(self, values=values)


def scores(index: pa.Table, cards: Mapping[str, Card]) -> Scores:
    """Score every clip of an index by its corpus's label map; reads `id`, `corpus`, `label`, `votes` and `intensity`.

    Votes come before the label: the share of annotators behind each native label times that label's weights. Where the
    manifest says `ratings`, they are marks instead, each worth its share of the highest mark, and nothing is
    normalised over the clip; several labels of one target add up to 1 at most. An intensity scales the row, so that a
    weak happiness is .6 rather than 1 (the mass that smoothing reads). Raises `DataError` for a native label that the
    manifest does not know and for a mark beyond the highest, naming corpus, label and clip.
    """
    corpora = _coded(index["corpus"])
    present = [cards[name] for name in corpora.values]
    clips, corpus = len(index), corpora.codes
    rated = np.array([card.ratings is not None for card in present], dtype=bool)
    said = _said(index, rated[corpus])
    maps, of = _Maps(present, said.natives), corpus[said.clip]
    meaning, highest = maps.meaning[of, said.native], maps.highest[of]
    _refuse(index, said, ~maps.listed[of, said.native] & (said.amount > 0), "is not in the manifest")
    _refuse(index, said, said.vote & (said.amount > highest * _BEYOND), "is marked beyond the manifest's `ratings`")
    whole = np.where(said.vote & rated[of], highest, np.bincount(said.clip, said.amount, minlength=clips)[said.clip])
    share = np.divide(said.amount, whole, out=np.zeros_like(said.amount), where=whole > 0)
    summed = [np.bincount(said.clip, share * column, minlength=clips) for column in meaning.T]
    values = np.minimum(np.stack(summed, axis=1), 1.0) * _strength(index["intensity"], present, corpus)[:, None]
    known = maps.known(of, said)[corpus]
    says = np.bincount(said.clip, meaning.any(axis=1), minlength=clips) > 0
    return Scores(values, known, says & ((values > 0).any(axis=1) | known[:, NEUTRAL]))


@dataclass(frozen=True)
class _Coded:
    codes: Int64[np.ndarray, " rows"]
    """Number of each row's value; -1 where it has none."""
    values: list[str]


@dataclass(frozen=True)
class _Said:
    """Everything that was said of any clip, one entry for each native label of a clip, in the order of the clips."""

    clip: Int64[np.ndarray, " entries"]
    native: Int64[np.ndarray, " entries"]
    amount: Float64[np.ndarray, " entries"]
    vote: Bool[np.ndarray, " entries"]
    """Whether it comes from votes rather than being the clip's one label."""
    natives: list[str]


class _Maps:
    """The label maps of several manifests as arrays over [corpora, natives]."""

    def __init__(self, cards: Sequence[Card], natives: Sequence[str]) -> None:
        self.listed = np.array([[n in card.labels for n in natives] for card in cards], dtype=bool)
        self.listed = self.listed.reshape(len(cards), len(natives))
        self.meaning = np.zeros((len(cards), len(natives), len(EMOTIONS)))
        for i, j in np.argwhere(self.listed):
            for target, weight in weights(cards[i].labels[natives[j]]).items():
                self.meaning[i, j, POSITION[target]] = weight
        self.cards = cards
        self.highest = np.array([np.inf if card.ratings is None else card.ratings for card in cards])

    def known(self, of: Int64[np.ndarray, " entries"], said: _Said) -> Bool[np.ndarray, "corpora classes"]:
        """Return what each corpus knows: its manifest's `known`, or what the labels reach that any of its clips has.

        A copy without a corpus's fearful clips must not teach that none of its voices is afraid.
        """
        occurs = np.zeros(self.listed.shape, dtype=bool)
        occurs[of, said.native] = True
        reached = np.asarray((self.meaning * occurs[:, :, None] > 0).any(axis=1))
        for corpus, card in enumerate(self.cards):
            allowed = np.array([e in card.classes for e in EMOTIONS], dtype=bool)
            if card.known is not None:
                reached[corpus] = allowed
            elif card.ratings is not None or 0.0 in card.intensities.values():
                reached[corpus, NEUTRAL] = allowed[NEUTRAL]  # is what no mark at all says
        return reached


def _said(index: pa.Table, rated: Bool[np.ndarray, " clips"]) -> _Said:
    """Collect the votes of each clip, or its label where it has none; marks of 0 are kept, counts of 0 are not."""
    votes = _whole(index["votes"])
    offsets = np.asarray(votes.offsets.to_numpy(zero_copy_only=False), dtype=np.int64)
    clip = np.repeat(np.arange(len(index)), np.diff(offsets)) if len(index) else np.empty(0, dtype=np.int64)
    inside = slice(offsets[0], offsets[-1]) if len(offsets) else slice(0, 0)
    native = _coded(votes.keys[inside])
    amount = np.asarray(votes.items[inside].to_numpy(zero_copy_only=False), dtype=np.float64)
    kept = (amount > 0) | ((amount == 0) & rated[clip])
    label = _coded(index["label"])
    alone = (np.bincount(clip[kept], minlength=len(index)) == 0) & (label.codes >= 0)
    clips = np.concatenate([clip[kept], np.flatnonzero(alone)])
    order = np.argsort(clips, kind="stable")
    natives = np.concatenate([native.codes[kept], label.codes[alone] + len(native.values)])
    return _Said(
        clips[order],
        natives[order],
        np.concatenate([amount[kept], np.ones(alone.sum())])[order],
        np.concatenate([np.ones(kept.sum(), dtype=bool), np.zeros(alone.sum(), dtype=bool)])[order],
        native.values + label.values,
    )


def _strength(
    column: pa.ChunkedArray, cards: Sequence[Card], corpus: Int64[np.ndarray, " clips"]
) -> Float64[np.ndarray, " clips"]:
    """Return what each clip's intensity leaves of its scores; all of it where the manifest does not list it."""
    intensity = _coded(column)
    left = [[card.intensities.get(value, 1.0) for value in [*intensity.values, ""]] for card in cards]
    # the last column is for clips without an intensity, whose code is -1
    table = np.array(left, dtype=np.float64).reshape(len(cards), len(intensity.values) + 1)
    table[:, -1] = 1.0
    return np.asarray(table[corpus, intensity.codes])


def _refuse(index: pa.Table, said: _Said, wrong: Bool[np.ndarray, " entries"], what: str) -> None:
    """Raise `DataError` that names every label of which something is wrong, with the first clip that has it."""
    first: dict[tuple[str, str], str] = {}
    for entry in np.flatnonzero(wrong).tolist():
        clip = int(said.clip[entry])
        corpus, native = index["corpus"][clip].as_py(), said.natives[said.native[entry]]
        first.setdefault((corpus, native), index["id"][clip].as_py())
    if first:
        raise DataError(
            "\n".join(f"{corpus}: the label {native!r} of {clip} {what}" for (corpus, native), clip in first.items())
        )


def _coded(column: pa.ChunkedArray | pa.Array) -> _Coded:
    """Number the values of a column of text."""
    encoded = _whole(column).dictionary_encode()
    codes = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
    return _Coded(codes, encoded.dictionary.to_pylist())


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
