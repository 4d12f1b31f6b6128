"""Scores of native ratings: against SciPy, with intervals that draw speakers again."""

import numpy as np
import pytest
from scipy import stats

from valenza.evaluation.ratings import correlations

NAMES = ("awe", "calmness", "craving")


def test_means_and_intervals() -> None:
    generator = np.random.default_rng(0)
    wanted = generator.random((120, 3))
    said = 0.5 * wanted + 0.5 * generator.random((120, 3))
    speakers = np.repeat([f"s{i}" for i in range(12)], 10)
    found = correlations(said, wanted, speakers, NAMES, seed=1)
    linear = [stats.pearsonr(said[:, i], wanted[:, i]).statistic for i in range(3)]
    assert found["pearson"] == pytest.approx(np.mean(linear))
    assert found["spearman"] == pytest.approx(np.mean([stats.spearmanr(said[:, i], wanted[:, i])[0] for i in range(3)]))
    assert found["mse"] == pytest.approx(((said - wanted) ** 2).mean())
    assert [found["by_output"][name]["pearson"] for name in NAMES] == pytest.approx(linear)
    low, high = found["ci95"]["pearson"]
    assert low < found["pearson"] < high
    slow = []
    for _ in range(300):
        rows = np.concatenate([np.flatnonzero(speakers == f"s{i}") for i in generator.integers(12, size=12)])
        slow.append(np.mean([stats.pearsonr(said[rows, i], wanted[rows, i]).statistic for i in range(3)]))
    assert (low, high) == pytest.approx(np.quantile(slow, (0.025, 0.975)), abs=0.03)


def test_one_speaker_has_no_interval() -> None:
    said = np.random.default_rng(0).random((9, 3))
    assert "ci95" not in correlations(said, said, np.array(["s"] * 9), NAMES, seed=0)
