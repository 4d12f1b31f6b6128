"""What is committed as a result is one, and the README shows nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from valenza.evaluation.results import markdown_table, read_results
from valenza.evaluation.rotation.ablation import markdown

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "recipes" / "results"
RESULTS = sorted(FOLDER.glob("real_small-*.json"))


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


@pytest.fixture(scope="module")
def ablation() -> Any:
    return json.loads((FOLDER / "ablation.json").read_text(encoding="utf-8"))


def test_the_ablation_is_of_the_rows_that_ship_and_its_table_is_made_from_it(ablation: Any) -> None:
    asked = yaml.safe_load((ROOT / "recipes" / "ablations" / "real_small.yaml").read_text(encoding="utf-8"))
    assert [row["row"] for row in ablation["rows"]] == list(asked["rows"])
    assert ablation["seeds"] == asked["seeds"]
    assert markdown(ablation) == (FOLDER / "ablation.md").read_text(encoding="utf-8")


def test_the_readme_tells_the_figures_of_the_ablation(ablation: Any) -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    first, rows = ablation["rows"][0], {row["row"]: row for row in ablation["rows"]}
    mean, (low, high) = first["model"]["macro_f1"]["mean"], first["model"]["macro_f1"]["ci95"]
    probe, svm = (first["baselines"][name]["macro_f1"] for name in ("best_layer_probe", "egemaps_svm"))
    assert f"is {100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]" in readme
    assert f"own best layer has {100 * probe:.1f}, eGeMAPS with a support vector machine {100 * svm:.1f}" in readme
    told = {
        "the last one alone costs {} points": "last layer",
        "a learned mixture {})": "layer mixture",
        "hearing each clip by itself ({} points": "concatenated, short",
        "on a frozen encoder ({})": "P1's augmentation",
        "by the training prior ({})": "logit adjustment",
        "by gradient ascent ({})": "ascent",
    }
    for words, row in told.items():
        assert words.format(f"{-100 * rows[row]['difference']['value']:.1f}") in readme
    for kind in ("corpus", "speaker"):
        before, after = (100 * rows[row]["domain_probe"][kind] for row in ("as shipped", "reversal"))
        assert f"({before:.1f} % → {after:.1f} %" in readme
