"""Any number of processes trains the same run, and may go on with another one's."""

import json
import os
import shutil
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

WITNESS = Path(__file__).with_name("witness.py")
STEPS = 50
WORDS = (
    f"training.steps={STEPS}",
    "training.checkpoint_every=10",
    "training.keep_checkpoints=9",
    "training.validate_every=25",
    "training.windows_per_step=[3, 8]",
    "training.windows_per_pass=2",
    "augment={speed: 0.3, noise: 0.5, frequency_mask: 0.5}",
    "objective.domain={mode: reversal, weight: 0.1, warmup: 0.5}",
)


def train(corner: Any, run: Path, processes: int, *more: str) -> list[list[Any]]:
    """Train on so many processes; returns the windows of every step, in the order of the whole step."""
    seen = run.with_name(f"{run.name}-seen-{processes}")
    seen.mkdir(parents=True)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    done = subprocess.run(
        [*launcher, str(WITNESS), "train", str(corner.recipe), *WORDS, *more, "--out", str(run), "--precision", "no"],
        env=corner.environment | {"WITNESS": str(seen)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((run / "environment.json").read_text())["processes"] == processes
    of_rank = []
    for rank in range(processes):
        lines = map(json.loads, (seen / f"rank-{rank}.jsonl").read_text().splitlines())
        of_rank.append({step: list(windows) for step, windows in groupby(lines, key=lambda line: line[0])})
    steps = []
    for step in of_rank[0]:
        windows = [window for turn in zip(*(rank[step] for rank in of_rank), strict=True) for window in turn]
        steps.append([window[2:] for window in windows if window[1]])
    return steps


def test_one_two_and_four_processes_see_the_same_and_go_on_for_each_other(corner: Any, tmp_path: Path) -> None:
    seen = {processes: train(corner, tmp_path / f"on-{processes}", processes) for processes in (1, 2, 4)}
    losses = {processes: corner.losses(tmp_path / f"on-{processes}") for processes in seen}
    assert len(seen[1]) == len(losses[1]) == STEPS
    assert len({len(step) for step in seen[1]}) == 3  # the batch grows
    for processes in (2, 4):
        assert seen[processes] == seen[1]
        assert losses[processes] == pytest.approx(losses[1], rel=1e-5)

    run = tmp_path / "on-2"
    for step, processes in ((20, 1), (40, 4)):
        for later in range(step + 10, STEPS + 1, 10):
            shutil.rmtree(run / "checkpoints" / f"step-{later:08d}")
        again = train(corner, run, processes)
        assert again == seen[1][step:]
        assert corner.losses(run) == pytest.approx(losses[1], rel=1e-5)


def test_lanes_of_blocks_are_the_same_on_two_processes_that_plan_their_own(corner: Any, tmp_path: Path) -> None:
    """Each counts the windows of its lanes once an epoch, ahead of the steps, since workers ask for them early."""
    more = ("data.lanes=2", "data.block_hours=0.001", "training.windows_per_step=4", "training.steps=20", "--workers=1")
    one = train(corner, tmp_path / "one", 1, *more)
    two = train(corner, tmp_path / "two", 2, *more)
    assert two == one
    assert corner.losses(tmp_path / "two") == pytest.approx(corner.losses(tmp_path / "one"), rel=1e-5)
    epochs = [json.loads(line).get("epoch") for line in (tmp_path / "two/metrics.jsonl").read_text().splitlines()]
    assert max(epoch for epoch in epochs if epoch is not None) > 2


def test_waiting_for_a_peer_has_an_end_that_can_be_set(corner: Any, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "valenza", "train", str(corner.recipe), "--out", str(tmp_path / "run")],
        env=corner.environment | {"VALENZA_TIMEOUT_SECONDS": "soon"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == os.EX_USAGE
    assert "VALENZA_TIMEOUT_SECONDS: 'soon' is no number of seconds" in ended.stderr
