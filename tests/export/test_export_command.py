"""`valenza export` and `valenza bench infer` as users run them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from valenza.cli.export import _plan
from valenza.errors import DataError, UsageError
from valenza.export.gate.cost import precision_cost, scored_corpora
from valenza.export.onnx import graph
from valenza.export.onnx import write as onnx_export
from valenza.export.onnx.write import Check, export_onnx
from valenza.inference.load import load
from valenza.inference.model import TorchEngine, load_run
from valenza.labels.taxonomy import EMOTIONS
from valenza.stages.trained import read_recipe

pytest.importorskip("onnxscript", reason="`pip install valenza[export]`")


@pytest.fixture(scope="module")
def run(corner: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two languages, trained for some steps."""
    folder: Path = tmp_path_factory.mktemp("exporting") / "tones"
    ended = corner.run("train", corner.recipe, "evaluation.prior=none", "--out", folder)
    assert ended.code == 0, ended.err
    return folder


def test_an_onnx_file_is_written_with_its_report(corner: Any, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "tones.onnx"
    ended = corner.run("export", run, "--to", "onnx", "--out", out, "--clips", 4, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["onnx"] == str(out)
    report = json.loads((out.parent / "tones.onnx.parity.json").read_text())
    assert report == ended.json["parity"]
    assert report["passed"]
    assert report["recordings"].startswith("4 clips of german, english")
    assert [(cell["seconds"], cell["batch"]) for cell in report["cells"]] == [
        (seconds, batch) for seconds in (0.3, 1.0, 5.0, 30.0) for batch in (1, 3, 8)
    ]
    assert all(cell["same_label"] == cell["recordings"] == 4 for cell in report["cells"])
    assert sorted(path.name for path in out.parent.iterdir()) == ["tones.onnx", "tones.onnx.parity.json"]
    model, ours = load(out), load_run(run)
    assert model.details["corpora"] == json.dumps({"english": "none", "italian": "none"})
    assert (model.details["licence"], model.details["name"]) == ("unknown", "tones")
    clip = np.random.default_rng(1).integers(-9000, 9000, 12_345).astype(np.int16)
    assert model.hear([clip])[0].mixture == pytest.approx(ours.hear([clip])[0].mixture, abs=1e-5)
    assert (model.seen, model.longest, model.framewise) == (ours.seen, ours.longest, ours.framewise)


def test_eight_bits_are_scored_on_the_zero_shot_corpus(corner: Any, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "tones.onnx"
    ended = corner.run("export", run, "--to", "onnx", "--precision", "int8", "--out", out, "--clips", 3)
    report = json.loads((tmp_path / "tones.onnx.parity.json").read_text())
    assert report["scores"]["german"]["clips"] == 24
    lost = report["scores"]["german"]["macro_f1_loss"]
    assert f"{100 * lost:+.1f} points" in ended.err or ended.code == 65
    assert out.exists() == (ended.code == 0) == report["passed"], "what the gate refuses is not there"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "coreml"], "'coreml' is not one of hf, onnx, tensorrt, triton"),
        (["--to", "onnx", "--precision", "fp8"], "'fp8' is not one of fp32, fp16, int8"),
        (["--to", "onnx", "--source", "pitch"], "'pitch' is not one of waveform, mel"),
        (["--to", "onnx", "--sm", "86"], "--sm is for --to tensorrt"),
        (["--to", "tensorrt", "--sm", "ampere"], "'ampere' is no compute capability"),
        (["--to", "onnx", "--audio", "nowhere"], "--audio: there is no nowhere"),
        (["--to", "onnx", "--checkpoint", "step-9"], "step-9"),
        (["--to", "hf", "--precision", "fp16"], "--precision is for --to onnx or tensorrt or triton"),
        (["--to", "hf", "--source", "mel"], "--source is for --to onnx or tensorrt or triton"),
        (["--to", "onnx", "--push-to-hub", "me/it"], "--push-to-hub is for --to hf"),
        (["--to", "hf", "--private"], "--private is for --push-to-hub"),
        (["--to", "onnx", "--out", "exports"], "the name of an ONNX file ends in .onnx"),
        (["--to", "onnx", "--out", "."], "--out: . is a folder; name a file"),
        (["--to", "triton", "--name", "süd"], "--name: 'süd' cannot be a model's name"),
    ],
)
def test_what_cannot_be_asked_is_refused(corner: Any, run: Path, words: list[str], message: str) -> None:
    ended = corner.run("export", run, *words)
    assert ended.code == 64, ended.err
    assert message in ended.err


