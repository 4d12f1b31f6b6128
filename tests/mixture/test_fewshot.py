"""A few clips of each class: nested, of other speakers than those that are scored."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.errors import DataError
from valenza.mixture.fewshot import few_shot

NONE = np.empty(0, dtype=np.int64)


def corpus(name: str, speakers: int, clips: int) -> tuple[pa.Table, np.ndarray]:
    """Clips of each speaker in turn, of four classes in turn; every ninth has two classes."""
    rows = range(speakers * clips)
    table = {
        "corpus": [name] * len(rows),
        "speaker": [f"s{r % speakers}" for r in rows],
        "id": [f"{name}{r}" for r in rows],
        "recording": [f"{name}{r}" for r in rows],
    }
    targets = np.eye(8)[[r // speakers % 4 for r in rows]]
    targets[8::9, 4:6] = targets[8::9].max()
    return pa.table(table), targets


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), speakers=st.integers(2, 9), k=st.integers(1, 6))
def test_clips_are_nested_and_speakers_apart(seed: int, speakers: int, k: int) -> None:
    one, two = corpus("a", speakers, 12), corpus("b", 4, 8)
    index, targets = pa.concat_tables([one[0], two[0]]), np.concatenate([one[1], two[1]])
    parts = {"train": np.arange(len(targets)), "validation": NONE, "test": NONE}
    found = few_shot(index, parts, targets, per_class=k, seed=seed)
    who = np.array([f"{c}{s}" for c, s in zip(index["corpus"].to_pylist(), index["speaker"].to_pylist(), strict=True)])
    assert not set(who[found["train"]]) & set(who[found["test"]])
    for name, count in (("a", speakers), ("b", 4)):
        tested = {w for w in who[found["test"]] if w.startswith(name)}
        assert len(tested) == count // 2
        assert sum(w in tested for w in who) == sum(w.startswith(name) for w in who[found["test"]])
        own = [row for row in found["train"] if who[row].startswith(name)]
        assert (np.bincount(targets[own].argmax(axis=1), minlength=4) <= k).all()
        assert (targets[own].max(axis=1, keepdims=True) == targets[own]).sum() == len(own)  # none has two classes
    more = few_shot(index, parts, targets, per_class=k + 1, seed=seed)
    assert set(found["train"]) <= set(more["train"])
    assert found["test"].tolist() == more["test"].tolist()
    again = few_shot(index, parts, targets, per_class=k, seed=seed)
    assert all(found[part].tolist() == again[part].tolist() for part in found)


def test_an_official_test_part_is_kept() -> None:
    index, targets = corpus("a", 4, 12)
    test = np.flatnonzero(np.array(index["speaker"].to_pylist()) == "s3")
    parts = {"train": np.setdiff1d(np.arange(48), test)[5:], "validation": np.arange(3), "test": test}
    found = few_shot(index, parts, targets, per_class=2, seed=0)
    assert found["test"].tolist() == test.tolist()
    assert found["validation"].tolist() == [0, 1, 2]
    assert len(found["train"]) == 8
    assert set(found["train"]) <= set(parts["train"])


def test_one_speaker_is_too_few() -> None:
    index, targets = corpus("a", 1, 12)
    with pytest.raises(DataError, match="has 1 speaker to learn from"):
        few_shot(index, {"train": np.arange(12), "validation": NONE, "test": NONE}, targets, per_class=1, seed=0)


def test_speakers_who_share_takes_are_learned_from_or_scored_together() -> None:
    index, targets = corpus("a", 8, 12)
    pairs = [f"take{int(speaker[1:]) // 2}" for speaker in index["speaker"].to_pylist()]
    index = index.set_column(index.column_names.index("recording"), "recording", pa.array(pairs))
    parts = {"train": np.arange(96), "validation": NONE, "test": NONE}
    for seed in range(5):
        found = few_shot(index, parts, targets, per_class=3, seed=seed)
        assert not {pairs[row] for row in found["train"]} & {pairs[row] for row in found["test"]}
        assert len(found["test"]) == 48
    index = index.set_column(index.column_names.index("recording"), "recording", pa.array(["one take"] * 96))
    with pytest.raises(DataError, match="a: has 8 speakers to learn from, and nobody who shares no take"):
        few_shot(index, parts, targets, per_class=1, seed=0)
