"""The temperature of a real run: fitted to validation speakers, told, kept, and used by `predict`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valenza.evaluation.predictions import beside
from valenza.evaluation.session import evaluate_run
from valenza.evaluation.temperature import FILE, read_temperature
from valenza.stages.trained import read_recipe
from valenza.timeline.answers import Wanted, predict_files

Train = Callable[..., list[float]]


def predicted(corner: Any, run: Path, capsys: pytest.CaptureFixture[str]) -> tuple[np.ndarray, str]:
    """What `predict` prints of a clip, and what it says besides."""
    predict_files(run, [corner.folder / "data" / "german" / "s0F_happy_0.wav"], Wanted(format="json"))
    out, err = capsys.readouterr()
    (row,) = json.loads(out)["files"]
    return np.array(list(row["shares"].values())), err


def test_it_is_fitted_to_validation_speakers_kept_and_used(
    corner: Any, train_here: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train_here(run, "training.steps=6", "evaluation.padding=none")
    before, said = predicted(corner, run, capsys)
    assert "has fitted no temperature" in said
    found = evaluate_run(run)
    temperature, german = found["temperature"], found["corpora"]["german"]
    assert (temperature["clips"], temperature["speakers"], temperature["corpora"]) == (8, 2, ["english", "italian"])
    assert temperature["nll_after"] <= temperature["nll_before"]
    assert german["calibration"]["temperature"] == temperature["value"] != 1
    assert german["calibration"]["in_sample"] is False
    assert german["metrics"]["ece"] == german["calibration"]["after"]["ece"]
    raw = german["variants"]["masked_adjusted"]["metrics"]
    assert raw["ece"] == german["calibration"]["before"]["ece"]
    assert raw["micro_f1"] == german["metrics"]["micro_f1"]
    assert german["soft"]["clips"] == 24
    assert beside(run / "results.json").is_file()
    capsys.readouterr()
    after, said = predicted(corner, run, capsys)
    assert "temperature" not in said
    seen = before > 0
    sharpened = before[seen] ** (1 / temperature["value"])
    np.testing.assert_allclose(after[seen], sharpened / sharpened.sum(), rtol=1e-5)
    assert_holds_for_its_checkpoint_and_protocol_only(run)
    assert_calibrated_in_sample_where_it_was_trained_on(run, tmp_path / "seen.json")


def assert_holds_for_its_checkpoint_and_protocol_only(run: Path) -> None:
    recipe = read_recipe(run)
    kept = json.loads((run / FILE).read_text())
    assert read_temperature(run, "step-00000006", recipe) == kept["step-00000006"]["value"]
    assert read_temperature(run, "step-00000005", recipe) is None
    other = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"prior": "none"})})
    assert read_temperature(run, "step-00000006", other) is None


def assert_calibrated_in_sample_where_it_was_trained_on(run: Path, out: Path) -> None:
    english = evaluate_run(run, corpora=["english"], out=out)["corpora"]["english"]
    assert english["calibration"]["in_sample"] is True
    assert beside(out).name == "seen.parquet"
    assert "fitted to some of these clips" in (out.parent / "report" / "index.html").read_text()


def test_without_validation_speakers_there_is_none_and_a_message(
    train_here: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "whole"
    train_here(run, "training.steps=2", "data.validation=0", "evaluation.padding=none")
    found = evaluate_run(run, baselines=["best_layer_probe"])
    assert "no temperature" in capsys.readouterr().err
    assert found["temperature"]["value"] == 1.0
    assert "skipped" in found["temperature"]
    german = found["corpora"]["german"]
    assert german["calibration"]["before"] == german["calibration"]["after"]
    assert german["baselines"]["best_layer_probe"]["flattered"] is True
    assert "No temperature" in (run / "report" / "index.html").read_text()
