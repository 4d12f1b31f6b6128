"""Temperature against scipy's general minimiser, calibration errors against scikit-learn and slow loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.calibration import calibration_curve

from valenza.evaluation.calibration import LIMITS, equal_mass, fit_temperature
from valenza.evaluation.metrics import BINS, ece, reliability
from valenza.evaluation.protocol import predict
from valenza.labels.taxonomy import EMOTIONS


def problem(seed: int, clips: int = 25) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (clips, 8))
    allowed = generator.random((clips, 8)) < 0.8
    allowed[:, :2] = True
    sharp = np.exp(logits) * generator.gamma(0.7, 1, (clips, 8)) * allowed
    return logits, sharp / sharp.sum(axis=1, keepdims=True), allowed, generator.uniform(0.2, 3, clips)


def slow_loss(temperature: float, *parts: np.ndarray) -> float:
    """The weighted mean of soft cross-entropies, clip by clip over the classes that it could have."""
    logits, targets, allowed, weights = parts
    total = 0.0
    for z, t, inside, weight in zip(logits, targets, allowed, weights, strict=True):
        total -= weight * float(t[inside] @ log_softmax(z[inside] / temperature))
    return total / weights.sum()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_the_temperature_is_where_scipy_finds_the_lowest_loss(seed: int) -> None:
    parts = problem(seed)
    found = fit_temperature(*parts)
    assert found is not None
    best = minimize(lambda x: slow_loss(np.exp(x[0]), *parts), [0.0], method="Nelder-Mead", options={"xatol": 1e-7})
    assert found.value == pytest.approx(np.exp(best.x[0]), rel=1e-3)
    assert found.nll_after == pytest.approx(float(best.fun), abs=1e-7)
    assert found.nll_before == pytest.approx(slow_loss(1.0, *parts))


def test_the_temperature_that_made_the_labels_is_found_again() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (20_000, 8))
    shares = np.exp(log_softmax(logits / 2.5, axis=1))
    labels = (shares.cumsum(axis=1) > generator.random((20_000, 1))).argmax(axis=1)
    found = fit_temperature(logits, np.eye(8)[labels], np.ones((20_000, 8), dtype=bool), np.ones(20_000))
    assert found is not None
    assert found.value == pytest.approx(2.5, rel=0.03)


def test_with_a_prior_the_adjusted_probabilities_of_a_balanced_world_are_fitted() -> None:
    """Labels are drawn with a lopsided prior; adjusted and re-weighted, the same temperature comes out as without."""
    generator = np.random.default_rng(2)
    prior = np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02])
    labels = generator.choice(8, 40_000, p=prior)
    x = generator.normal(0, 1, (40_000, 8)) + 1.5 * np.eye(8)[labels]
    posterior = 1.5 * x + np.log(prior)  # of the lopsided world, exactly
    found = fit_temperature(
        2 * (posterior - np.log(prior)) + np.log(prior),
        np.eye(8)[labels],
        np.ones((40_000, 8), dtype=bool),
        np.ones(40_000),
        prior,
    )
    assert found is not None
    assert found.value == pytest.approx(2.0, rel=0.05)


def test_limits_and_nothing_to_fit() -> None:
    logits = np.eye(8)[:3] * 5
    sure = fit_temperature(logits, np.eye(8)[:3], np.ones((3, 8), dtype=bool), np.ones(3))
    wrong = fit_temperature(logits, np.eye(8)[3:6], np.ones((3, 8), dtype=bool), np.ones(3))
    assert sure is not None
    assert wrong is not None
    assert (sure.value, wrong.value) == pytest.approx(LIMITS)
    assert fit_temperature(logits, np.zeros((3, 8)), np.ones((3, 8), dtype=bool), np.ones(3)) is None


@given(st.integers(0, 10_000), st.floats(0.1, 5), st.booleans())
def test_a_temperature_changes_no_decision(seed: int, temperature: float, adjust: bool) -> None:
    generator = np.random.default_rng(seed)
    logits, prior = generator.normal(0, 3, (20, 8)), generator.dirichlet(np.ones(8)) + 1e-3
    prior /= prior.sum()
    plain = predict(logits, EMOTIONS[:5], prior, adjust=adjust)
    found = predict(logits, EMOTIONS[:5], prior, adjust=adjust, temperature=temperature)
    np.testing.assert_array_equal(found.argmax(axis=1), plain.argmax(axis=1))
    sharpened = plain ** (1 / temperature)
    np.testing.assert_allclose(found, sharpened / sharpened.sum(axis=1, keepdims=True), atol=1e-9)


def guesses(clips: int = 600) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(6)
    probabilities = generator.dirichlet(np.full(8, 0.4), clips)
    labels = (probabilities.cumsum(axis=1) > generator.random((clips, 1))).argmax(axis=1)
    return probabilities, labels


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_bins_are_those_of_scikit_learn(strategy: str) -> None:
    probabilities, labels = guesses()
    bins = (reliability if strategy == "uniform" else equal_mass)(probabilities, labels)
    right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=BINS, strategy=strategy)
    filled = bins[bins[:, 0] > 0]
    np.testing.assert_allclose(filled[:, 1] / filled[:, 0], confidence, atol=1e-9)
    np.testing.assert_allclose(filled[:, 2] / filled[:, 0], accuracy, atol=1e-9)


def test_bins_of_equal_mass_hold_as_many_clips_and_give_the_slow_error() -> None:
    probabilities, labels = guesses(607)
    bins = equal_mass(probabilities, labels)
    assert set(bins[:, 0].tolist()) == {40.0, 41.0}
    order = sorted(range(607), key=lambda i: probabilities[i].max())
    error, start = 0.0, 0
    for size in bins[:, 0].astype(int):
        own = order[start : start + size]
        start += size
        sure = sum(probabilities[i].max() for i in own)
        error += abs(sure - sum(probabilities[i].argmax() == labels[i] for i in own)) / 607
    assert ece(bins) == pytest.approx(error)
    assert ece(equal_mass(probabilities[:3], labels[:3])) >= 0
