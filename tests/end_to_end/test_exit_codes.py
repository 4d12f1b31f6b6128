"""Every documented failure ends with its exit code and a sentence, never with a traceback (`Corner.run` looks)."""

import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

MANIFEST = """id: {id}
title: Leaks
languages: [{language}]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)(?P<gender>[FM])_(?P<label>[a-z]+)_\\d'
labels: {{happy: happiness, sad: sadness, angry: anger, calm: neutral}}
"""


@pytest.fixture(scope="module")
def run(corner: Any) -> Path:
    folder: Path = corner.folder / "runs" / "short"
    ended = corner.run("train", corner.recipe, "training.steps=2", "--out", folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["training.stepz=3"], "steps"),
        (["training.steps=-1"], "training.steps"),
        (["data.train.klingon=1"], "klingon"),
        (["data.zero_shot=[english]"], "english"),
    ],
)
def test_64_for_a_recipe_that_cannot_be_meant(corner: Any, words: list[str], told: str) -> None:
    ended = corner.run("check", corner.recipe, *words)
    assert ended.code == 64
    assert told in ended.err
    assert ended.out == ""


def test_64_for_a_run_that_is_not_there(corner: Any, tmp_path: Path) -> None:
    assert corner.run("evaluate", tmp_path / "none").code == 64
    assert corner.run("evaluate", tmp_path).code == 64


def test_64_for_an_unknown_option(corner: Any) -> None:
    assert corner.run("train", "--gpus", 8).code == 64


@pytest.mark.parametrize(
    ("corpus", "language", "source", "told"),
    [("copied", "fr", "english", "same audio"), ("british", "en-GB", "german", "language en")],
)
def test_65_for_a_zero_shot_score_that_is_not(
    corner: Any, run: Path, tmp_path: Path, corpus: str, language: str, source: str, told: str
) -> None:
    shards = tmp_path / "shards"
    shutil.copytree(corner.shards, shards)
    manifest = tmp_path / f"{corpus}.yaml"
    manifest.write_text(MANIFEST.format(id=corpus, language=language))
    built = corner.run(
        "shards", "build", manifest, "--root", corner.folder / "data" / source, "--shards", shards, "--jobs", 1
    )
    assert built.code == 0, built.err
    ended = corner.run("evaluate", run, "--corpora", corpus, "--shards", shards, "--out", tmp_path / "results.json")
    assert ended.code == 65
    assert told in ended.err
    assert not (tmp_path / "results.json").exists()


def test_70_for_a_loss_that_is_not_finite(corner: Any, tmp_path: Path) -> None:
    words = ["training.peak_lr=1e30", "training.schedule=constant", "training.checkpoint_every=1"]
    at_once = "training.non_finite_steps=1"
    ended = corner.run("train", corner.recipe, *words, at_once, "--out", tmp_path / "run")
    assert ended.code == 70
    assert "gradient norm" in ended.err
    assert all(math.isfinite(loss) for loss in corner.losses(tmp_path / "run"))
    for file in tmp_path.glob("run/checkpoints/*/model.safetensors"):
        assert all(torch.isfinite(t).all() for t in load_file(file).values())


def test_73_for_a_run_folder_that_cannot_be_made(corner: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ended = corner.run("train", corner.recipe, "--out", tmp_path / "file" / "run")
    assert ended.code == 73
    assert str(tmp_path / "file" / "run") in ended.err


def test_73_for_results_that_cannot_be_written(corner: Any, run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert corner.run("evaluate", run, "--out", tmp_path / "file" / "results.json").code == 73


def test_65_for_more_damaged_clips_than_may_be_and_74_for_a_cut_shard(corner: Any, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shutil.copytree(corner.shards, shards)
    index = pq.read_table(shards / "english" / "index.parquet")
    for name, offset, size in zip(*(index[c].to_pylist() for c in ("shard", "offset", "size")), strict=True):
        with (shards / "english" / name).open("r+b") as tar:
            tar.seek(offset + size // 2)
            byte = tar.read(1)[0]
            tar.seek(offset + size // 2)
            tar.write(bytes([byte ^ 0x10]))
    verified = corner.run("shards", "verify", "english", "--shards", shards, "--jobs", 1, "--json")
    assert verified.code == 74
    assert verified.json["english"]
    trained = corner.run("train", corner.recipe, f"data.shards={shards}", "--out", tmp_path / "run")
    assert trained.code == 65
    assert "english-000000.tar" in trained.err
    shard = shards / "english" / "english-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    trained = corner.run("train", corner.recipe, f"data.shards={shards}", "--out", tmp_path / "other")
    assert trained.code == 74
    assert "english-000000.tar" in trained.err


def test_74_for_a_run_whose_checkpoints_are_all_damaged(corner: Any, run: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "run"
    shutil.copytree(run, damaged)
    for file in damaged.glob("checkpoints/*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    ended = corner.run("train", corner.recipe, "training.steps=2", "--out", damaged)
    assert ended.code == 74
    assert "passed over" in ended.err
