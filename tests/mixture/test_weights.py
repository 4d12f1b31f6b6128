"""How often clips are drawn, and which speakers are held out."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import bmat, csr_array
from scipy.sparse.csgraph import connected_components

from valenza.mixture.weights import draw_epoch, split


@pytest.mark.parametrize(
    ("weight", "counts"),
    [
        (1.0, {1: 100}),
        (2.0, {2: 100}),
        (0.5, {1: 50}),
        (1.5, {1: 50, 2: 50}),
        (0.25, {1: 25}),
        (3.1, {3: 90, 4: 10}),
        (0.001, {}),
    ],
)
def test_each_clip_is_drawn_as_often_as_its_weight_says(weight: float, counts: dict[int, int]) -> None:
    drawn = draw_epoch({"a": np.arange(7, 107)}, {"a": weight}, seed=1, epoch=0)
    often = Counter(drawn.tolist())
    assert set(often) <= set(range(7, 107))
    assert Counter(often.values()) == counts


def test_the_share_is_fresh_in_each_epoch_and_the_same_when_drawn_again() -> None:
    rows = {"a": np.arange(100)}
    epochs = [draw_epoch(rows, {"a": 0.5}, seed=1, epoch=e) for e in range(8)]
    assert len({tuple(e.tolist()) for e in epochs}) == 8
    np.testing.assert_array_equal(epochs[3], draw_epoch(rows, {"a": 0.5}, seed=1, epoch=3))
    assert set(np.concatenate(epochs)) == set(range(100))
    assert not np.array_equal(epochs[0], draw_epoch(rows, {"a": 0.5}, seed=2, epoch=0))


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.dictionaries(st.sampled_from("bcdef"), st.integers(0, 30), max_size=4),
    weights=st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 0.3]), min_size=6, max_size=6),
)
def test_other_corpora_change_nothing(sizes: dict[str, int], weights: list[float]) -> None:
    weight = dict(zip("abcdef", weights, strict=True))
    own = np.arange(1000, 1040)
    alone = draw_epoch({"a": own}, weight, seed=1, epoch=4)
    rows = {name: np.arange(size) for name, size in sizes.items()}
    among = draw_epoch({**rows, "a": own}, weight, seed=1, epoch=4)
    np.testing.assert_array_equal(among[among >= 1000], alone)


def test_nothing_to_draw_from() -> None:
    assert draw_epoch({}, {}, seed=1, epoch=0).shape == (0,)


def table(rows: list[tuple[str, str, str | None]], takes: list[str] | None = None) -> pa.Table:
    corpus, speaker, part = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return pa.table(
        {
            "corpus": pa.array(corpus, pa.string()),
            "speaker": pa.array(speaker, pa.string()),
            "split": pa.array(part, pa.string()),
            "recording": pa.array([str(i) for i in range(len(rows))] if takes is None else takes, pa.string()),
        }
    )


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123456789"), st.none()), max_size=80),
    drop=st.integers(0, 4),
    share=st.sampled_from([0.0, 0.05, 0.2, 0.5]),
    seed=st.integers(0, 99),
)
def test_whole_speakers_are_held_out(rows: list[tuple[str, str, None]], drop: int, share: float, seed: int) -> None:
    usable = np.arange(len(rows)) % 5 >= drop
    parts = split(table(rows), usable, validation=share, seed=seed)
    together = np.concatenate(list(parts.values()))
    assert sorted(together.tolist()) == np.flatnonzero(usable).tolist()
    assert not parts["test"].size
    speakers = {part: {rows[i][:2] for i in chosen} for part, chosen in parts.items()}
    assert not speakers["train"] & speakers["validation"]
    for corpus in "ab":
        own = [rows[i] for i in np.flatnonzero(usable) if rows[i][0] == corpus]
        held = [i for i in parts["validation"] if rows[i][0] == corpus]
        if len(set(own)) < 5 or share == 0:
            assert not held
        else:
            assert len(held) >= share * len(own)
            assert len({rows[i] for i in held}) < len(set(own))
            largest = max(Counter(own).values())
            assert len(held) < share * len(own) + largest


@settings(max_examples=60, deadline=None)
@given(
    said=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 9)), min_size=1, max_size=60), seed=st.integers(0, 99)
)
def test_takes_of_several_speakers_are_held_out_whole(said: list[tuple[int, int]], seed: int) -> None:
    rows: list[tuple[str, str, str | None]] = [("a", f"s{speaker}", None) for speaker, _ in said]
    parts = split(table(rows, [f"t{take}" for _, take in said]), [True] * len(said), validation=0.2, seed=seed)
    for place in (0, 1):
        held, learned = ({said[i][place] for i in parts[name]} for name in ("validation", "train"))
        assert not held & learned
    graph = csr_array(([1] * len(said), tuple(np.array(said).T)), shape=(12, 10))
    _, tied = connected_components(bmat([[None, graph], [graph.T, None]]), directed=False)
    sizes = Counter(tied[speaker] for speaker, _ in said)
    assert {tied[said[i][0]] for i in parts["validation"]}.isdisjoint(
        group for group, size in sizes.items()
        if size > len(said) / 2 and len({speaker for speaker, _ in said if tied[speaker] == group}) > 1
    )  # fmt: skip
    if len({speaker for speaker, _ in said}) >= 5 and max(sizes.values()) <= len(said) / 2:
        assert len(parts["validation"]) >= 0.2 * len(said)


def test_a_corpus_keeps_its_own_split() -> None:
    rows = [("a", f"s{i}", ("train", "validation", "test")[i % 3]) for i in range(30)]
    rows += [("b", f"s{i}", "test" if i < 5 else None) for i in range(30)]
    parts = split(table(rows), [True] * 60, validation=0.2, seed=1)
    for i, (corpus, _, part) in enumerate(rows):
        if part is not None:
            assert i in parts[part], (corpus, part)
    assert all(rows[i][0] == "b" for i in parts["validation"] if rows[i][2] is None)
    assert sum(rows[i][0] == "b" for i in parts["validation"]) == 5


def test_the_order_of_speakers_follows_the_seed() -> None:
    rows = [("a", f"s{i}", None) for i in range(40)]
    drawn = {tuple(split(table(rows), [True] * 40, validation=0.2, seed=s)["validation"].tolist()) for s in range(6)}
    assert len(drawn) > 3
