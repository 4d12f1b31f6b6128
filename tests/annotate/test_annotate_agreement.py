"""Agreement against other people's implementations, and catch trials by hand."""

import warnings

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import cohen_kappa_score

from valenza.annotate.agreement import cohen_kappa, krippendorff_alpha, side_bias
from valenza.annotate.answers import Cast, catch_share, doubtful, repeats
from valenza.stages.pairs.folder import Pair

VALUES = ("a", "b", "tie")


@given(
    st.lists(st.lists(st.sampled_from([*VALUES, None]), min_size=4, max_size=4), min_size=1, max_size=30),
)
@settings(max_examples=300, deadline=None)
def test_alpha_is_krippendorffs(rows: list[list[str | None]]) -> None:
    units = [[value for value in row if value is not None] for row in rows]
    paired = [value for unit in units if len(unit) > 1 for value in unit]
    found = krippendorff_alpha(units)
    if len(set(paired)) < 2:
        assert found is None
        return
    codes = np.array([[np.nan if v is None else VALUES.index(v) for v in row] for row in rows], float).T
    expected = krippendorff.alpha(reliability_data=codes, level_of_measurement="nominal")
    assert found == pytest.approx(expected, abs=1e-12)


def test_alpha_of_the_textbook() -> None:
    """Krippendorff 2011, section C: four observers, twelve units, nominal alpha 0.743."""
    rows = [
        [1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
        [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [None, 5, 5, 5], [None, None, 1, 1], [None, None, 3, None],
    ]  # fmt: skip
    assert krippendorff_alpha([[v for v in row if v] for row in rows]) == pytest.approx(0.743, abs=5e-4)


@given(st.lists(st.tuples(st.sampled_from(VALUES), st.sampled_from(VALUES)), min_size=1, max_size=40))
@settings(max_examples=300, deadline=None)
def test_kappa_is_cohens(pairs: list[tuple[str, str]]) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found = cohen_kappa(one, other)
    if len(set(one + other)) == 1:
        assert found is None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cohen_kappa_score(one, other)
    assume(not np.isnan(expected))
    assert found == pytest.approx(expected, abs=1e-12)


def test_kappa_of_nothing() -> None:
    assert cohen_kappa([], []) is None
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([["a"], ["b"]]) is None


@given(st.integers(0, 60), st.integers(0, 60))
def test_side_bias_is_the_exact_two_sided_tail(left: int, right: int) -> None:
    n = left + right
    if not n:
        assert side_bias(0, 0) == 1
        return
    tail = binom.cdf(min(left, right), n, 0.5)  # at one half the two tails are alike
    assert side_bias(left, right) == pytest.approx(min(1.0, 2 * tail), rel=1e-9)


def cast(annotator: str, pair: Pair, answer: str, left: str = "a") -> Cast:
    side = {"a": "left", "b": "right"} if left == "a" else {"a": "right", "b": "left"}
    return Cast(
        seq=1, at="", id="", annotator=annotator, number=1, pair=pair, left_side=left, choice=side.get(answer, answer),
        answer=answer, watched_left=1.0, watched_right=1.0, replays=0, milliseconds=1000, undone=False,
    )  # type: ignore[arg-type]  # fmt: skip


PLAIN = Pair(id="p-1", track="t-1", a="c-1", b="c-2", disagreement=0)
IDENTICAL = Pair(id="p-2", track="t-1", a="c-3", b="c-3", kind="identical", expected="tie", disagreement=0)
OBVIOUS = Pair(id="p-3", track="t-1", a="c-4", b="c-5", kind="obvious", expected="b", disagreement=0)
SWAPPED = Pair(id="p-4", track="t-1", a="c-2", b="c-1", kind="swapped", repeats="p-1", disagreement=0)


def test_catch_trials() -> None:
    assert [cast("x", IDENTICAL, answer).passed for answer in ("a", "b", "tie", "cannot_tell")] == [
        False,
        False,
        True,
        True,
    ]
    assert [cast("x", OBVIOUS, answer).passed for answer in ("a", "b", "tie", "cannot_tell")] == [
        False,
        True,
        False,
        False,
    ]
    assert [cast("x", pair, "a").passed for pair in (PLAIN, SWAPPED)] == [None, None]
    votes = [cast("x", IDENTICAL, "tie"), cast("x", OBVIOUS, "b"), cast("y", OBVIOUS, "a"), cast("z", PLAIN, "a")]
    assert catch_share(votes) == (2, 3)
    assert doubtful(votes) == ["y"]
    assert doubtful(votes, least=0.0) == []


def test_a_repeat_is_the_same_answer_where_the_same_candidate_is_chosen() -> None:
    assert repeats([cast("x", PLAIN, "a"), cast("x", SWAPPED, "b")]) == (1, 1)
    assert repeats([cast("x", PLAIN, "a"), cast("x", SWAPPED, "a")]) == (0, 1)
    assert repeats([cast("x", PLAIN, "tie"), cast("x", SWAPPED, "tie")]) == (1, 1)
    assert repeats([cast("y", PLAIN, "a"), cast("x", SWAPPED, "b")]) == (0, 0)
