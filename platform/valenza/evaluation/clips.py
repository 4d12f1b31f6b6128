"""Which clips of a corpus are scored, and what is known of each."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int, Int64, Shaped

from valenza.corpora.card import Card
from valenza.errors import DataError
from valenza.evaluation.leakage import leaks
from valenza.evaluation.protocol import scored_classes, truth
from valenza.evaluation.score import Groups
from valenza.labels.harmonise import scores
from valenza.labels.taxonomy import Emotion
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.shards.stored import read_cards, read_index
from valenza.stages.prepare import Prepared


@dataclass(frozen=True)
class Chosen:
    """The clips of one corpus that an evaluation hears."""

    index: pa.Table
    """Of the whole corpus."""
    card: Card
    rows: Int64[np.ndarray, " clips"]
    targets: Float[np.ndarray, "clips classes"]
    """What annotators said, normalised."""
    labels: Int[np.ndarray, " clips"]
    """The one label of each clip, or -1 where its two highest scores are equal."""
    known: Bool[np.ndarray, " classes"]
    """What its annotators could choose."""
    part: Literal["all", "validation", "test"]
    """Which part of the corpus they are; `all` of one that was not trained on."""

    @property
    def zero_shot(self) -> bool:
        """Whether nothing of the corpus was trained on."""
        return self.part == "all"

    @property
    def left_out(self) -> int:
        """How many clips of that part have no one label to be scored by."""
        return (self.index.num_rows if self.zero_shot else len(self.rows)) - int(self.scored.sum())

    @property
    def scored(self) -> Bool[np.ndarray, " clips"]:
        """Which clips have one label."""
        return np.asarray(self.labels >= 0)

    @property
    def classes(self) -> tuple[Emotion, ...]:
        """The classes that are scored."""
        return scored_classes(self.labels, self.known)

    @property
    def ids(self) -> list[str]:
        """The ids of the whole corpus."""
        return [str(clip) for clip in self.index["id"].to_pylist()]

    def groups(self) -> Groups:
        """Return what divides the clips, and is drawn again for intervals."""
        taken = self.index.take(self.rows)
        names = ("speaker", "recording", "language", "gender")
        return {name: np.array([value or "unknown" for value in taken[name].to_pylist()]) for name in names}

    def reader(self, recipe: Recipe) -> Reader:
        """Return the audio of the whole corpus."""
        return Reader(recipe.data.shards, self.index)


def choose(recipe: Recipe, name: str, prepared: Prepared) -> Chosen:
    """Return the clips that a corpus is scored on: all, or the held-back part of one that was trained on.

    Raises `DataError` where it has none, or is said to be zero-shot and shares takes, speakers, samples or its language
    with what was trained on or kept for validation, which the temperature is fitted to.
    """
    index, cards = read_index(recipe.data.shards, [name]), read_cards(recipe.data.shards, [name])
    meaning = scores(index, cards)
    part: Literal["all", "validation", "test"] = "all"
    if name in recipe.data.train:
        part, own = held_back(prepared, name)
        kept = set(prepared.index["id"].take(own).to_pylist())
        rows = np.array([i for i, clip in enumerate(index["id"].to_pylist()) if clip in kept], dtype=np.int64)
    else:
        rows = np.flatnonzero(meaning.used)
        met = prepared.index.take(np.concatenate([prepared.parts["train"], prepared.parts["validation"]]))
        if found := leaks(met, index, cross_lingual=recipe.data.claim == "cross_lingual"):
            raise DataError(f"{name}: a score on it would not be zero-shot: " + "; ".join(found))
    labels = truth(meaning.targets[rows]).labels
    if not (labels >= 0).any():
        raise DataError(f"{name}: no clip of it has a label to score by")
    known = np.asarray(meaning.known.any(axis=0))
    return Chosen(index, cards[name], rows, meaning.targets[rows], labels, known, part)


def held_back(prepared: Prepared, corpus: str) -> tuple[Literal["validation", "test"], Int64[np.ndarray, " clips"]]:
    """Return the part that a corpus which was trained on is scored by: its test part, else its validation part.

    The two are not put together: the test part is what others report, and validation speakers set the temperature.
    Raises `DataError` where all of it was trained on.
    """
    for part in ("test", "validation"):
        rows = prepared.rows_of(part)[corpus]
        if len(rows):
            return ("test" if part == "test" else "validation"), rows
    raise DataError(f"{corpus}: all of it was trained on, so there is nothing to score it by")


def sample(corpora: Shaped[np.ndarray, " clips"], limit: int, *, seed: int) -> Int[np.ndarray, " samples"]:
    """Return at most `limit` clip numbers, in order, as evenly over the corpora as their sizes allow.

    A linear probe, or one temperature, needs no more.
    """
    generator = np.random.default_rng(seed)
    names, sizes = np.unique(corpora, return_counts=True)
    taken: list[np.ndarray] = []
    left = limit
    for done, i in enumerate(np.argsort(sizes, kind="stable")):  # what a small corpus lacks, the larger ones give
        share = min(int(sizes[i]), left // (len(names) - done))
        taken.append(generator.choice(np.flatnonzero(corpora == names[i]), share, replace=False))
        left -= share
    return np.sort(np.concatenate(taken)).astype(np.int64)
