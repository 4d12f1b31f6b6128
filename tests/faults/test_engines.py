"""Whoever holds the weights, the run is the same: FSDP2 and DeepSpeed's ZeRO against DDP, on two real processes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("deepspeed", reason="needs the extra `deepspeed`")
LAUNCH = Path(__file__).resolve().parents[2] / "launch" / "accelerate"
TOLERANCE = 2e-5
"""Of losses, relative to DDP's: sums over processes and over parts of the weights are taken in another order."""
GROWING = ("training.windows_per_step=[1, 8]", "training.windows_per_pass=2")
LAST = "checkpoints/step-00000012/model.safetensors"


def train(home: Any, stage: str, run: Path, engine: str, *words: str, fault: dict[str, Any] | None = None) -> None:
    machine = ("--engine", str(LAUNCH / f"{engine}.yaml"), "--precision", "no")
    world = home.start(stage, run, *words, *machine, ranks=2, faults=[fault] if fault else [])
    code = 75 if fault else 0
    assert world.wait(400) == [code, code], world.told()  # DeepSpeed compiles something when it first runs on a CPU
    told = json.loads((run / "environment.json").read_text())
    assert (told["processes"], told["engine"]) == (2, engine.removesuffix("_offload"))


def assert_close(home: Any, run: Path, alone: Path) -> None:
    """Two runs have the same losses, scores and last weights, but for the order of sums."""
    losses = home.corner.losses(run)
    assert losses == pytest.approx(home.corner.losses(alone), rel=TOLERANCE)
    assert losses[-1] != losses[0]
    mine, its = ([line["validation"] for line in home.lines(r) if "validation" in line] for r in (run, alone))
    assert len(mine) == len(its) > 0
    for one, other in zip(mine, its, strict=True):
        assert one == pytest.approx(other, rel=1e-3)
    found, expected = load_file(run / LAST), load_file(alone / LAST)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("engine", ["fsdp2", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload"])
def test_an_engine_trains_what_ddp_trains_and_goes_on_when_it_was_asked_to_end(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, engine: str
) -> None:
    """Against domains by a reversed gradient, with a batch that grows and passes that are added up."""
    alone, run, ended = undisturbed("utterance", 2, *GROWING), tmp_path / "run", tmp_path / "ended"
    train(home, "utterance", run, engine, *GROWING)
    assert_close(home, run, alone)
    ask = {"at": "pass", "step": 9, "number": 1, "rank": 1, "do": "term"}
    train(home, "utterance", ended, engine, *GROWING, fault=ask)
    assert home.saved(ended) == 9
    train(home, "utterance", ended, engine, *GROWING)
    home.assert_one(ended, run)


@pytest.mark.parametrize("engine", ["fsdp2", "zero2", "zero3"])
@pytest.mark.parametrize("stage", ["student", "preference", "adapt"])
def test_every_stage_trains_under_an_engine_as_under_ddp(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, stage: str, engine: str
) -> None:
    run = tmp_path / "run"
    train(home, stage, run, engine)
    assert_close(home, run, undisturbed(stage, 2))


@pytest.mark.parametrize(("first", "second"), [("zero3", "ddp"), ("ddp", "zero2"), ("zero2", "fsdp2")])
def test_a_run_goes_on_under_another_engine(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, first: str, second: str
) -> None:
    run = tmp_path / "run"
    train(home, "student", run, first, fault={"at": "pass", "step": 7, "number": 1, "rank": 0, "do": "term"})
    train(home, "student", run, second)
    assert_close(home, run, undisturbed("student", 2))


def test_a_run_of_two_processes_under_an_engine_goes_on_as_one(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path
) -> None:
    words, run = ("heads.dropout=0",), tmp_path / "run"  # what is drawn pass by pass depends on who draws it
    ask = {"at": "pass", "step": 5, "number": 1, "rank": 0, "do": "term"}
    train(home, "student", run, "zero3", *words, fault=ask)
    home.train("student", run, *words)
    assert_close(home, run, undisturbed("student", 1, *words))


@pytest.mark.parametrize("engine", ["fsdp2", "zero2"])
def test_the_running_mean_of_the_weights_is_kept_under_an_engine(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, engine: str
) -> None:
    words, run = ("training.average.ema=0.8",), tmp_path / "run"
    train(home, "student", run, engine, *words)
    assert_close(home, run, undisturbed("student", 2, *words))
    shutil.rmtree(run / "checkpoints/step-00000012")
    train(home, "student", run, engine, *words)
    assert_close(home, run, undisturbed("student", 2, *words))


def test_a_mean_of_weights_in_parts_is_refused(home: Any, tmp_path: Path) -> None:
    words = ("training.average.ema=0.8", "--engine", str(LAUNCH / "zero3.yaml"), "--precision", "no")
    world = home.start("student", tmp_path / "run", *words, ranks=2)
    assert world.wait(400) == [64, 64]
    assert "training.average: no mean is kept" in world.told()
    assert json.loads((tmp_path / "run/exit.json").read_text())["code"] == 64
