"""A rank that sleeps, loops, is stopped or dead ends the job soon, and the stacks of the ranks tell why (R13)."""

import json
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

TIMEOUT = 6
SOON = {"VALENZA_TIMEOUT_SECONDS": str(TIMEOUT)}


def reached(home: Any, run: Path, steps: int) -> float:
    """Wait until so many steps are done."""
    deadline = time.monotonic() + 60
    while home.steps(run) < steps:
        assert time.monotonic() < deadline, "it did not get there"
        time.sleep(0.01)
    return time.monotonic()


def stacks(run: Path) -> dict[int, str]:
    """Rank → its stacks on disk."""
    found = {int("".join(filter(str.isdigit, f.stem))): f for f in (run / "stacks").iterdir()}
    return {rank: file.read_text() for rank, file in found.items()}


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("do", ["sleep:300", "spin"])
def test_a_rank_that_is_busy_elsewhere(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, do: str, rank: int
) -> None:
    alone, run = undisturbed("student", 2), tmp_path / "run"
    fault = {"at": "pass", "step": 4, "rank": rank, "do": do}
    world = home.start("student", run, ranks=2, faults=[fault], environment=SOON)
    began = reached(home, run, 3)
    assert world.wait(60) == [76, 76], world.told()
    assert time.monotonic() - began < TIMEOUT + 10
    told = stacks(run)
    assert told.keys() == {0, 1}
    assert "driver.py" in told[rank], "not where it was"
    assert "step.py" in told[1 - rank]
    assert json.loads((run / "exit.json").read_text())["code"] == 76
    home.train("student", run, ranks=2)
    home.assert_one(run, alone)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("do", ["stop", "kill"])
def test_a_rank_that_is_gone(home: Any, undisturbed: Callable[..., Path], tmp_path: Path, do: str, rank: int) -> None:
    """A stopped or dead process writes nothing; the last of its life signs tells how far it came."""
    alone, run = undisturbed("student", 2), tmp_path / "run"
    at = {"at": "pass", "step": 4, "rank": rank}
    faults = [{**at, "number": 1, "do": f"sleep:{TIMEOUT - 2}"}, {**at, "number": 2, "do": do}]
    world = home.start("student", run, ranks=2, faults=faults, environment=SOON)
    began = reached(home, run, 3)
    while world.poll()[1 - rank] is None:
        assert time.monotonic() - began < TIMEOUT + 10, world.told()
        time.sleep(0.02)
    assert world.codes[1 - rank] == 76, world.told()
    beat = json.loads((run / "heartbeat" / f"rank-{rank}.json").read_text())
    assert (beat["step"], beat["phase"]) == (3, "step")
    assert "step.py" in stacks(run)[1 - rank]
    if do == "stop":
        assert world.poll()[rank] is None
        world.signal(signal.SIGKILL, rank)
    world.wait(10)
    home.train("student", run, ranks=2)
    home.assert_one(run, alone)


def test_a_rank_that_never_comes(home: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    began = time.monotonic()
    fault = {"at": "entered", "rank": 1, "do": "stop"}
    world = home.start("student", run, ranks=2, faults=[fault], environment=SOON)
    while world.poll()[0] is None:
        assert time.monotonic() - began < 2 * TIMEOUT + 10, world.told()
        time.sleep(0.02)
    assert world.codes[0] == 76, world.told()
    assert "Traceback" not in world.told()
    assert home.steps(run) == 0


def test_a_slow_rank_is_waited_for(home: Any, undisturbed: Callable[..., Path], tmp_path: Path) -> None:
    alone, run = undisturbed("student", 2), tmp_path / "run"
    fault = {"at": "pass", "step": 4, "number": 1, "rank": 1, "do": f"sleep:{TIMEOUT - 3}"}
    home.train("student", run, ranks=2, faults=[fault], environment=SOON)
    home.assert_one(run, alone)
    assert not list(run.glob("stacks/*"))


def test_every_rank_tells_how_far_it_is(home: Any, undisturbed: Callable[..., Path]) -> None:
    for rank in (0, 1):
        beat = json.loads((undisturbed("student", 2) / "heartbeat" / f"rank-{rank}.json").read_text())
        assert beat.keys() >= {"step", "phase", "time"}
        assert beat["step"] == 12
        since = datetime.now().astimezone() - datetime.fromisoformat(beat["time"])
        assert timedelta(0) <= since + timedelta(seconds=1) < timedelta(hours=2)
