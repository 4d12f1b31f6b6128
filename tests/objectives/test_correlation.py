"""Correlations against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from valenza.objectives.correlation import mean_of, moments, pearson, spearman


def ratings(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    wanted = generator.random((40, 9)).round(1)  # with ties
    return 0.3 * wanted + generator.random((40, 9)) ** 2, wanted


@pytest.mark.parametrize("seed", range(5))
def test_both_equal_scipys(seed: int) -> None:
    said, wanted = ratings(seed)
    columns = range(9)
    assert pearson(moments(said, wanted)) == pytest.approx(
        [stats.pearsonr(said[:, i], wanted[:, i]).statistic for i in columns]
    )
    assert spearman(said, wanted) == pytest.approx(
        [stats.spearmanr(said[:, i], wanted[:, i]).statistic for i in columns]
    )


def test_moments_of_parts_add_up() -> None:
    said, wanted = ratings(9)
    parts = moments(said[:13], wanted[:13]) + moments(said[13:], wanted[13:])
    assert pearson(parts) == pytest.approx(pearson(moments(said, wanted)))
    stacked = np.stack([parts, moments(said, wanted)], axis=1)
    assert pearson(stacked).shape == (2, 9)


def test_what_does_not_vary_has_no_correlation() -> None:
    said, wanted = ratings(1)
    wanted[:, 2], said[:, 4] = 0.1, 0.7
    found = pearson(moments(said, wanted))
    assert np.flatnonzero(np.isnan(found)).tolist() == [2, 4]
    assert np.flatnonzero(np.isnan(spearman(said, wanted))).tolist() == [2, 4]
    assert mean_of(found) == pytest.approx(np.delete(found, [2, 4]).mean())
    assert np.isnan(mean_of(found[[2, 4]]))
