"""What every stage starts from: the index, what its clips mean, who is trained on, and the stream of windows."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from valenza.config import suggestion
from valenza.corpora.card import Card
from valenza.errors import DataError, UsageError
from valenza.features.batch import FRAME
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.harmonise import Scores, scores
from valenza.labels.native import native_ratings
from valenza.labels.smoothing import smooth
from valenza.labels.taxonomy import EMOTIONS
from valenza.mixture.blocks import HeldIndex
from valenza.mixture.fewshot import few_shot
from valenza.mixture.stream import Peers, WindowStream
from valenza.mixture.weights import split
from valenza.recipe import Recipe
from valenza.shards.index import CARD, DESCRIPTION
from valenza.shards.read import Reader
from valenza.shards.stored import read_bytes, read_cards, read_index

PRIOR = "prior.json"


@dataclass(frozen=True)
class Prepared:
    """The training corpora of a recipe, read and divided."""

    index: pa.Table
    cards: dict[str, Card]
    scores: Scores
    """Over the emotions, whatever is trained."""
    targets: Float64[np.ndarray, "clips outputs"]
    """What the losses want of each clip: its emotions, smoothed as the recipe says and then normalised, or the native
    ratings of an adapted run."""
    known: Bool[np.ndarray, "clips outputs"]
    parts: dict[str, Int64[np.ndarray, " rows"]]
    """`train`, `validation`, `test` → clip numbers."""
    digest: str
    """Changes when a shard, the index or a label map does."""

    @property
    def durations(self) -> Float64[np.ndarray, " clips"]:
        """Seconds that each clip takes up in a window, in whole frames."""
        samples = self.index["samples"].to_numpy()
        return np.asarray(-(-samples // FRAME) * (FRAME / SAMPLE_RATE))

    @property
    def corpora(self) -> dict[str, list[int]]:
        """Corpus → all its clip numbers."""
        found: dict[str, list[int]] = {corpus: [] for corpus in self.cards}
        for row, corpus in enumerate(self.index["corpus"].to_pylist()):
            found[corpus].append(row)
        return found

    def rows_of(self, part: str) -> dict[str, Int64[np.ndarray, " rows"]]:
        """Return corpus → its clip numbers in a part."""
        corpora = np.array(self.index["corpus"].to_pylist())
        rows = self.parts[part]
        return {corpus: rows[corpora[rows] == corpus] for corpus in self.cards}


def prepare(recipe: Recipe) -> Prepared:
    """Read the training corpora of a recipe; raises `DataError` where one has nothing to train on."""
    names = sorted(recipe.data.train)
    index = read_index(recipe.data.shards, names)
    cards = read_cards(recipe.data.shards, names)
    meaning = scores(index, cards)
    targets, known, used = _wanted(recipe, index, cards, meaning)
    used = used & ~set_aside(index, recipe.data.aside)
    few = None if recipe.adapt is None else recipe.adapt.per_class
    parts = split(index, used, validation=0.0 if few else recipe.data.validation, seed=recipe.seed)
    if few:
        parts = few_shot(index, parts, targets, per_class=few, seed=recipe.seed)
    if _of_emotions(recipe):
        trained = np.isin(np.arange(index.num_rows), parts["train"])
        targets = smooth(meaning, index["corpus"].to_pylist(), recipe.data.smoothing, within=trained).targets
        if recipe.data.labels == "hard":
            targets = highest(targets)
    digest = hashlib.sha256()
    for name in names:
        for file in (DESCRIPTION, CARD):
            digest.update(read_bytes(recipe.data.shards / name, file))
    prepared = Prepared(index, cards, meaning, targets, known, parts, digest.hexdigest())
    if empty := [corpus for corpus, rows in prepared.rows_of("train").items() if not len(rows)]:
        raise DataError(
            f"no clip of {', '.join(empty)} can be trained on: their labels mean nothing or their splits hold them back"
        )
    longest = prepared.durations.max()
    if longest > recipe.data.window_seconds + 1e-9:
        raise DataError(f"a clip of {longest:.2f} s does not fit into windows of {recipe.data.window_seconds:g} s")
    return prepared


def set_aside(index: pa.Table, speakers: Sequence[str]) -> Bool[np.ndarray, " clips"]:
    """Return which clips are of speakers that are named `corpus/speaker`; raises `DataError` for one who is not there.

    The corpora of the names are those of the index.
    """
    named = zip(index["corpus"].to_pylist(), index["speaker"].to_pylist(), strict=True)
    of_clip = [f"{corpus}/{speaker}" for corpus, speaker in named]
    there = set(of_clip)
    for speaker in speakers:
        if speaker not in there:
            raise DataError(f"data.aside: no clip is of {speaker}{suggestion(speaker, sorted(there))}")
    return np.isin(of_clip, list(speakers)) if speakers else np.zeros(len(of_clip), dtype=bool)


def highest(targets: Float64[np.ndarray, "clips classes"]) -> Float64[np.ndarray, "clips classes"]:
    """Return each row's highest score as 1, shared where several are highest; rows of zeros stay."""
    top = (targets >= targets.max(axis=1, keepdims=True) - 1e-9) & (targets > 0)
    return np.asarray(top / np.maximum(top.sum(axis=1, keepdims=True), 1))


