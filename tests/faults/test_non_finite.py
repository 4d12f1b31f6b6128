"""Where anything becomes NaN or infinite on any rank, all ranks act alike and nothing of it is kept (R12)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

AT_ONCE = "training.non_finite_steps=1"
WHERE = [
    ("utterance", "nan audio", 1),
    ("utterance", "nan label", 0),
    ("utterance", "infinite gradient", 1),
    ("student", "nan label", 1),
    ("student", "nan loss", 1),
    ("student", "infinite loss", 0),
    ("student", "infinite gradient", 0),
    ("preference", "nan label", 1),
    ("adapt", "nan loss", 0),
]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(("stage", "what", "rank"), WHERE)
def test_all_ranks_stop_alike(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, stage: str, what: str, rank: int, number: int
) -> None:
    """In the first of two passes or in the second, which finds the good gradient of the first."""
    alone, run = undisturbed(stage, 2), tmp_path / "run"
    fault = {"at": "pass", "step": 6, "number": number, "rank": rank, "do": what}
    world = home.start(stage, run, AT_ONCE, ranks=2, faults=[fault])
    assert world.wait(60) == [70, 70], world.told()
    for each in (0, 1):
        assert "step 6" in world.told(each)
    home.assert_finite(run)
    assert home.steps(run) == 5
    assert home.saved(run) == 4
    home.train(stage, run, AT_ONCE, ranks=2)
    home.assert_one(run, alone)


@pytest.mark.parametrize("what", ["nan audio", "nan label", "infinite gradient"])
def test_alone(home: Any, undisturbed: Callable[..., Path], tmp_path: Path, what: str) -> None:
    alone, run = undisturbed("student", 1), tmp_path / "run"
    world = home.start("student", run, AT_ONCE, faults=[{"at": "pass", "step": 3, "number": 1, "do": what}])
    assert world.wait(60) == [70], world.told()
    home.assert_finite(run)
    home.train("student", run, AT_ONCE)
    home.assert_one(run, alone)


def shown(world: Any) -> list[set[str]]:
    """The weights that each rank told of."""
    ranks = range(len(world.pids))
    return [{line for line in world.told(rank).splitlines() if line.startswith("weights ")} for rank in ranks]


SHOW = [{"at": "pass", "number": 1, "do": "show weights"}]
"""Before each step."""


@pytest.mark.parametrize(("stage", "what", "rank"), WHERE[2:6])
def test_a_step_that_is_not_finite_is_taken_by_none(
    home: Any, tmp_path: Path, stage: str, what: str, rank: int
) -> None:
    run = tmp_path / "run"
    fault = {"at": "pass", "step": 6, "rank": rank, "number": 1, "do": what}
    world = home.train(stage, run, "training.steps=9", ranks=2, faults=[fault, *SHOW])
    lines = [line for line in home.lines(run) if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 10))
    assert [line["step"] for line in lines if None in (line["loss"], line["gradient_norm"])] == [6]
    first, second = shown(world)
    assert first == second
    assert len(first) == 8, "nine steps began with eight weights: those before and after the one that was not taken"
    assert "step 6 was not taken" in world.told(0)
    home.assert_finite(run)


def test_several_in_a_row_end_the_run(home: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    steps = [{"at": "pass", "step": step, "rank": step % 2, "do": "nan loss"} for step in (3, 4, 6, 7, 8, 9, 10)]
    world = home.start("student", run, ranks=2, faults=[*steps, *SHOW])
    assert world.wait(60) == [70, 70], world.told()
    first, second = shown(world)
    assert first == second
    for each in (0, 1):
        assert "step 8" in world.told(each)
        assert "3 steps in a row" in world.told(each)
    assert home.steps(run) == 7
    home.assert_finite(run)


def test_a_run_does_not_end_well_on_a_step_that_was_not_taken(home: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"at": "pass", "step": 12, "rank": 1, "do": "nan loss"}
    assert home.start("student", run, ranks=2, faults=[fault]).wait(60) == [70, 70]
    assert home.saved(run) == 10
    home.train("student", run, ranks=2)
    assert home.saved(run) == 12


def test_in_the_first_step_there_is_nothing_to_keep(home: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fault = {"at": "pass", "step": 1, "rank": 1, "do": "nan loss"}
    world = home.start("student", run, AT_ONCE, ranks=2, faults=[fault])
    assert world.wait(60) == [70, 70], world.told()
    assert home.saved(run) == home.steps(run) == 0


def test_a_mean_of_weights_stays_finite(home: Any, tmp_path: Path) -> None:
    """What a checkpoint is used with may be the mean; both are looked at."""
    run, words = tmp_path / "run", ("training.average.ema=0.9", AT_ONCE)
    fault = {"at": "pass", "step": 6, "rank": 1, "do": "infinite gradient"}
    assert home.start("student", run, *words, ranks=2, faults=[fault]).wait(60) == [70, 70]
    assert {p.name for p in (run / "checkpoints" / "step-00000004").iterdir()} >= {"training.safetensors"}
    home.assert_finite(run)
