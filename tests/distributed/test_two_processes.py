"""Two processes train the model that one trains, and end alike when something is wrong."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

TEN = "training.steps=10"


def places(run: Path) -> list[tuple[int, int]]:
    """Where the stream of windows stood after each step."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(line["epoch"], line["windows"]) for line in lines if "loss" in line]


EVERYTHING = (
    "heads.projection=12",
    "heads.hidden=tanh",
    "objective.domain={mode: reversal, weight: 0.1, warmup: 0.5}",
    "training.average.last=0.5",
    "training.layer_decay=0.8",
)


@pytest.mark.parametrize(
    ("windows", "each", "more"),
    [("4", 2, ()), ("5", 2, ()), ("5", 1, ()), ("[1, 8]", 2, EVERYTHING)],
    ids=["even", "stand-ins", "accumulated", "growing, averaged and against domains"],
)
def test_two_processes_are_one(
    corner: Any,
    torchrun: Callable[..., Any],
    train_here: Callable[..., list[float]],
    tmp_path: Path,
    windows: str,
    each: int,
    more: tuple[str, ...],
) -> None:
    words = (TEN, *more, f"training.windows_per_step={windows}", f"training.windows_per_pass={each}")
    launched = torchrun(*words, "--out", tmp_path / "two")
    assert launched.finish() == 0, launched.told()
    one = train_here(tmp_path / "one", *words)
    assert json.loads((tmp_path / "two" / "environment.json").read_text())["processes"] == 2
    assert places(tmp_path / "two") == places(tmp_path / "one")
    assert corner.losses(tmp_path / "two") == pytest.approx(one, rel=1e-5)
    weights = [load_file(tmp_path / run / "checkpoints/step-00000010/model.safetensors") for run in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5, msg=name)


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    found = []
    for process in processes:
        _, told = process.communicate(timeout=240)
        assert "Traceback" not in told, told[-3000:]
        found.append((process.returncode, told))
    return found


def test_processes_that_were_given_different_recipes_stop(by_hand: Callable[..., Any], tmp_path: Path) -> None:
    with by_hand(["seed=1", "--out", tmp_path / "run"], ["seed=2", "--out", tmp_path / "run"]) as processes:
        for code, told in ends(processes):
            assert code == 76, told
            assert "different recipe" in told
    assert not list(tmp_path.glob("run/checkpoints/*"))


def test_all_processes_stop_at_a_loss_that_is_not_finite(by_hand: Callable[..., Any], tmp_path: Path) -> None:
    words = [
        "training.peak_lr=1e30",
        "training.schedule=constant",
        "training.checkpoint_every=1",
        "--out",
        tmp_path / "run",
    ]
    with by_hand(words, words) as processes:
        assert [code for code, _ in ends(processes)] == [70, 70]
    for file in tmp_path.glob("run/checkpoints/*/model.safetensors"):
        assert all(torch.isfinite(t).all() for t in load_file(file).values())


@pytest.mark.parametrize("lost", [0, 1])
def test_a_process_that_loses_its_peer_says_so_and_asks_to_be_resumed(
    by_hand: Callable[..., Any], tmp_path: Path, lost: int
) -> None:
    words = ["training.steps=100000", "training.checkpoint_every=100000", "--out", tmp_path / "run"]
    with by_hand(words, words) as processes:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        processes[lost].send_signal(signal.SIGKILL)
        (code, told) = ends([processes[1 - lost]])[0]
    assert code == 76, told


def test_a_world_that_nobody_can_join_is_refused(corner: Any, tmp_path: Path) -> None:
    """`WORLD_SIZE=2` without an address to meet at: two such processes would never exchange a gradient."""
    import sys

    command = [sys.executable, "-m", "valenza", "train", str(corner.recipe), "--out", str(tmp_path / "run")]
    environment = corner.environment | {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    code, told = ends([process])[0]
    assert code == 76, told