def _of_emotions(recipe: Recipe) -> bool:
    """Whether the targets are clips' emotions."""
    return recipe.stage == "utterance" or (recipe.adapt is not None and recipe.adapt.outputs == "emotions")


def _wanted(
    recipe: Recipe, index: pa.Table, cards: dict[str, Card], meaning: Scores
) -> tuple[Float64[np.ndarray, "clips outputs"], Bool[np.ndarray, "clips outputs"], Bool[np.ndarray, " clips"]]:
    """Return targets, which of them are known, and which clips have any; a student's targets are frames, not these."""
    if recipe.stage == "student":
        return np.zeros_like(meaning.targets), meaning.known, Reader(recipe.data.shards, index).has_frames
    if recipe.adapt is None or recipe.adapt.outputs == "emotions":
        return meaning.targets, meaning.known, meaning.used
    ratings = native_ratings(index, cards, recipe.adapt.outputs)
    values, used = ratings.values, ratings.rated
    if recipe.adapt.loss == "soft_labels":
        total = values.sum(axis=1, keepdims=True)
        values, used = np.divide(values, total, out=np.zeros_like(values), where=total > 0), used & (total[:, 0] > 0)
    return values, np.ones(values.shape, dtype=bool), used


def training_stream(recipe: Recipe, prepared: Prepared, peers: Peers | None = None) -> WindowStream:
    """Return the windows that a recipe trains on; `peers` are the processes that count an epoch together, if several.

    By blocks of shards where the recipe has lanes or blocks.
    """
    rows_of, index = prepared.rows_of("train"), None
    if recipe.data.lanes > 1 or recipe.data.block_hours is not None:
        shards = prepared.index["shard"].combine_chunks().dictionary_encode().indices
        index = HeldIndex(prepared.durations, rows_of, shards.to_numpy().astype(np.int64))
    return WindowStream(
        durations=prepared.durations,
        rows_of=rows_of,
        weights=recipe.data.train,
        window_seconds=recipe.data.window_seconds,
        fill=recipe.data.fill,
        seed=recipe.seed,
        index=index,
        lanes=recipe.data.lanes,
        block_hours=recipe.data.block_hours,
        peers=peers or Peers(),
    )


def clip_weights(recipe: Recipe, prepared: Prepared) -> Float64[np.ndarray, " clips"]:
    """Return how often each clip is drawn in an epoch, on average; zero for clips that are held back."""
    weights = np.zeros(prepared.index.num_rows)
    for corpus, rows in prepared.rows_of("train").items():
        weights[rows] = recipe.data.train[corpus]
    return weights


def write_prior(recipe: Recipe, prepared: Prepared, run: Path) -> None:
    """Keep the prior of the training targets in the run folder, so that a model predicts without its shards.

    Native classes of an adapted run have none: what is rated one by one is not adjusted.
    """
    if not _of_emotions(recipe):
        return
    write_shares(run, clip_weights(recipe, prepared) @ prepared.scores.targets)


def write_shares(run: Path, mass: Float64[np.ndarray, " classes"]) -> None:
    """Keep how much of the training targets each class had, as shares of the whole."""
    shares = dict(zip(EMOTIONS, (mass / mass.sum()).tolist(), strict=True))
    (run / PRIOR).write_text(json.dumps(shares, indent=1), encoding="utf-8")


def read_prior(run: Path) -> Float64[np.ndarray, " classes"]:
    """Return how much of the training targets each class had; sums to 1."""
    try:
        shares = json.loads((run / PRIOR).read_text(encoding="utf-8"))
        return np.array([shares[emotion] for emotion in EMOTIONS], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{run / PRIOR}: cannot be read: {error}") from None
