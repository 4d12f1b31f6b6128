"""Worker processes that die, hang or are told to end, in real runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from valenza.errors import PeerError
from valenza.features.batch import Batch, load
from valenza.mixture.stream import Window

LONG = ("training.steps=100000", "training.validate_every=100000", "training.checkpoint_every=3")
SHORT = ("training.steps=40", "training.validate_every=40", "training.checkpoint_every=4")
TEN_SECONDS = 10.0


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def until(true: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
    return found


@dataclass
class Run:
    """A training run of its own process, with two workers."""

    process: subprocess.Popen[str]
    folder: Path

    def steps(self) -> int:
        file = self.folder / "metrics.jsonl"
        return file.read_text().count('"loss"') if file.exists() else 0

    def workers(self) -> list[int]:
        return children(self.process.pid)

    def after(self, steps: int) -> "Run":
        until(lambda: self.steps() >= steps or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()
        return self

    def end(self, seconds: float) -> tuple[int, str]:
        _, told = self.process.communicate(timeout=seconds)
        assert "Traceback" not in told, told[-3000:]
        return self.process.returncode, told


@pytest.fixture
def train(corner: Any) -> Iterator[Callable[..., Any]]:
    """Start `valenza train … --workers 2`; a context that kills what is left."""

    @contextmanager
    def start(folder: Path, *words: str) -> Iterator[Run]:
        command = [sys.executable, "-m", "valenza", "train", str(corner.recipe), *words, "--workers", "2"]
        process = subprocess.Popen(
            [*command, "--out", str(folder)],
            cwd=folder.parent,
            env=corner.environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        run = Run(process, folder)
        workers: list[int] = []
        try:
            yield run
        finally:
            if process.poll() is None:
                workers = run.workers()
                process.kill()
                process.communicate()
            until(lambda: all(map(gone, workers)), 5)

    return start


@pytest.fixture(scope="module")
def undisturbed(corner: Any, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = corner.run("train", corner.recipe, *SHORT, "--out", folder, timeout=300)
    assert done.code == 0, done.err
    return list(corner.losses(folder))


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS], ids=lambda s: s.name)
def test_a_worker_that_dies_names_its_clips_and_the_run_is_resumed_exactly(
    corner: Any, train: Any, undisturbed: list[float], tmp_path: Path, fatal: signal.Signals
) -> None:
    with train(tmp_path / "run", *SHORT) as run:
        run.after(4)
        os.kill(run.workers()[0], fatal)
        began = time.monotonic()
        code, told = run.end(30)
    assert time.monotonic() - began < TEN_SECONDS
    assert code == 76, told
    assert f"was killed by {fatal.name} while it prepared " in told
    assert any(said in told for said in ("english-", "italian-", "prepared nothing"))
    assert "the same command resumes the run, and `--workers 0` does without workers" in told
    done = corner.run("train", corner.recipe, *SHORT, "--workers", 2, "--out", tmp_path / "run", timeout=300)
    assert done.code == 0, done.err
    assert "resuming after step" in done.err
    assert corner.losses(tmp_path / "run") == undisturbed


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_workers_outlive_what_a_scheduler_sends_to_every_process(
    train: Any, tmp_path: Path, ending: signal.Signals
) -> None:
    with train(tmp_path / "run", *LONG) as run:
        run.after(2)
        workers = run.workers()
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, ending)
        run.after(run.steps() + 12)
        assert run.workers() == workers


def test_workers_end_with_the_process_that_they_work_for(train: Any, tmp_path: Path) -> None:
    with train(tmp_path / "run", *LONG) as run:
        run.after(2)
        workers = run.workers()
        os.kill(workers[0], signal.SIGSTOP)
        run.process.kill()
        run.process.communicate()
        began = time.monotonic()
        until(lambda: all(map(gone, workers)), 5)
        assert time.monotonic() - began < 1, "their sockets and locks keep others waiting"


class Slow(Dataset[Batch]):
    """Batches of one clip; something happens at the fifth."""

    def __init__(self, at_five: Callable[[], object]) -> None:
        self.at_five = at_five

    def __getitem__(self, windows: list[Window]) -> Batch:
        row = windows[0].clips[0]
        if row == 5:
            self.at_five()
        one = torch.tensor([row])
        return Batch(one[None], one[None] * 0, one, torch.zeros(1, 8), torch.ones(1, 8, dtype=torch.bool), one > -1)

    def name(self, row: int) -> str:
        return f"clip-{row}"


PASSES = [[Window((row,), 0, row)] for row in range(12)]


def heard(slow: Slow, **more: Any) -> list[int]:
    return [int(batch.rows) for batch in load(slow, iter(PASSES), workers=2, **more)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hold() -> None:
    time.sleep(60)


def forget() -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (die, r"was killed by SIGKILL while it prepared clip-5; .*memory limit"),
        (lambda: os._exit(3), r"ended with 3 while it prepared clip-5; "),
        (hold, r"no worker sent anything for 2 s; in hand are .*clip-5"),
        (forget, r"has no memory left"),
    ],
    ids=["killed", "ended", "stuck", "without memory"],
)
def test_what_a_worker_was_at_is_named(what: Callable[[], object], said: str) -> None:
    began = time.monotonic()
    with pytest.raises(PeerError, match=said) as told:
        heard(Slow(what), patience=2.0)
    assert told.value.code == 76
    assert time.monotonic() - began < TEN_SECONDS
    assert heard(Slow(lambda: None)) == list(range(12)), "and the next ones are as good as ever"


def test_batches_that_were_received_before_a_worker_died_are_good() -> None:
    found: list[int] = []
    with pytest.raises(PeerError):
        found.extend(int(batch.rows) for batch in load(Slow(die), iter(PASSES), workers=1))
    assert found == list(range(len(found)))
    assert len(found) <= 5


def test_one_loader_that_loses_a_worker_does_not_break_another_one() -> None:
    """A run validates while its training workers wait; theirs is the message, once the run comes back to them."""
    first = load(Slow(lambda: None), iter(PASSES * 3), workers=1)
    next(first)
    (worker,) = [pid for pid in children(os.getpid()) if b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()][-1:]
    second = load(Slow(lambda: None), iter(PASSES), workers=1)
    assert int(next(second).rows) == 0
    os.kill(worker, signal.SIGKILL)
    until(lambda: gone(worker))
    assert [int(batch.rows) for batch in second] == list(range(1, 12))
    with pytest.raises(PeerError, match=f"process {worker}"):
        list(first)


def test_a_loader_that_is_left_early_leaves_no_worker_behind() -> None:
    before = set(children(os.getpid()))
    batches = load(Slow(lambda: None), iter(PASSES), workers=2)
    next(batches)
    workers = set(children(os.getpid())) - before
    assert workers
    batches.close()  # type: ignore[attr-defined]
    until(lambda: all(map(gone, workers)), 5)
