"""A run that is killed again and again is the run that was left alone, to the last bit (reliability R1)."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valenza.terminal import say

KILLS = int(os.environ.get("VALENZA_KILLS", "10"))
STEPS = max(40, 4 * KILLS)
WORDS = (
    f"training.steps={STEPS}",
    "training.checkpoint_every=3",
    "training.validate_every=7",
    "heads.dropout=0.1",
    "augment={speed: 0.3, noise: 0.5, gain: 0.5, roll: 0.5, frequency_mask: 0.5}",
    "heads.projection=12",
    "objective.domain={mode: reversal, weight: 0.1, warmup: 0.5}",
    "training.windows_per_step=[2, 4]",
    "training.average.ema=0.9",
)


def steps(run: Path) -> int:
    try:
        return (run / "metrics.jsonl").read_bytes().count(b'"loss"')
    except FileNotFoundError:
        return 0


def writing(run: Path, since: float) -> bool:
    """Whether a checkpoint is half written, other than one that an earlier kill left."""
    for partial in run.glob("checkpoints/.*.partial"):
        try:
            if partial.stat().st_mtime >= since:
                return True
        except FileNotFoundError:  # it has just become whole
            continue
    return False


def first_step(process: Any, run: Path, at_start: int) -> float:
    """Wait for a new line of metrics and return how long it took."""
    began, before = time.monotonic(), at_start
    while process.process.poll() is None:
        now = steps(run)
        if now < before:  # lines after the checkpoint have been dropped
            before = now
        elif now > before:
            break
        time.sleep(0.005)
    return time.monotonic() - began


def wait_to_kill(process: Any, run: Path, dice: random.Random, start_up: float, since: float) -> str:
    """Let a run go on until its moment has come; returns which kind of moment it was."""
    kind = dice.choices(["start-up", "step", "checkpoint"], [2, 5, 3])[0]
    if kind == "start-up":
        time.sleep(dice.uniform(0.4, 1.0) * start_up)
        return kind
    first_step(process, run, steps(run))
    if kind == "step":
        goal, pause = steps(run) + dice.randrange(6), dice.uniform(0, 0.1)
        while process.process.poll() is None and steps(run) < goal:
            time.sleep(0.002)
        time.sleep(pause)
        return kind
    writes = dice.randint(1, 2)
    pause = dice.choice([0.0, dice.uniform(0, 0.05)])
    while process.process.poll() is None and writes:
        if writing(run, since):
            writes -= 1
            while writes and writing(run, since) and process.process.poll() is None:
                time.sleep(0.0005)
        elif writes:
            time.sleep(0.0005)
    time.sleep(pause)
    return kind


@pytest.mark.timeout(600 + 40 * KILLS)
def test_kills_leave_no_trace(
    corner: Any, torchrun: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    whole = torchrun(*WORDS, "--out", alone)
    start_up = first_step(whole, alone, 0)
    assert whole.finish() == 0, whole.told()

    dice = random.Random(20)
    moments: list[str] = []
    inside = 0
    while len(moments) < KILLS:
        since = time.time()
        run = torchrun(*WORDS, "--out", killed)
        kind = wait_to_kill(run, killed, dice, start_up, since)
        if run.process.poll() is not None:
            assert run.process.returncode == 0, run.told()
            break
        run.kill()
        inside += writing(killed, since)
        moments.append(kind)
    last = torchrun(*WORDS, "--out", killed)
    assert last.finish() == 0, last.told()
    with capsys.disabled():
        say(f" {len(moments)} kills, {inside} of them inside a checkpoint; start-up {start_up:.1f} s")

    assert len(moments) >= KILLS // 2, f"the run was over after {len(moments)} kills"
    expected, found = corner.losses(alone), corner.losses(killed)
    assert len(expected) == STEPS
    assert [loss.hex() for loss in found] == [loss.hex() for loss in expected]
    for file in ("model.safetensors", "training.safetensors"):
        final = Path("checkpoints") / f"step-{STEPS:08d}" / file
        assert (killed / final).read_bytes() == (alone / final).read_bytes()
