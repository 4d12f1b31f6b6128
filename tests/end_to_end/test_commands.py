"""A user's whole way through the command line, in real processes: audio to shards to model to scores."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

EMOTIONS = ("happiness", "sadness", "anger", "neutral")


@pytest.fixture(scope="module")
def run(corner: Any) -> Path:
    folder: Path = corner.folder / "runs" / "first"
    ended = corner.run("train", corner.recipe, "--out", folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def scored(corner: Any, run: Path) -> Any:
    return corner.run("evaluate", run, "--json")


def test_check_tells_what_a_recipe_comes_to(corner: Any) -> None:
    derived = corner.run("check", corner.recipe, "--json").json["derived"]
    # Of 6 speakers in each of two corpora one is kept for validation, with its 4 clips.
    assert derived["clips"] == {"train": 40, "validation": 8, "test": 0}
    assert derived["windows_per_epoch"] * 6 >= 40
    assert derived["epochs"] == pytest.approx(12 * 4 / derived["windows_per_epoch"])
    assert sum(derived["label_mixture"].values()) == pytest.approx(1, abs=1e-3)
    assert derived["label_mixture"]["anger"] == pytest.approx(0.25)


def test_check_for_people_is_yaml(corner: Any) -> None:
    import yaml

    ended = corner.run("check", corner.recipe, "training.steps=34")
    assert ended.code == 0
    assert yaml.safe_load(ended.out)["recipe"]["training"]["steps"] == 34


def test_training_leaves_a_whole_run_folder(corner: Any, run: Path) -> None:
    losses = corner.losses(run)
    assert len(losses) == 12
    assert all(0 < loss < 10 for loss in losses)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["step-00000006", "step-00000012"]
    assert json.loads((run / "environment.json").read_text())["processes"] == 1
    assert {"recipe.yaml", "metrics.jsonl", "log.txt"} <= {p.name for p in run.iterdir()}
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    validated = [line["validation"] for line in lines if "validation" in line]
    assert [v["clips"] for v in validated] == [8, 8]


def test_a_finished_run_is_left_as_it_is(corner: Any, run: Path) -> None:
    before = (run / "metrics.jsonl").read_bytes(), (run / "checkpoints/step-00000012/model.safetensors").read_bytes()
    assert corner.run("train", corner.recipe, "--out", run).code == 0
    assert (
        (run / "metrics.jsonl").read_bytes(),
        (run / "checkpoints/step-00000012/model.safetensors").read_bytes(),
    ) == before


def test_a_resumed_run_is_not_another_recipe(corner: Any, run: Path) -> None:
    ended = corner.run("train", corner.recipe, "training.peak_lr=0.5", "--out", run)
    assert ended.code == 64
    assert "another recipe" in ended.err


def test_never_does_not_overwrite(corner: Any, run: Path) -> None:
    assert corner.run("train", corner.recipe, "--out", run, "--resume", "never").code == 64


def test_results_hold_what_the_design_promises(scored: Any, run: Path) -> None:
    assert scored.code == 0, scored.err
    results = scored.json
    assert results == json.loads((run / "results.json").read_text())
    assert results["format"] == 1
    assert results["checkpoint"] == "step-00000012"
    german = results["corpora"]["german"]
    assert german["zero_shot"] is True
    assert (german["languages"], german["clips"], german["speakers"]) == (["de"], 24, 6)
    assert sorted(german["classes"]) == sorted(EMOTIONS)
    assert set(german["metrics"]) >= {"micro_f1", "macro_f1", "ua", "wa", "ece"}
    assert all(0 <= german["metrics"][name] <= 1 for name in ("micro_f1", "macro_f1", "ua", "wa", "ece"))
    low, high = german["ci95"]["micro_f1"]
    assert low <= german["metrics"]["micro_f1"] <= high
    assert set(german["per_class_f1"]) == set(EMOTIONS)
    assert [sum(row) for row in german["confusion"]] == [6] * 4
    assert set(german["by_language"]) == {"de"}
    assert set(german["by_gender"]) == {"F", "M"}
    assert {"random_head", "majority", "frozen_probe"} <= set(german["baselines"])
    assert german["baselines"]["majority"]["micro_f1"] == pytest.approx(0.25)


def test_the_report_fetches_nothing(scored: Any, run: Path) -> None:
    assert scored.code == 0
    page = (run / "report" / "index.html").read_text()
    assert "german" in page.lower()
    fetched = re.findall(
        r"""(?:src|href|data|action|poster)\s*=\s*["']?\s*([^"'\s>]+)|url\(\s*["']?([^"')]+)|@import\s+([^;]+)""", page
    )
    outside = [name for found in fetched for name in found if re.match(r"(?:[a-z]+:)?//", name)]
    assert outside == []
    local = [n for found in fetched for n in found if n and not n.startswith(("#", "data:"))]
    assert [n for n in local if not (run / "report" / n).is_file()] == []


def test_a_trained_corpus_is_scored_on_unheard_speakers_and_called_so(corner: Any, run: Path, tmp_path: Path) -> None:
    seen = corner.run("evaluate", run, "--corpora", "english", "--json", "--out", tmp_path / "r.json").json["corpora"][
        "english"
    ]
    assert (seen["zero_shot"], seen["clips"], seen["speakers"]) == (False, 4, 1)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_predict_gives_a_row_a_file(corner: Any, run: Path, form: str) -> None:
    files = sorted((corner.folder / "data" / "german").glob("*.wav"))[:3]
    ended = corner.run("predict", run, *files, "--format", form)
    assert ended.code == 0, ended.err
    if form == "json":
        assert (
            len(json.loads(ended.out)["files"] if isinstance(json.loads(ended.out), dict) else json.loads(ended.out))
            == 3
        )
    else:
        assert len(ended.out.splitlines()) == 4
        assert all(file.name in ended.out for file in files)


def test_verify_finds_every_byte_as_written(corner: Any) -> None:
    ended = corner.run("shards", "verify", "--shards", corner.shards, "--jobs", 1, "--json")
    assert ended.code == 0
    assert ended.json == {"english": [], "german": [], "italian": []}


def test_no_checkpoint_holds_a_number_that_is_not_finite(run: Path) -> None:
    for file in run.glob("checkpoints/*/model.safetensors"):
        assert all(torch.isfinite(t).all() for t in load_file(file).values())
