"""Neutral smoothing against a slow version written from the paper, and what has to hold for any scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from valenza.labels.harmonise import Scores
from valenza.labels.smoothing import neutral_smoothing, smooth
from valenza.labels.taxonomy import EMOTIONS, NEUTRAL

M = len(EMOTIONS)
VARIANTS = ("paper", "neutral_only")
both = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Return 100,000 rows: of votes, of single labels of any strength, of marks, and of anything."""
    rng = np.random.default_rng(11)
    votes = rng.multinomial(5, np.full(M, 1 / M), 25_000) / 5
    votes *= rng.choice([0.4, 0.7, 1.0], (25_000, 1))
    single = np.eye(M)[rng.integers(0, M, 25_000)] * rng.uniform(0, 1, (25_000, 1))
    marks = rng.integers(0, 4, (25_000, M)) * (rng.random((25_000, M)) < 0.3) / 3
    return np.concatenate([votes, single, marks, rng.uniform(0, 1, (25_000, M)) ** 3])


def slow(scores: np.ndarray, variant: str, neutral: int) -> np.ndarray:
    n, classes = scores.shape
    sums = [sum(row) for row in scores.tolist()]
    mean = sum(sums) / n or 1.0
    result = []
    for row, mass in zip(scores.tolist(), sums, strict=True):
        if mass >= mean * (1 - 1e-6):
            result.append(row)
            continue
        alpha = min(abs(mean - mass) / mean, 0.45)
        if variant == "paper":
            new = [e * (1 - alpha) + (1 - e) * alpha / classes for e in row]
        else:
            new = [e * (1 - alpha) for e in row]
            others = [j for j in range(classes) if j != neutral]
            best = max(others, key=lambda j: row[j])
            wanted = new[neutral] + alpha * mass
            if row[best] > row[neutral]:
                wanted = min(wanted, new[best] * (1 - 1e-6))
            elif row[best] == row[neutral]:
                wanted = min(wanted, new[best])
            new[neutral] = wanted
        if mass == 0:
            new[neutral] += alpha * mean
        result.append([min(max(e, 0.0), 1.0) for e in new])
    return np.array(result)


def primary(rows: np.ndarray) -> np.ndarray:
    """Return which scores of each row are its highest."""
    return rows >= rows.max(axis=1, keepdims=True) - 1e-12


def test_the_worked_case() -> None:
    # two rows whose mean mass is 1
    e = np.zeros((2, M))
    e[0, 0], e[1] = 0.33, 1.67 / M
    found = neutral_smoothing(e)
    np.testing.assert_allclose(found[0], [0.33 * 0.55 + 0.67 * 0.05625, *[0.05625] * 7], atol=1e-12)
    assert round(found[0, 0], 4) == 0.2192
    np.testing.assert_array_equal(found[1], e[1])
    moved = neutral_smoothing(e, variant="neutral_only")
    np.testing.assert_allclose(moved[0], [0.33 * 0.55, *[0.0] * 6, 0.33 * 0.45], atol=1e-12)


def test_a_neutral_that_would_win_is_cut_back() -> None:
    e = np.zeros((2, M))
    e[0, :4], e[1, 0] = [0.2, 0.1, 0.1, 0.1], 1.0
    e[1, 5] = 0.9
    found = neutral_smoothing(e, variant="neutral_only")[0]
    assert found.argmax() == 0
    assert found[NEUTRAL] == pytest.approx(found[0], rel=2e-6)
    assert np.float32(found[NEUTRAL]) < np.float32(found[0])


@both
def test_of_100000_rows_each_keeps_its_primary_emotion_and_its_range(rows: np.ndarray, variant: str) -> None:
    given = rows.copy()
    found = neutral_smoothing(rows, variant=variant)
    np.testing.assert_array_equal(rows, given)
    assert found.shape == rows.shape
    assert found.dtype == np.float64
    assert found.min() >= 0
    assert found.max() <= 1
    empty = rows.sum(axis=1) == 0
    assert empty.sum() > 1000
    np.testing.assert_array_equal(found.argmax(axis=1)[~empty], rows.argmax(axis=1)[~empty])
    np.testing.assert_array_equal((primary(rows) <= primary(found))[~empty].all(axis=1), True)
    alone = primary(rows[~empty]).sum(axis=1) == 1
    assert (primary(found[~empty]).sum(axis=1)[alone] == 1).all()
    assert (found[empty].argmax(axis=1) == NEUTRAL).all()
    assert (np.delete(found[empty], NEUTRAL, axis=1).max(axis=1) < found[empty, NEUTRAL]).all()


@both
def test_of_100000_rows_only_the_weak_change(rows: np.ndarray, variant: str) -> None:
    found = neutral_smoothing(rows, variant=variant)
    mass = rows.sum(axis=1)
    strong = mass >= mass.mean()
    assert 0.2 < strong.mean() < 0.8
    np.testing.assert_array_equal(found[strong], rows[strong])
    assert (found[~strong] != rows[~strong]).any(axis=1).mean() > 0.9


