"""A disk that is full, read-only or failing costs no checkpoint that was there, and says so (reliability R6, R7)."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from valenza.training import checkpoint

PAGE = 4096
FULL = ("full", "No space left", "free")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run's checkpoints on a file system of 4 MiB of its own."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def pages(folder: Path) -> int:
    return sum(-(-file.stat().st_size // PAGE) for file in folder.iterdir())


def assert_stopped(home: Any, run: Path, world: Any, *words: str) -> None:
    """The first rank says what is wrong with the disk; the others end too; step 2 is kept, and nothing else."""
    first, *others = world.wait(60)
    assert first == 73, world.told()
    assert set(others) <= {73, 76}, world.told()
    assert any(word in world.told(0) for word in words), world.told(0)
    assert str(run) in world.told(0)
    assert [p.name for p in checkpoint.checkpoints(run / "checkpoints")] == ["step-00000002"]
    assert home.saved(run) == 2


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.15, 0.4, 0.7, 0.9, 0.99])
def test_a_disk_that_fills_while_a_checkpoint_is_written(
    home: Any, undisturbed: Callable[..., Path], small: Path, share: float, ranks: int
) -> None:
    """Whatever file it is that does not fit any more. It had said that there was space."""
    alone, run = undisturbed("student", ranks), small.parent
    need = pages(alone / "checkpoints" / "step-00000012")
    left = min(int(share * need), need - 1)
    faults = [
        {"at": "recorded", "step": 4, "rank": 0, "do": f"fill:{left}:{small}"},
        {"at": "nowhere", "do": "boast"},
    ]
    assert_stopped(home, run, home.start("student", run, ranks=ranks, faults=faults), *FULL)
    assert {p.name for p in small.iterdir()} == {"step-00000002", "filler"}
    assert json.loads((run / "exit.json").read_text())["code"] == 73
    (small / "filler").unlink()
    home.train("student", run, ranks=ranks)
    home.assert_one(run, alone)


def test_space_is_asked_for_before_anything_is_written(
    home: Any, undisturbed: Callable[..., Path], small: Path
) -> None:
    alone, run = undisturbed("student", 1), small.parent
    faults = [
        {"at": "recorded", "step": 4, "do": f"fill:{pages(alone / 'checkpoints' / 'step-00000012') - 1}:{small}"},
        {"at": "opened", "step": 4, "do": "runtime error:a file was opened"},
    ]
    assert_stopped(home, run, home.start("student", run, faults=faults), *FULL)
    (small / "filler").unlink()
    home.train("student", run)
    home.assert_one(run, alone)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_run_folder_that_is_full_altogether(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, ranks: int
) -> None:
    """Metrics, log and heartbeat do not fit either."""
    alone, run = undisturbed("student", ranks), tmp_path / "run"
    run.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", run], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        fault = {"at": "recorded", "step": 3, "rank": 0, "do": f"fill:0:{run}"}
        assert_stopped(home, run, home.start("student", run, ranks=ranks, faults=[fault]), *FULL)
        (run / "filler").unlink()
        home.train("student", run, ranks=ranks)
        home.assert_one(run, alone)
    finally:
        subprocess.run(["umount", "-l", run], check=True)


def test_files_that_may_not_grow(home: Any, undisturbed: Callable[..., Path], tmp_path: Path) -> None:
    """A quota: needs no right to mount anything."""
    alone, run = undisturbed("student", 1), tmp_path / "run"
    largest = max(file.stat().st_size for file in (alone / "checkpoints" / "step-00000012").iterdir())
    fault = {"at": "recorded", "step": 4, "do": f"small files:{largest - 100}"}
    world = home.start("student", run, faults=[fault])
    assert_stopped(home, run, world, "File too large", *FULL)
    home.train("student", run)
    home.assert_one(run, alone)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_folder_that_becomes_read_only(home: Any, undisturbed: Callable[..., Path], small: Path, ranks: int) -> None:
    alone, run = undisturbed("student", ranks), small.parent
    fault = {"at": "recorded", "step": 4, "rank": 0, "do": f"read-only:{small}"}
    assert_stopped(home, run, home.start("student", run, ranks=ranks, faults=[fault]), "Read-only", "read-only")
    again = home.start("student", run, ranks=ranks)
    assert again.wait(60)[0] == 73, again.told()
    assert home.saved(run) == 2
    subprocess.run(["mount", "-o", "remount,rw", small], check=True)
    home.train("student", run, ranks=ranks)
    home.assert_one(run, alone)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_folder_that_is_read_only_from_the_start(home: Any, tmp_path: Path, ranks: int) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if os.geteuid() == 0:  # who may write everywhere but where nobody may
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", place], capture_output=True).returncode:
            pytest.skip("needs the right to mount a file system")
    else:
        place.chmod(0o500)
    try:
        world = home.start("student", place / "run", ranks=ranks, environment={"VALENZA_TIMEOUT_SECONDS": "6"})
        first, *others = world.wait(60)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", place], check=True)
    assert first == 73, world.told()
    assert set(others) <= {73, 76}
    assert str(place / "run") in world.told(0)


FAILING = [("rename", 1, "EXDEV"), ("rename", 1, "ESTALE"), ("rename", 1, "ENOSPC"), ("rename", 1, "EIO")]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(
    ("at", "number", "error"),
    [*FAILING, *(("written", number, "EIO" if number % 2 else "ENOSPC") for number in range(1, 5))],
)
def test_a_disk_that_fails_at_any_file(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path, at: str, number: int, error: str, ranks: int
) -> None:
    alone, run = undisturbed("student", ranks), tmp_path / "run"
    assert len(list((alone / "checkpoints" / "step-00000012").iterdir())) >= 4, "every file is to fail once"
    fault = {"at": at, "number": number, "step": 4, "rank": 0, "do": f"error:{error}"}
    wanted = {
        "EXDEV": ("Invalid cross-device link",),
        "ESTALE": ("Stale file handle",),
        "EIO": ("Input/output error",),
        "ENOSPC": FULL,
    }
    assert_stopped(home, run, home.start("student", run, ranks=ranks, faults=[fault]), *wanted[error])
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"step-00000002"}
    home.train("student", run, ranks=ranks)
    home.assert_one(run, alone)


def test_a_checkpoint_that_the_disk_changed_does_not_push_out_the_one_before(
    home: Any, undisturbed: Callable[..., Path], tmp_path: Path
) -> None:
    """What is read back is not what was written: it is noticed before an older one is deleted."""
    alone, run = undisturbed("student", 1), tmp_path / "run"
    faults = [{"at": "named", "step": 4, "do": "flip"}, {"at": "recorded", "step": 5, "do": "kill"}]
    world = home.start("student", run, "training.keep_checkpoints=1", faults=faults)
    assert world.wait()[0] in (73, -9), "it may stop there, or go on with the checkpoint that it has"
    assert home.saved(run) == 2
    home.train("student", run)
    home.assert_one(run, alone)
