"""Ranks that were started differently stop before the first step and say what differs (reliability R24)."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from valenza.shards.index import CARD

SOON = {"VALENZA_TIMEOUT_SECONDS": "6"}


@pytest.mark.parametrize(
    ("word", "field"),
    [
        ("seed=8", "seed"),
        ("training.peak_lr=1e-3", "training.peak_lr"),
        ("heads.dropout=0.3", "heads.dropout"),
        ("data.validation=0.2", "data.validation"),
        ("training.windows_per_pass=2", "training.windows_per_pass"),
        ("training.validate_every=5", "training.validate_every"),
        ("training.checkpoint_every=5", "training.checkpoint_every"),
    ],
)
def test_another_recipe_on_one_rank(home: Any, tmp_path: Path, word: str, field: str) -> None:
    """A pass, a validation or a checkpoint more on one rank than on the others hangs them, if nothing worse."""
    run = tmp_path / "run"
    world = home.start("student", run, ranks=2, each=[[], [word]], environment=SOON)
    assert world.wait(60) == [76, 76], world.told()
    for rank in (0, 1):
        assert field in world.told(rank)
    assert home.steps(run) == home.saved(run) == 0


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("field", ["index", "version"])
def test_another_index_or_program_on_one_rank(home: Any, tmp_path: Path, field: str, rank: int) -> None:
    run = tmp_path / "run"
    fault = {"at": "told", "rank": rank, "do": f"another {field}"}
    world = home.start("student", run, ranks=2, faults=[fault], environment=SOON)
    assert world.wait(60) == [76, 76], world.told()
    for each in (0, 1):
        assert f"different {field}" in world.told(each)
    assert home.steps(run) == home.saved(run) == 0


def test_another_index_on_one_rank_for_real(home: Any, corner: Any, tmp_path: Path) -> None:
    """One node whose copy of the shards is of another day."""
    copy = tmp_path / "shards"
    shutil.copytree(corner.shards, copy)
    file = copy / "english" / CARD
    file.write_text(file.read_text() + "# as of yesterday\n")
    run = tmp_path / "run"
    each = [[], [f"data.shards={copy}"]]
    world = home.start("utterance", run, ranks=2, each=each, environment=SOON)
    assert world.wait(60) == [76, 76], world.told()
    assert "index" in world.told(0)
    assert home.steps(run) == home.saved(run) == 0


def test_another_world_on_one_rank(home: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    worlds: list[dict[str, str]] = [{}, {"WORLD_SIZE": "3"}]
    world = home.start("student", run, ranks=2, environments=worlds, environment=SOON)
    assert world.wait(60) == [76, 76], world.told()
    assert home.steps(run) == home.saved(run) == 0
