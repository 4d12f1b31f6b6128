"""A run that is told to end saves the step that it is in, and asks to be resumed (reliability R5)."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TERMS = int(os.environ.get("VALENZA_TERMS", "10"))
STEPS = max(48, 5 * TERMS)
LONG = (f"training.steps={STEPS}", "training.checkpoint_every=1000", "training.validate_every=4")
POINTS = ("entered", "told", "pass", "second pass", "recorded", "validation", "from outside", "from outside")


def told_at(point: str, step: int, number: int, who: str) -> dict[str, Any]:
    """The fault that signals at a point in or after a step."""
    match point:
        case "entered" | "told":
            return {"at": point, "do": who}
        case "pass" | "second pass":
            return {"at": "pass", "step": step, "number": number, "do": who}
        case "validation":
            return {"at": point, "step": step + -step % 4, "number": 1, "do": who}
        case _:
            return {"at": point, "step": step, "do": who}


def assert_left_well(home: Any, run: Path, world: Any, before: int, early: int | None = None) -> int:
    """All ranks ended as one that asks to be resumed, and no step was lost that the metrics tell of.

    Where rank `early` was the first to be there, another may still have been a Python that was starting up.
    """
    codes = world.wait(60)
    if early is None:
        assert codes == [75] * len(world.pids), (codes, world.told())
    else:
        assert codes[early] == 75, (codes, world.told())
        assert set(codes) <= {75, -signal.SIGTERM}, (codes, world.told())
    saved = int(home.saved(run))
    assert saved >= before, "it is behind where it began"
    assert home.steps(run) - saved <= 1
    if run.exists():  # a request that came before anything else leaves nothing
        assert json.loads((run / "exit.json").read_text())["code"] == 75
    return saved


@pytest.mark.timeout(600 + 20 * TERMS)
@pytest.mark.parametrize("ranks", [2])
def test_terms_lose_nothing(home: Any, undisturbed: Callable[..., Path], tmp_path: Path, ranks: int) -> None:
    """Each signal meets another point, on one rank or on all; the run ends as if it had met none."""
    alone, run = undisturbed("student", ranks, *LONG), tmp_path / "run"
    dice = random.Random(5)
    saved, signals = 0, 0
    while signals < TERMS:
        point = POINTS[signals % len(POINTS)]
        step = saved + dice.randint(1, 3)
        rank = dice.randrange(ranks)
        # Before the ranks have met, one cannot tell the others.
        who = "term all" if point == "entered" else dice.choice(["term all", "term"])
        fault = told_at(point, step, 2 if point == "second pass" else 1, who) | {"rank": rank}
        if point == "from outside":
            world = home.start("student", run, *LONG, ranks=ranks)
            deadline = time.monotonic() + 60
            while home.steps(run) <= saved and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(dice.uniform(0, 0.05))
            world.signal(signal.SIGTERM, *dice.choice([(), (0,), (1,)]))
        else:
            world = home.start("student", run, *LONG, ranks=ranks, faults=[fault])
        now = assert_left_well(home, run, world, saved, rank if point == "entered" else None)
        if "step" in fault and point != "from outside":
            assert now >= fault["step"] - 1, (fault, now)
            assert now <= fault["step"] + 1, "it went on after it was told to end"
        saved, signals = now, signals + 1
    home.train("student", run, *LONG, ranks=ranks)
    home.assert_one(run, alone)
    assert json.loads((run / "exit.json").read_text())["code"] == 0


@pytest.mark.parametrize("stage", ["utterance", "preference", "adapt"])
def test_every_stage_hears_it(home: Any, undisturbed: Callable[..., Path], tmp_path: Path, stage: str) -> None:
    alone, run = undisturbed(stage, 1), tmp_path / "run"
    world = home.start(stage, run, faults=[{"at": "pass", "step": 5, "number": 3, "do": "term"}])
    assert assert_left_well(home, run, world, 4) == 5
    home.train(stage, run)
    home.assert_one(run, alone)


@pytest.mark.parametrize("number", [1, 3])
def test_inside_a_checkpoint_it_is_finished_first(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, number: int
) -> None:
    alone, run = undisturbed("student", 2), tmp_path / "run"
    fault = {"at": "written", "step": 4, "number": number, "do": "term all"}
    world = home.start("student", run, ranks=2, faults=[fault])
    assert 4 <= assert_left_well(home, run, world, 4) <= 5
    home.train("student", run, ranks=2)
    home.assert_one(run, alone)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_validation_that_was_broken_off_is_done_again(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, rank: int
) -> None:
    alone, run = undisturbed("student", 2), tmp_path / "run"
    fault = {"at": "validation", "step": 6, "number": 1, "rank": rank, "do": "term"}
    assert assert_left_well(home, run, home.start("student", run, ranks=2, faults=[fault]), 4) == 6
    home.train("student", run, ranks=2)
    home.assert_one(run, alone)


def test_in_the_last_step_the_run_may_as_well_end(home: Any, undisturbed: Callable[..., Path], tmp_path: Path) -> None:
    alone, run = undisturbed("student", 2), tmp_path / "run"
    fault = {"at": "recorded", "step": 12, "rank": 0, "do": "term all"}
    codes = home.start("student", run, ranks=2, faults=[fault]).wait()
    assert codes in ([0, 0], [75, 75])
    assert home.saved(run) == 12
    home.train("student", run, ranks=2)
    home.assert_one(run, alone)


@pytest.mark.parametrize("busy", ["sleep:60", "spin"])
def test_a_second_one_ends_it_at_once(home: Any, undisturbed: Callable[..., Path], tmp_path: Path, busy: str) -> None:
    """Rank 1 is busy for a long while, and rank 0 waits for it inside an exchange: neither can finish its step."""
    run = tmp_path / "run"
    world = home.start("student", run, ranks=2, faults=[{"at": "pass", "step": 4, "rank": 1, "do": busy}])
    deadline = time.monotonic() + 60
    while home.steps(run) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    world.signal(signal.SIGTERM)
    time.sleep(1)
    assert world.poll() == [None, None], "one was enough"
    began = time.monotonic()
    world.signal(signal.SIGTERM)
    codes = world.wait(10)
    assert time.monotonic() - began < 3
    assert set(codes) <= {143, -signal.SIGTERM}, world.told()
    assert home.saved(run) == 2
    home.train("student", run, ranks=2)
    home.assert_one(run, undisturbed("student", 2))


def test_a_process_that_has_hardly_begun_leaves_nothing_behind(home: Any, corner: Any, tmp_path: Path) -> None:
    """Python itself starts up without a handler, so an early signal ends it; either way the run can begin anew."""
    command = [sys.executable, "-m", "valenza", "train", str(home.recipe("student")), "--out", str(tmp_path / "run")]
    for pause in (0.02, 0.3, 1.0, 2.0):
        with subprocess.Popen(command, env=corner.environment, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(pause)
            process.terminate()
            _, told = process.communicate(timeout=60)
        assert process.returncode in {75, 143, -signal.SIGTERM}, told
        assert "Traceback" not in told
    home.train("student", tmp_path / "run")


def test_under_torchrun_the_run_folder_tells(
    home: Any, corner: Any, undisturbed: Callable[..., Path], tmp_path: Path
) -> None:
    """Torchrun exits 1 whatever its workers say, so what schedulers go by is `exit.json`."""
    run, words = tmp_path / "run", LONG
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    train = ["-m", "valenza", "train", str(home.recipe("student")), *words, "--out", str(run)]
    environment = corner.environment | {"VALENZA_CACHE": str(home.cache)}
    with subprocess.Popen(
        [sys.executable, *launch, *train], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while home.steps(run) < 2 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert process.returncode != 0, told
    assert json.loads((run / "exit.json").read_text())["code"] == 75, told
    assert home.saved(run) == home.steps(run) > 0
    home.train("student", run, *words, ranks=2)
    home.assert_one(run, undisturbed("student", 2, *words))
