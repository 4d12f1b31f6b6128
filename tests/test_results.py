"""What is committed as a result is one, and the README shows nothing else."""

from pathlib import Path

import pytest

from valenza.evaluation.results import markdown_table, read_results

ROOT = Path(__file__).resolve().parents[1]
RESULTS = sorted((ROOT / "recipes" / "results").glob("*.json"))


def test_there_are_results() -> None:
    assert RESULTS


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_are_of_this_version(path: Path) -> None:
    for corpus in read_results(path).corpora.values():
        assert set(corpus.baselines) == {"random_head", "majority", "frozen_probe"}
        low, high = corpus.ci95["micro_f1"]
        assert low <= corpus.metrics.micro_f1 <= high


def test_the_readme_shows_the_committed_results() -> None:
    assert markdown_table(RESULTS).strip() in (ROOT / "README.md").read_text(encoding="utf-8")
