"""A few clips of each class to learn a corpus from, and its other speakers to score it by."""

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int64

from valenza.errors import DataError


def few_shot(
    index: pa.Table,
    parts: Mapping[str, Int64[np.ndarray, " _"]],
    targets: Float[np.ndarray, "clips classes"],
    *,
    per_class: int,
    seed: int,
) -> dict[str, Int64[np.ndarray, " _"]]:
    """Return `parts` with at most `per_class` training clips of each class in each corpus.

    Where a corpus has no test split, one half of its speakers, in an order drawn by `seed`, is its test part. The few
    clips are drawn from the other speakers, so that another `per_class` has the same test part, and the clips of a
    smaller one are among those of a larger one. The class of a clip is its highest target; a clip with two of them is
    not drawn. What is neither drawn nor for testing is in no part. Raises `DataError` for a corpus with one speaker.
    """
    corpora, speakers, clips = (index[name].to_pylist() for name in ("corpus", "speaker", "id"))
    highest = targets.max(axis=1, keepdims=True)
    classes = np.where((targets == highest).sum(axis=1) == 1, targets.argmax(axis=1), -1)
    found: dict[str, list[int]] = {"train": [], "validation": parts["validation"].tolist(), "test": []}
    for corpus in dict.fromkeys(corpora):
        pool = [row for row in parts["train"].tolist() if corpora[row] == corpus]
        test = [row for row in parts["test"].tolist() if corpora[row] == corpus]
        if not test:
            names = sorted({speakers[row] for row in pool}, key=lambda name: _draw(seed, corpus, name))
            if len(names) < 2:
                raise DataError(f"{corpus}: has {len(names)} speaker to learn from, and nobody else to score it by")
            learned = set(names[: (len(names) + 1) // 2])
            test = [row for row in pool if speakers[row] not in learned]
            pool = [row for row in pool if speakers[row] in learned]
        pool.sort(key=lambda row: _draw(seed, corpus, clips[row]))
        for number in range(targets.shape[1]):
            found["train"] += [row for row in pool if classes[row] == number][:per_class]
        found["test"] += test
    return {part: np.sort(np.array(rows, dtype=np.int64)) for part, rows in found.items()}


def _draw(seed: int, corpus: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {corpus} {name}".encode()).digest()