def test_a_folder_that_is_no_run_is_refused(corner: Any, tmp_path: Path) -> None:
    ended = corner.run("export", tmp_path, "--to", "onnx")
    assert ended.code == 64
    assert "not a run folder" in ended.err


def test_what_is_not_the_network_is_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracing: None
) -> None:
    exact = graph.to_onnx

    def other(recogniser: Any, source: Any) -> Any:
        """Trace the network with one weight changed, as a fault of the exporter would."""
        weight = recogniser.network.head.linear.weight
        weight.data[0] += 0.01
        model = exact(recogniser, source)
        weight.data[0] -= 0.01
        return model

    monkeypatch.setattr(onnx_export.graph, "to_onnx", other)
    (tmp_path / "kept.onnx").write_bytes(b"the one before")
    with pytest.raises(DataError, match=r"kept\.onnx: not written, for it is not the network"):
        export_onnx(run, tmp_path / "kept.onnx", check=Check(clips=2))
    assert (tmp_path / "kept.onnx").read_bytes() == b"the one before"
    report = json.loads((tmp_path / "kept.onnx.parity.json").read_text())
    assert not report["passed"]
    assert report["faults"]
    assert len(list(tmp_path.iterdir())) == 2, "nothing is left behind"


def test_the_cost_of_a_precision_is_that_of_its_answers(run: Path) -> None:
    model = load_run(run)
    assert isinstance(model.engine, TorchEngine)
    column = EMOTIONS.index("neutral")

    def stubborn(audio: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        mixture = np.zeros((len(lengths), 8), np.float32)
        mixture[:, column] = 1
        return {"mixture": mixture}

    recipe = read_recipe(run)
    same = precision_cost(recipe, model.engine, model.engine)["german"]
    assert (same["macro_f1_loss"], same["same_label"], same["clips"]) == (0.0, 1.0, 24)
    worse = precision_cost(recipe, model.engine, stubborn)["german"]
    assert worse["exported"]["micro_f1"] == 0.25, "a quarter of the clips is neutral"
    assert worse["exported"]["macro_f1"] == pytest.approx(0.1)
    assert worse["macro_f1_loss"] == pytest.approx(worse["network"]["macro_f1"] - 0.1)


def test_bench_infer_tells_cost_and_labels(corner: Any, run: Path) -> None:
    ended = corner.run("bench", "infer", run, "--clips", 6, "--rounds", 2, "--json")
    assert ended.code == 0, ended.err
    rows = ended.json["lengths"]
    assert [row["seconds"] for row in rows] == [1, 2, 3, 5, 10, 30]
    assert rows[-1]["share_of_longest"] == 1
    assert 0 < rows[0]["ms"] < rows[-1]["ms"]
    assert ended.json["labels"]["recordings"] == 6
    assert corner.run("bench", "infer").code == 64


def test_bench_infer_pads_no_recording_that_is_longer_than_the_window(corner: Any, run: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", np.random.default_rng(2).normal(0, 0.1, 40 * 16_000), 16_000)
    ended = corner.run("bench", "infer", run, "--audio", tmp_path / "talk.wav", "--rounds", 1, "--json")
    assert ended.code == 0, ended.err
    assert len(ended.json["lengths"]) == 6
    assert "labels" not in ended.json


def test_without_the_shards_of_training_nothing_can_be_scored(corner: Any, run: Path, tmp_path: Path) -> None:
    recipe = read_recipe(run)
    assert scored_corpora(recipe) == ["german"]
    for kept in (["german"], ["english", "italian"], ["german", "english"]):
        shards = tmp_path / "-".join(kept)
        for name in kept:
            shutil.copytree(corner.shards / name, shards / name)
        data = recipe.data.model_copy(update={"shards": shards})
        assert scored_corpora(recipe.model_copy(update={"data": data})) == []


def test_a_run_is_called_as_its_folder(corner: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "runs" / "whisper-1.5"
    shutil.copytree(run, named)
    monkeypatch.chdir(named)
    plan = _plan(Path(), "tensorrt", Path("my.engine"), "waveform", "fp16", None, None)
    assert (plan.file, plan.target, plan.name) == (
        Path("exports/whisper-1.5-fp16.onnx"),
        Path("my.engine"),
        "whisper-1.5",
    )
    assert _plan(Path(), "onnx", None, "waveform", "fp32", None, None).file == Path("exports/whisper-1.5.onnx")
    (tmp_path / "v1.1.onnx").touch()
    plan = _plan(tmp_path / "v1.1.onnx", "triton", None, "waveform", "fp32", None, None)
    assert (plan.name, plan.file) == ("v1.1", tmp_path / "v1.1.onnx")
    with pytest.raises(UsageError, match="is the ONNX file of which the engine is made"):
        _plan(tmp_path / "v1.1.onnx", "tensorrt", tmp_path / "v1.1.onnx", "waveform", "fp32", None, None)


def test_what_is_for_runs_is_not_for_files(corner: Any, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    for words in (["--precision", "fp16"], ["--clips", 3], ["--checkpoint", "step-1"]):
        ended = corner.run("export", tmp_path / "a.onnx", "--to", "tensorrt", *words)
        assert ended.code == 64
        assert f"{words[0]} is for a run folder" in ended.err


def test_tables_are_made_of_reports(corner: Any, tmp_path: Path) -> None:
    cell = {"seconds": 1.0, "batch": 3, "recordings": 5, "same_label": 5}
    worst = {"logits": 2e-6, "probabilities": 3e-7, "frames": 4e-6, "concentration": 0.0, "past_end": 0.0}
    report = {
        "precision": "int8",
        "bytes": 27_100_000,
        "network": 1e-5,
        "cells": [cell | worst, cell | worst | {"logits": 9e-6, "batch": 8}],
    }
    f1 = {"network": {"macro_f1": 0.895}, "exported": {"macro_f1": 0.889}}
    (tmp_path / "a.json").write_text(json.dumps(report | {"scores": {"emodb": f1}}))
    rows = [{"seconds": s, "ms": 40.0 * s, "least": 1, "most": 9, "share_of_longest": s / 30} for s in (1, 30)]
    labels = {"recordings": 339, "same": 338, "share": 338 / 339, "same_of_all_classes": 335}
    (tmp_path / "b.json").write_text(
        json.dumps({"lengths": rows, "labels": labels, "recordings": "339 clips of emodb"})
    )
    page = tmp_path / "page.md"
    page.write_text("<!-- precision -->\n<!-- /precision -->\n<!-- speed -->\n<!-- /speed -->\n")
    ended = corner.run("bench", "exports", tmp_path / "a.json", tmp_path / "b.json", "--into", page)
    assert ended.code == 0, ended.err
    told = page.read_text()
    row = "| int8 | 5 × 1 × 2 | 9.0e-06 | 3.0e-07 | 4.0e-06 | 10 of 10 | 27.1 MB | emodb 89.5 → 88.9 |"
    assert row in told.splitlines()
    assert "| 1 s | 40.0 | 1/30.0 | 40.0 |" in told.splitlines()
    assert "338 of 339 recordings (339 clips of emodb) get the same label" in told
    ended = corner.run("bench", "exports", tmp_path / "b.json", "--into", page)
    assert ended.code == 0
    assert row in page.read_text().splitlines(), "a table of which there are no reports stays"
    for held, message in (
        ("[]", "is no gate's report"),
        ('{"cells": [{"seconds": 1}]}', "was not written by this command"),
        (json.dumps(report | {"cells": [cell | worst | {"logits": None}]}), "logits hold what is no number at 1 s"),
        (json.dumps(report | {"network": 0.01}), "the network as it was trained is 0.01 away"),
    ):
        (tmp_path / "c.json").write_text(held)
        ended = corner.run("bench", "exports", tmp_path / "c.json")
        assert ended.code == 64
        assert f"c.json: {message}" in ended.err or message in ended.err
