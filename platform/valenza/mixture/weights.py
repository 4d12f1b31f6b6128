"""How often each clip is seen in an epoch, and which speakers are kept for validation."""

import hashlib
import struct
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jaxtyping import Int64

from valenza.shards.groups import together


def draw_epoch(
    rows_of: Mapping[str, npt.NDArray[np.int64]], weights: Mapping[str, float], *, seed: int, epoch: int
) -> Int64[np.ndarray, " drawn"]:
    """Return the clips of one epoch: each `floor(weight)` times, and a fresh random share of them once more.

    `rows_of` maps a corpus to its clip numbers. Corpora are drawn independently, so that another corpus in the
    mixture does not change what is drawn of this one.
    """
    drawn = []
    for corpus in sorted(rows_of):
        rows, weight = rows_of[corpus], weights[corpus]
        drawn += [rows] * int(weight)
        extra = extra_of(weight, len(rows))
        if extra:
            rng = generator(seed, epoch, corpus)
            drawn.append(np.sort(rng.choice(rows, size=extra, replace=False)))
    return np.concatenate(drawn) if drawn else np.empty(0, dtype=np.int64)


def extra_of(weight: float, clips: int) -> int:
    """Return how many of a corpus's clips are drawn once more than the whole part of its weight says."""
    return round((weight - int(weight)) * clips)


def generator(seed: int, epoch: int, corpus: str, *more: int) -> np.random.Generator:
    """Return what a corpus's clips are drawn by in an epoch: another corpus does not change it."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, *_digest(corpus), *more])))


def split(
    index: pa.Table, usable: Sequence[bool] | npt.NDArray[np.bool_], *, validation: float, seed: int
) -> dict[str, Int64[np.ndarray, " clips"]]:
    """Divide clips into `train`, `validation` and `test`; returns clip numbers.

    A corpus's own split is kept. Without one, whole speakers, and with each all who share takes with them, go to
    validation in an order drawn by `seed`, until it holds the share `validation` of the corpus's clips. A corpus of
    fewer than five speakers keeps them all for training, since one of them is too much to lose and too little to
    measure by; so do speakers whom takes tie into more than half of a corpus, as the leads of a series. Clips that are
    not `usable`, because their label means nothing here, are in no split.
    """
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    columns = (index[name].to_pylist() for name in ("corpus", "speaker", "split", "recording"))
    corpora, speakers, official, takes = columns
    by_speaker: dict[str, dict[str, list[int]]] = {}
    for row, (corpus, speaker, part) in enumerate(zip(corpora, speakers, official, strict=True)):
        if not usable[row]:
            continue
        if part is not None:
            parts[part].append(row)
        else:
            by_speaker.setdefault(corpus, {}).setdefault(speaker, []).append(row)
    for corpus, rows_of in by_speaker.items():
        has_own = any(corpora[row] == corpus for row in parts["validation"])
        count = sum(map(len, rows_of.values()))
        wanted = 0.0 if has_own or len(rows_of) < 5 else validation * count
        group_of = together((speaker, takes[row]) for speaker, rows in rows_of.items() for row in rows)
        groups: dict[str, list[int]] = {}
        for speaker, rows in rows_of.items():
            groups.setdefault(group_of[speaker], []).extend(rows)
        tied = Counter(group_of.values())
        taken = 0
        for group in sorted(groups, key=lambda g: _digest(f"{seed} {corpus} {g}")):
            held = taken < wanted and (tied[group] == 1 or len(groups[group]) <= count / 2)
            taken += len(groups[group]) if held else 0
            parts["validation" if held else "train"] += groups[group]
    return {part: np.sort(np.array(rows, dtype=np.int64)) for part, rows in parts.items()}


def _digest(text: str) -> list[int]:
    """Words for a seed that are the same in every process, unlike Python's `hash`."""
    return list(struct.unpack("<4I", hashlib.sha256(text.encode()).digest()[:16]))
