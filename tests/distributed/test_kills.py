"""A run that is killed again and again is the run that was left alone, to the last bit (reliability R1)."""

import fcntl
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from valenza.terminal import say
from valenza.training import checkpoint

KILLS = int(os.environ.get("VALENZA_KILLS", "20"))
STEPS = max(40, 6 * KILLS)
WHO = ("all", "rank 0", "launcher", "all", "rank 1")
"""Who is killed, in turn."""
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


def workers(launcher: int) -> dict[int, int]:
    """Rank → process id of the workers of a launcher that have begun."""
    found: dict[int, int] = {}
    for task in Path(f"/proc/{launcher}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            try:
                given = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            except OSError:  # it has just ended
                continue
            found |= {int(value[5:]): child for value in given if value.startswith(b"RANK=")}
    return found


def send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def taken(run: Path) -> bool:
    """Whether a process holds the run folder."""
    try:
        with (run / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def kill_rank(process: Any, rank: int) -> None:
    """SIGKILL one worker; its launcher and the other one end by themselves."""
    deadline = time.monotonic() + 60
    while rank not in (found := workers(process.process.pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    send(signal.SIGKILL, [found[rank]])
    assert process.finish(90) != 0, process.told()


def kill_launcher(process: Any, run: Path, start: Callable[[], Any], dice: random.Random) -> bool:
    """SIGKILL the launcher alone; returns whether its workers lived on, of which a second start must hear."""
    orphans = list(workers(process.process.pid).values())
    send(signal.SIGKILL, [process.process.pid])
    process.process.wait()
    send(signal.SIGSTOP, orphans)  # so that they do not end while the second start is on its way
    refused = taken(run)
    if refused:
        second = start()
        assert second.finish(120) != 0, second.told()
        assert "another process is training here" in second.told()
    send(signal.SIGCONT, orphans)
    time.sleep(dice.uniform(0, 0.5))
    send(signal.SIGKILL, orphans)
    deadline = time.monotonic() + 10
    while taken(run) and time.monotonic() < deadline:
        time.sleep(0.01)
    return refused


@pytest.mark.timeout(600 + 60 * KILLS)
def test_kills_leave_no_trace(
    corner: Any, torchrun: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    whole = torchrun(*WORDS, "--out", alone)
    start_up = first_step(whole, alone, 0)
    assert whole.finish() == 0, whole.told()

    def start() -> Any:
        return torchrun(*WORDS, "--out", killed)

    dice = random.Random(20)
    inside = refused = 0
    for number in range(KILLS):
        since, who = time.time(), WHO[number % len(WHO)]
        run = start()
        kind = wait_to_kill(run, killed, dice, start_up, since)
        assert run.process.poll() is None, f"it ended before kill {number} ({kind}): {run.told()}"
        if who == "all":
            run.kill()
        elif who == "launcher":
            refused += kill_launcher(run, killed, start, dice)
        else:
            kill_rank(run, int(who[-1]))
        inside += writing(killed, since)
        checkpoint.newest(killed / "checkpoints")  # raises where none that is there verifies
    last = start()
    assert last.finish() == 0, last.told()
    with capsys.disabled():
        say(f" {KILLS} kills, {inside} of them inside a checkpoint; {refused} second starts; start-up {start_up:.1f} s")

    assert refused or len(WHO) > KILLS
    expected, found = corner.losses(alone), corner.losses(killed)
    assert len(expected) == STEPS
    assert [loss.hex() for loss in found] == [loss.hex() for loss in expected]
    for file in ("model.safetensors", "training.safetensors"):
        final = Path("checkpoints") / f"step-{STEPS:08d}" / file
        assert (killed / final).read_bytes() == (alone / final).read_bytes()
