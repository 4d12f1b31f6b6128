"""Training on a shard of which one bit is flipped, through the command line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from safetensors.torch import load_file

from valenza.shards.stored import read_index

WORDS = ("training.steps=10", "training.validate_every=5", "training.checkpoint_every=4", "data.validation=0.2")
MANY = "data.bad_clips=0.1"
NONE = "data.bad_clips=0"
FROZEN = ("encoder.freeze=[all]", "encoder.attention=clip", "objective.level=clip")


@pytest.fixture
def damaged(corner: Any, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """The corner's shards with one bit of one training clip flipped, and that clip's row of the index."""
    shutil.rmtree(corner.folder / "cache", ignore_errors=True)  # where another test may have kept what the clip says
    shutil.copytree(corner.shards, tmp_path / "shards")
    clip = taken(corner, tmp_path, "train")
    flip(tmp_path / "shards", clip)
    return tmp_path / "shards", clip


def taken(corner: Any, folder: Path, part: str) -> dict[str, Any]:
    from valenza.config import load
    from valenza.recipe import Recipe
    from valenza.stages.prepare import prepare

    prepared = prepare(load(Recipe, corner.recipe, [*WORDS, f"data.shards={folder / 'shards'}"]))
    row: dict[str, Any] = prepared.index.slice(int(prepared.parts[part][3]), 1).to_pylist()[0]
    return row


def flip(shards: Path, clip: dict[str, Any]) -> None:
    path = shards / clip["corpus"] / clip["shard"]
    data = bytearray(path.read_bytes())
    data[clip["offset"] + clip["size"] // 2] ^= 8
    path.write_bytes(data)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]


def weights(run: Path, step: int = 10) -> dict[str, Any]:
    return load_file(run / "checkpoints" / f"step-{step:08d}" / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(bool((first[name] == second[name]).all()) for name in first)


@pytest.mark.parametrize("more", [(), FROZEN], ids=["heard anew", "heard once"])
def test_a_run_goes_on_without_the_clip_and_its_resumption_is_the_same_run(
    corner: Any, damaged: tuple[Path, dict[str, Any]], tmp_path: Path, more: tuple[str, ...]
) -> None:
    shards, clip = damaged
    words = (*WORDS, *more, MANY, f"data.shards={shards}")
    whole = corner.run("train", corner.recipe, *words, "--out", tmp_path / "whole")
    assert whole.code == 0, whole.err
    (line,) = lines(tmp_path / "whole")
    assert (line["id"], line["corpus"], line["shard"]) == (clip["id"], clip["corpus"], clip["shard"])
    assert "CRC-32" in line["reason"]
    assert line["step"] >= 1
    assert whole.err.count("left out") == 1, "said once, though it is met in every epoch"
    assert corner.losses(tmp_path / "whole")[-1] > 0

    first = corner.run("train", corner.recipe, *words, "--out", tmp_path / "parts", "--workers", 2)
    assert first.code == 0, first.err
    for folder in sorted((tmp_path / "parts" / "checkpoints").iterdir())[1:]:
        shutil.rmtree(folder)
    again = corner.run("train", corner.recipe, *words, "--out", tmp_path / "parts")
    assert again.code == 0, again.err
    assert "resuming after step" in again.err
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert corner.losses(tmp_path / "parts") == corner.losses(tmp_path / "whole")
    assert same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("more", [(), FROZEN], ids=["heard anew", "heard once"])
def test_two_processes_list_it_once_and_are_one(
    corner: Any,
    torchrun: Callable[..., Any],
    train_here: Callable[..., list[float]],
    damaged: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    more: tuple[str, ...],
) -> None:
    shards, clip = damaged
    words = (*WORDS, *more, MANY, f"data.shards={shards}")
    launched = torchrun(*words, "--out", tmp_path / "two")
    assert launched.finish() == 0, launched.told()
    one = train_here(tmp_path / "one", *words)
    assert [line["id"] for line in lines(tmp_path / "two")] == [clip["id"]]
    assert lines(tmp_path / "two") == lines(tmp_path / "one")
    assert corner.losses(tmp_path / "two") == pytest.approx(one, rel=1e-5)


def test_beyond_the_budget_all_processes_stop_and_name_shard_and_clip(
    by_hand: Callable[..., Any], damaged: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    shards, clip = damaged
    words = [*WORDS, NONE, f"data.shards={shards}", "--out", tmp_path / "run"]
    with by_hand(words, words) as processes:
        for process in processes:
            _, told = process.communicate(timeout=240)
            assert "Traceback" not in told, told[-3000:]
            assert process.returncode == 65, told
            assert f"{clip['id']} in {clip['shard']}: " in told
            assert f"valenza shards verify {clip['corpus']}" in told
    assert [line["id"] for line in lines(tmp_path / "run")] == [clip["id"]]


def test_a_share_that_is_too_small_for_one_clip_allows_none(
    corner: Any, damaged: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    shards, clip = damaged
    ended = corner.run("train", corner.recipe, *WORDS, f"data.shards={shards}", "--out", tmp_path / "run")
    assert ended.code == 65, ended.err
    assert clip["id"] in ended.err
    assert "data.bad_clips 0.001" in ended.err


def test_a_damaged_validation_clip_is_listed_and_not_scored(
    corner: Any, train_here: Callable[..., list[float]], tmp_path: Path
) -> None:
    shutil.copytree(corner.shards, tmp_path / "shards")
    clip = taken(corner, tmp_path, "validation")
    words = (*WORDS, MANY, f"data.shards={tmp_path / 'shards'}")
    scores, losses = [], []
    for name in ("whole", "damaged"):
        losses.append(train_here(tmp_path / name, *words))
        told = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        scores.append([line["validation"]["clips"] for line in told if "validation" in line])
        flip(tmp_path / "shards", clip)
    assert scores[1] == [count - 1 for count in scores[0]]
    assert [line["id"] for line in lines(tmp_path / "damaged")] == [clip["id"]]
    assert losses[0] == losses[1]


def test_scores_are_never_those_of_the_clips_that_are_left(
    corner: Any, train_here: Callable[..., list[float]], tmp_path: Path
) -> None:
    """A damaged clip stops an evaluation: fewer clips are another test."""
    shutil.copytree(corner.shards, tmp_path / "shards")
    words = (*WORDS, f"data.shards={tmp_path / 'shards'}")
    train_here(tmp_path / "run", *words)
    index: pa.Table = read_index(tmp_path / "shards", ["german"])
    clip = index.slice(5, 1).to_pylist()[0]
    flip(tmp_path / "shards", clip)
    ended = corner.run("evaluate", tmp_path / "run")
    assert ended.code == 74, ended.err
    assert clip["id"] in ended.err
    assert clip["shard"] in ended.err
    assert "valenza shards verify german" in ended.err
    assert not (tmp_path / "run" / "results.json").exists()
