"""A few clips of each class to learn a corpus from, and its other speakers to score it by."""

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int64

from valenza.errors import DataError
from valenza.shards.groups import together
from valenza.terminal import count


def few_shot(
    index: pa.Table,
    parts: Mapping[str, Int64[np.ndarray, " _"]],
    targets: Float[np.ndarray, "clips classes"],
    *,
    per_class: int,
    seed: int,
) -> dict[str, Int64[np.ndarray, " _"]]:
    """Return `parts` with at most `per_class` training clips of each class in each corpus.

    Where a corpus has no test split, one half of its speakers, in an order drawn by `seed`, is its test part; those who
    share takes stay together. The few clips are drawn from the other speakers, so that another `per_class` has the same
    test part, and the clips of a smaller one are among those of a larger one. The class of a clip is its highest
    target; a clip with two of them is not drawn. What is neither drawn nor for testing is in no part. Raises
    `DataError` for a corpus of which nobody can be kept apart.
    """
    columns = (index[name].to_pylist() for name in ("corpus", "speaker", "id", "recording"))
    corpora, speakers, clips, takes = columns
    highest = targets.max(axis=1, keepdims=True)
    classes = np.where((targets == highest).sum(axis=1) == 1, targets.argmax(axis=1), -1)
    found: dict[str, list[int]] = {"train": [], "validation": parts["validation"].tolist(), "test": []}
    for corpus in dict.fromkeys(corpora):
        pool = [row for row in parts["train"].tolist() if corpora[row] == corpus]
        test = [row for row in parts["test"].tolist() if corpora[row] == corpus]
        if not test:
            group = together((speakers[row], takes[row]) for row in pool)
            names = sorted(set(group.values()), key=lambda name: _draw(seed, corpus, name))
            if len(names) < 2:
                told = f"has {count(len(group), 'speaker')} to learn from"
                raise DataError(f"{corpus}: {told}, and nobody who shares no take with them to score it by")
            learned = set(names[: (len(names) + 1) // 2])
            test = [row for row in pool if group[speakers[row]] not in learned]
            pool = [row for row in pool if group[speakers[row]] in learned]
        pool.sort(key=lambda row: _draw(seed, corpus, clips[row]))
        for number in range(targets.shape[1]):
            found["train"] += [row for row in pool if classes[row] == number][:per_class]
        found["test"] += test
    return {part: np.sort(np.array(rows, dtype=np.int64)) for part, rows in found.items()}


def _draw(seed: int, corpus: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {corpus} {name}".encode()).digest()
