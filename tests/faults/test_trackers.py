"""An experiment tracker that fails, at whatever call, changes nothing of a run (reliability R21)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EVERY = ("__init__", "start", "log", "store_init_configuration", "finish")


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
@pytest.mark.parametrize("calls", [EVERY, ("start", "log"), ("log",), ("finish",)], ids="+".join)
def test_a_tracker_that_fails(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, calls: tuple[str, ...], tracker: str, ranks: int
) -> None:
    alone, run = undisturbed("student", ranks), tmp_path / "run"
    fault = {"at": "tracker", "calls": calls, "do": "broken tracker"}
    world = home.train("student", run, f"training.tracker={tracker}", ranks=ranks, faults=[fault])
    home.assert_one(run, alone)
    if calls != ("finish",):
        assert world.told().count("the tracker is off") == 1
        assert "no route to the tracker" in world.told(0)


def test_a_tracker_that_works_is_told(home: Any, tmp_path: Path) -> None:
    """Otherwise the cases above could not fail."""
    run = tmp_path / "run"
    fault = {"at": "tracker", "calls": ("log",), "do": "counting tracker"}
    world = home.train("student", run, "training.tracker=tensorboard", faults=[fault])
    assert world.told().count("tracked ") == 12 + 4
    assert "the tracker is off" not in world.told()
