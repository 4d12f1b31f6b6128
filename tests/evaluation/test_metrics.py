"""Metrics against scikit-learn and against slow loops."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from valenza.evaluation.metrics import confusion, ece, macro_f1, micro_f1, per_class_f1, reliability, ua, wa


def random_answers(generator: np.random.Generator, classes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    clips = int(generator.integers(1, 40))
    # Some classes never occur as truth, some are never predicted.
    true = generator.choice(classes, size=int(generator.integers(1, len(classes) + 1)), replace=False)
    guessed = generator.choice(classes, size=int(generator.integers(1, len(classes) + 1)), replace=False)
    truth, predicted = generator.choice(true, clips), generator.choice(guessed, clips)
    return truth, np.where(generator.random(clips) < 0.4, truth, predicted)


def test_equals_scikit_learn_on_thousands_of_random_sets() -> None:
    generator = np.random.default_rng(1)
    for _ in range(2_000):
        classes = sorted(generator.choice(8, size=int(generator.integers(1, 9)), replace=False).tolist())
        truth, predicted = random_answers(generator, classes)
        counts = confusion(truth, predicted, classes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of the absent classes that are meant here
            np.testing.assert_array_equal(counts, confusion_matrix(truth, predicted, labels=classes))
            assert micro_f1(counts) == pytest.approx(
                f1_score(truth, predicted, labels=classes, average="micro"), abs=1e-12
            )
            assert macro_f1(counts) == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-12)
            assert ua(counts) == pytest.approx(balanced_accuracy_score(truth, predicted), abs=1e-12)
            assert wa(counts) == pytest.approx(accuracy_score(truth, predicted), abs=1e-12)
            reference = f1_score(truth, predicted, labels=classes, average=None, zero_division=np.nan)
            occurs = np.isin(classes, np.concatenate([truth, predicted]))
            np.testing.assert_allclose(per_class_f1(counts), np.where(occurs, reference, np.nan), atol=1e-12)


def test_a_stack_scores_as_its_matrices_do() -> None:
    stack = np.random.default_rng(2).integers(0, 3, (50, 5, 5))
    stack[:10, 2] = stack[:10, :, 2] = 0
    for metric in (micro_f1, macro_f1, ua, wa, per_class_f1):
        np.testing.assert_array_equal(metric(stack), np.stack([metric(one) for one in stack]))


def test_without_clips_no_score_exists() -> None:
    nothing = np.zeros((3, 3), dtype=np.int64)
    assert np.isnan(
        [micro_f1(nothing), macro_f1(nothing), ua(nothing), ece(reliability(np.ones((0, 2)), np.zeros(0, dtype=int)))]
    ).all()


@pytest.mark.parametrize(("truth", "predicted"), [([0, 3], [0, 0]), ([0, 0], [0, 7]), ([-1, 0], [0, 0])])
def test_refuses_what_lies_outside_the_classes(truth: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match="outside the classes"):
        confusion(np.array(truth), np.array(predicted), [0, 1])


def slow_ece(probabilities: np.ndarray, truth: np.ndarray) -> float:
    total = 0.0
    for i in range(15):
        low, high = i / 15, (i + 1) / 15
        inside = [
            (p.max(), int(p.argmax() == t)) for p, t in zip(probabilities, truth, strict=True) if low < p.max() <= high
        ]
        if inside:
            sure, right = np.mean(inside, axis=0)
            total += len(inside) / len(truth) * abs(right - sure)
    return total


@given(st.integers(0, 10_000), st.integers(1, 200))
def test_calibration_error_equals_the_loop(seed: int, clips: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities, truth = generator.dirichlet(np.ones(4), clips), generator.integers(0, 4, clips)
    assert ece(reliability(probabilities, truth)) == pytest.approx(slow_ece(probabilities, truth), abs=1e-12)


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    sure = np.eye(3)[[0, 1, 2]]
    assert ece(reliability(sure, np.array([0, 1, 2]))) == 0.0
    assert ece(reliability(sure, np.array([1, 2, 0]))) == 1.0