@both
def test_of_100000_rows_with_one_sum_none_changes(rows: np.ndarray, variant: str) -> None:
    full = rows[rows.sum(axis=1) > 0]
    even = full / full.sum(axis=1, keepdims=True)
    assert (even.sum(axis=1) != 1).any()  # rounding leaves sums unequal, which must not count
    np.testing.assert_array_equal(neutral_smoothing(even, variant=variant), even)
    np.testing.assert_array_equal(neutral_smoothing(even * 0.3, variant=variant), even * 0.3)


def test_of_100000_rows_neutral_only_keeps_every_sum_unless_it_cuts(rows: np.ndarray) -> None:
    found = neutral_smoothing(rows, variant="neutral_only")
    before, after = rows.sum(axis=1), found.sum(axis=1)
    some = before > 0
    assert (after[some] <= before[some] + 1e-12).all()
    others = np.delete(found, NEUTRAL, axis=1).max(axis=1)
    cut = found[:, NEUTRAL] >= others * (1 - 2e-6)
    np.testing.assert_allclose(after[some & ~cut], before[some & ~cut], rtol=1e-12)
    assert 0.01 < (some & cut).mean() < 0.9
    raised = some & (before < before.mean() * 0.99) & (rows[:, NEUTRAL] == 0)
    assert (found[raised, NEUTRAL] > 0).all()


@both
@pytest.mark.parametrize("neutral", [0, 3, 7])
def test_equals_the_slow_version(rows: np.ndarray, variant: str, neutral: int) -> None:
    some = rows[:: 50 + neutral]
    np.testing.assert_allclose(
        neutral_smoothing(some, variant=variant, neutral=neutral), slow(some, variant, neutral), atol=1e-12
    )


scores = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(2, 8)),
    elements=st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 2 / 3, 1.0]) | st.floats(1e-6, 1.0),
)


@both
@settings(max_examples=150, deadline=None)
@given(e=scores, data=st.data())
def test_any_scores(variant: str, e: np.ndarray, data: st.DataObject) -> None:
    neutral = data.draw(st.integers(0, e.shape[1] - 1))
    found = neutral_smoothing(e, variant=variant, neutral=neutral)
    np.testing.assert_allclose(found, slow(e, variant, neutral), atol=1e-12)
    order = data.draw(st.permutations(range(len(e))))
    np.testing.assert_allclose(neutral_smoothing(e[order], variant=variant, neutral=neutral), found[order], atol=1e-12)
    columns = data.draw(st.permutations(range(e.shape[1])))
    moved = neutral_smoothing(e[:, columns], variant=variant, neutral=columns.index(neutral))
    np.testing.assert_allclose(moved, found[:, columns], atol=1e-12)


@both
def test_rows_without_mass_end_neutral_even_where_there_are_no_others(variant: str) -> None:
    found = neutral_smoothing(np.zeros((3, M)), variant=variant)
    assert (found.argmax(axis=1) == NEUTRAL).all()
    assert found[0, NEUTRAL] == pytest.approx(0.45 + (0.05625 if variant == "paper" else 0))
    assert neutral_smoothing(np.zeros((0, M)), variant=variant).shape == (0, M)


def test_what_is_no_score_is_refused() -> None:
    for wrong in (-0.1, 1.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="from 0 to 1"):
            neutral_smoothing(np.full((2, M), wrong))
    with pytest.raises(ValueError, match="no column 8"):
        neutral_smoothing(np.zeros((2, M)), neutral=8)


def test_corpora_are_smoothed_apart_by_their_training_clips() -> None:
    values = np.zeros((6, M))
    values[:, 5] = [1.0, 0.6, 0.2, 0.2, 0.2, 0.0]
    known = np.ones((6, M), dtype=bool)
    known[:, 6] = False
    meaning = Scores(values, known, np.array([True, True, True, True, True, False]))
    within = np.array([True, True, False, True, True, True])
    found = smooth(meaning, ["a", "a", "a", "b", "b", "b"], "neutral_only", within=within)
    # the mean mass of corpus a's training clips is .8; its third clip is held back, and smoothed by that mean too
    wanted = np.zeros((6, M))
    wanted[:, 5] = [1.0, 0.6 * 0.75, 0.2 * 0.55, 0.2, 0.2, 0.0]
    wanted[:, NEUTRAL] = [0.0, 0.6 * 0.25, 0.2 * 0.45, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(found.values, wanted, atol=1e-12)
    spread = smooth(meaning, ["a", "a", "a", "b", "b", "b"], "paper", within=within)
    assert (spread.values[1:3, 6] > 0).all()
    assert (spread.targets[:, 6] == 0).all()  # nobody could choose it
    np.testing.assert_allclose(spread.targets.sum(axis=1), [1, 1, 1, 1, 1, 0])
    assert smooth(meaning, ["a"] * 6, "none", within=within) is meaning
