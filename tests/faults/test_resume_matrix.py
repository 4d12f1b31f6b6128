"""A run that is killed at any point is the run that was left alone, to the last bit (reliability R2)."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from valenza.training import checkpoint

STAGES = ("utterance", "student", "preference", "adapt")
STEPS = 12


def mid_epoch(lines: list[dict[str, Any]]) -> int:
    """A step after which more windows of its epoch are to come."""
    return next(int(a["step"]) for a, b in pairwise(lines) if a["step"] > 1 and a["epoch"] == b["epoch"])


def epoch_end(lines: list[dict[str, Any]]) -> int:
    """A step that takes the last window of its epoch."""
    return next(int(a["step"]) for a, b in pairwise(lines) if a["epoch"] < b["epoch"] and b["windows"] == 4)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "point", ["mid-epoch", "epoch end", "mid-accumulation", "validation", "last step", "last checkpoint"]
)
def test_resuming_changes_nothing(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, point: str, stage: str, ranks: int
) -> None:
    alone, run = undisturbed(stage, ranks), tmp_path / "run"
    steps = [line for line in home.lines(alone) if "loss" in line]
    words: list[str] = []
    match point:
        case "mid-epoch" | "epoch end":
            saved = (mid_epoch if point == "mid-epoch" else epoch_end)(steps)
            words = [f"training.checkpoint_every={saved}"]
            fault = {"at": "pass", "step": min(saved + 2, STEPS)}
        case "mid-accumulation":
            saved, fault = 4, {"at": "pass", "step": 6, "number": 2}
        case "validation":
            saved, fault = 4, {"at": "validation", "step": 6, "number": 1}
        case "last step":
            saved, fault = STEPS - 2, {"at": "recorded", "step": STEPS}
        case _:
            saved, fault = STEPS, {"at": "left"}
    killed = home.start(stage, run, *words, ranks=ranks, faults=[{**fault, "do": "kill all"}])
    assert killed.wait() == [-9] * ranks, killed.told()
    assert home.saved(run) == saved
    home.train(stage, run, *words, ranks=ranks)
    home.assert_one(run, alone)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("stage", ["utterance", "student"])
def test_a_checkpoint_that_is_cut_short_by_a_kill_is_none(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, stage: str, ranks: int
) -> None:
    """Killed before each of its files reaches the disk, before it gets its name, and between two such kills."""
    alone, run = undisturbed(stage, ranks), tmp_path / "run"
    files = len(list((alone / "checkpoints" / f"step-{STEPS:08d}").iterdir()))
    for number in range(1, files + 1):
        step = 2 if number < 3 else 4  # the first of a run, which has none before it, and a later one
        fault = {"at": "written", "number": number, "step": step, "do": "kill all"}
        assert home.start(stage, run, ranks=ranks, faults=[fault]).wait() == [-9] * ranks
        assert home.saved(run) == step - 2
    fault = {"at": "rename", "step": 4, "do": "kill all"}
    assert home.start(stage, run, ranks=ranks, faults=[fault]).wait() == [-9] * ranks
    assert home.saved(run) == 2
    home.train(stage, run, ranks=ranks)
    home.assert_one(run, alone)


@pytest.mark.parametrize("file", ["model.safetensors", "state.json", checkpoint.COMPLETE])
def test_a_checkpoint_that_is_not_whole_is_passed_over(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, file: str
) -> None:
    alone, run = undisturbed("student", 1), tmp_path / "run"
    assert home.start("student", run, faults=[{"at": "recorded", "step": 7, "do": "kill"}]).wait() == [-9]
    *_, earlier, last = checkpoint.checkpoints(run / "checkpoints")
    (last / file).unlink()
    assert home.saved(run) == int(earlier.name.removeprefix("step-")) == 4
    resumed = home.train("student", run)
    assert f"{last.name}: passed over" in resumed.told()
    home.assert_one(run, alone)
