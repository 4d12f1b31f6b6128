"""Draws from a Dirichlet of every frame: exact at each moment, smooth over time; and the keys that are stored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, dirichlet, gamma, kstest, norm

from valenza.labels.sequences import Sequence, distance
from valenza.labels.taxonomy import EMOTIONS
from valenza.stages.pairs.draws import draw_mixtures, log_gamma_quantile, smooth_normals
from valenza.stages.pairs.keys import TOLERANCE, few_keys, plain_numbers

ALPHA = np.array([0.05, 0.4, 1.0, 2.5, 8.0, 0.2, 30.0, 1.5])
DRAWS = 3000


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """Many draws of 60 frames whose concentrations move from ALPHA to its reverse."""
    along = np.linspace(0, 1, 60)[:, None]
    alpha = ALPHA ** (1 - along) * ALPHA[::-1] ** along
    return np.stack([draw_mixtures(alpha, np.random.default_rng(i)) for i in range(DRAWS)])


@pytest.mark.parametrize("frame", [0, 7, 12, 25, 31, 59])
def test_every_frame_by_itself_is_an_exact_dirichlet_draw(drawn: np.ndarray, frame: int) -> None:
    along = np.linspace(0, 1, 60)[frame]
    alpha = ALPHA ** (1 - along) * ALPHA[::-1] ** along
    at = drawn[:, frame]
    for column in range(len(alpha)):
        marginal = beta(alpha[column], alpha.sum() - alpha[column])
        assert kstest(at[:, column], marginal.cdf).pvalue > 1e-4, column
    known = dirichlet(alpha)
    np.testing.assert_allclose(at.mean(axis=0), known.mean(), atol=5 * np.sqrt(known.var().max() / DRAWS))
    np.testing.assert_allclose(np.cov(at.T), known.cov(), atol=0.02 * known.cov().max() * 5)


def test_a_draw_moves_with_the_process_and_not_from_frame_to_frame(drawn: np.ndarray) -> None:
    apart = np.random.default_rng(0).dirichlet(ALPHA, (200, 60))
    flicker = np.abs(np.diff(apart, axis=1)).mean()
    assert np.abs(np.diff(drawn, axis=1)).mean() < flicker / 5
    far = np.corrcoef(drawn[:, 0, 6], drawn[:, 59, 6])[0, 1]
    near = np.corrcoef(drawn[:, 0, 6], drawn[:, 1, 6])[0, 1]
    assert near > 0.9
    assert abs(far) < 0.1


def test_the_process_has_unit_variance_at_every_moment() -> None:
    values = np.stack([smooth_normals(75, 2, np.random.default_rng(i)) for i in range(4000)])
    np.testing.assert_allclose(values.var(axis=0), 1, atol=0.12)
    for frame in (0, 12, 13, 24, 40, 74):
        assert kstest(values[:, frame, 0], norm.cdf).pvalue > 1e-4
    np.testing.assert_allclose((values[:, :, 0] * values[:, :, 1]).mean(axis=0), 0, atol=0.08)


def test_quantiles_are_those_of_scipy_and_go_on_where_these_end() -> None:
    alpha, chance = np.array([[0.01, 0.3, 1.0, 50.0]]), np.array([[0.9, 0.2, 0.5, 0.99]])
    np.testing.assert_allclose(log_gamma_quantile(alpha, chance), np.log(gamma(alpha).ppf(chance)), rtol=1e-6)
    tiny = log_gamma_quantile(np.full((1, 3), 1e-6), np.array([[0.1, 0.5, 0.9]]))
    assert np.isfinite(tiny).all()
    assert (np.diff(tiny) > 0).all()
    # Where both ways can be computed, they say the same.
    shape, low = np.full((1, 1), 1e-3), np.full((1, 1), 0.55)
    found = gamma(1e-3).ppf(0.55)
    assert 0 < found < 1e-200
    np.testing.assert_allclose(log_gamma_quantile(shape, low)[0, 0], np.log(found), rtol=1e-9)


def test_concentrations_next_to_nothing_give_one_class_each() -> None:
    mixtures = draw_mixtures(np.full((100, 8), 1e-6), np.random.default_rng(1))
    np.testing.assert_allclose(mixtures.max(axis=1), 1)
    np.testing.assert_allclose(mixtures.sum(axis=1), 1)


def test_a_class_without_concentration_has_no_share() -> None:
    alpha = np.tile(np.where(np.arange(8) % 3, 2.0, 0.0), (50, 1))
    mixtures = draw_mixtures(alpha, np.random.default_rng(1))
    assert (mixtures[:, ::3] == 0).all()
    assert (mixtures[:, 1::3] > 0).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 400), st.integers(0, 10_000), st.floats(0.05, 20))
def test_few_keys_are_within_the_tolerance_of_every_frame(frames: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values = draw_mixtures(scale * np.exp(smooth_normals(frames, 8, rng, 1.0)), rng)
    kept = few_keys(values)
    assert kept.problem(len(EMOTIONS)) is None
    assert np.abs(kept.frames(frames) - values).max() <= TOLERANCE + 1e-12
    times, mixtures = plain_numbers(kept)
    stored = Sequence.of(times, mixtures)
    assert distance(stored, Sequence.of_frames(values), frames) <= TOLERANCE
    assert np.abs(np.sum(mixtures, axis=1) - 1).max() < 1e-12
    assert all(round(share, 6) == share and share >= 0 for mixture in mixtures for share in mixture)


def test_a_straight_line_needs_two_keys_and_a_jump_two_more() -> None:
    along = np.linspace(0, 1, 100)[:, None]
    line = (1 - along) * np.eye(8)[0] + along * np.eye(8)[5]
    assert len(few_keys(line).times) == 2
    jump = np.repeat(np.eye(8)[[0, 3]], 50, axis=0)
    assert len(few_keys(jump).times) == 4
