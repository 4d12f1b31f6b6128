"""Soft-label metrics against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from valenza.evaluation.bootstrap import Units
from valenza.evaluation.distribution import cross_entropy, js_divergence, soft_score


def pair(seed: int, clips: int = 12) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    annotated, predicted = (generator.dirichlet(np.full(5, 0.6), clips) for _ in range(2))
    annotated[0] = np.eye(5)[2]
    annotated[1, 3] = 0
    annotated[1] /= annotated[1].sum()
    return annotated, predicted


@given(st.integers(0, 10_000))
def test_both_are_scipys(seed: int) -> None:
    annotated, predicted = pair(seed)
    expected = [entropy(p) + entropy(p, q) for p, q in zip(annotated, predicted, strict=True)]
    assert cross_entropy(annotated, predicted) == pytest.approx(expected)
    distance = [jensenshannon(p, q, base=2) ** 2 for p, q in zip(annotated, predicted, strict=True)]
    assert js_divergence(annotated, predicted) == pytest.approx(distance, abs=1e-9)


def test_divergence_is_symmetric_0_for_equal_and_1_for_disjoint() -> None:
    annotated, predicted = pair(3)
    np.testing.assert_allclose(js_divergence(annotated, predicted), js_divergence(predicted, annotated))
    assert js_divergence(annotated, annotated) == pytest.approx(0.0, abs=1e-12)
    assert js_divergence(np.eye(5)[:1], np.eye(5)[1:2]).tolist() == [1.0]
    assert cross_entropy(np.eye(5)[:1], np.eye(5)[1:2]).tolist() == [np.inf]


def test_clips_of_which_nothing_remains_are_left_out_and_the_rest_made_whole() -> None:
    annotated, predicted = pair(5)
    targets = annotated * np.linspace(0.2, 1, 12)[:, None]
    targets[4] = 0
    who = Units("speakers", np.arange(12) // 3)
    found = soft_score(targets, predicted, list("abcde"), who, seed=1)
    kept = np.arange(12) != 4
    assert (found["clips"], found["left_out"]) == (11, 1)
    assert found["cross_entropy"] == pytest.approx(cross_entropy(annotated[kept], predicted[kept]).mean())
    assert found["annotated_entropy"] == pytest.approx(np.mean([entropy(row) for row in annotated[kept]]))
    low, high = found["ci95"]["js_divergence"]
    assert low < found["js_divergence"] < high
    assert found["annotated_entropy"] < found["cross_entropy"]
    assert soft_score(np.zeros((2, 5)), predicted[:2], list("abcde"), Units("clips", np.arange(2)), seed=1) == {
        "clips": 0,
        "left_out": 2,
        "classes": list("abcde"),
    }
