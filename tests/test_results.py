"""What is committed as a result is one, and the README shows nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from valenza.config import Document
from valenza.evaluation.results import markdown_table, read_results
from valenza.evaluation.rotation.ablation import markdown
from valenza.evaluation.study.measure import SHARPENED
from valenza.evaluation.study.short import short
from valenza.evaluation.study.tables import text
from valenza.recipe import Dynamic

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


@pytest.fixture(scope="module")
def dynamic() -> Any:
    return json.loads((FOLDER / "dynamic.json").read_text(encoding="utf-8"))


def test_the_study_is_of_the_recipe_that_ships_and_its_tables_are_made_from_it(dynamic: Any) -> None:
    asked = Dynamic.model_validate(Document(ROOT / "recipes" / "dynamic.yaml").values)
    # Settings that came later have defaults that leave a run what it was.
    told = Dynamic.model_validate({**dynamic["study"], "shards": asked.shards})
    assert told == asked
    assert text(dynamic) == (FOLDER / "dynamic.md").read_text(encoding="utf-8")
    assert len(dynamic["systems"]["seeds"]) >= 3


def test_the_readme_tells_the_figures_of_the_study(dynamic: Any) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert short(dynamic).strip() in readme
    told = " ".join(readme.split())
    every = dynamic["systems"]["sets"][0]
    assert f"{every['tracks']:,} tracks of {every['speakers']} speakers" in told
    assert f"{dynamic['race']['ratio']:.1f} times faster" in told
    sharpened = next(row for row in dynamic["sharpened"]["sets"][0]["rows"] if row["system"] == SHARPENED)
    assert f"{sharpened['scores']['mae']['mean']:.4f}" in told


def test_the_order_of_the_paper_holds_beyond_the_noise(dynamic: Any) -> None:
    claims = dynamic["systems"]["sets"][0]["claim"]
    assert [(one["less"], one["more"]) for one in claims] == [
        ("student + DPO", "student + Dirichlet"),
        ("student + Dirichlet", "sliding window + Dirichlet"),
    ]
    assert all(one["holds"] for one in claims)
    assert dynamic["race"]["ratio"] >= 5
