"""Real processes that meet over gloo, launched by torchrun or, where their own exit codes matter, by hand."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_addr", "127.0.0.1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def family(pid: int) -> list[int]:
    """A process and all its descendants: torchrun puts each of its workers into a group of its own."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # it has just ended
                continue
    return found


@dataclass
class Torchrun:
    """Two processes of one run, under their launcher."""

    process: subprocess.Popen[str]
    log: Path

    def kill(self) -> None:
        """SIGKILL the launcher and its workers, as a lost node does, and wait until all are gone."""
        os.kill(self.process.pid, signal.SIGSTOP)  # so that it starts nothing while its family is listed
        members = family(self.process.pid)
        for member in members:
            try:
                os.kill(member, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        deadline = time.monotonic() + 10
        while any(alive(m) for m in members) and time.monotonic() < deadline:
            time.sleep(0.01)

    def finish(self, timeout: float = 240) -> int:
        """Wait for the end and return torchrun's exit code."""
        return self.process.wait(timeout)

    def told(self) -> str:
        return self.log.read_text()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def torchrun(corner: Any, tmp_path: Path) -> Iterator[Callable[..., Torchrun]]:
    """Launch `valenza train` on two processes; whatever still runs at the end of the test is killed."""
    started: list[Torchrun] = []

    def launch(*words: object) -> Torchrun:
        log = tmp_path / f"torchrun-{len(started)}.log"
        command = [
            *LAUNCH,
            "--master_port",
            str(free_port()),
            "-m",
            "valenza",
            "train",
            str(corner.recipe),
            *map(str, words),
        ]
        with log.open("w") as stream:
            process = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=corner.environment,
                stdout=stream,
                stderr=stream,
                text=True,
                start_new_session=True,
            )
        started.append(Torchrun(process, log))
        return started[-1]

    yield launch
    for run in started:
        if run.process.poll() is None:
            run.kill()


@pytest.fixture
def by_hand(corner: Any, tmp_path: Path) -> Callable[..., Any]:
    """Start one process for each list of words, in one world; a context that yields them and ends them."""

    @contextmanager
    def launch(*words_of_rank: list[object]) -> Iterator[list[subprocess.Popen[str]]]:
        port = str(free_port())
        world = {"WORLD_SIZE": str(len(words_of_rank)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        processes = []
        for rank, words in enumerate(words_of_rank):
            command = [sys.executable, "-m", "valenza", "train", str(corner.recipe), *map(str, words)]
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": world["WORLD_SIZE"]}
            processes.append(
                subprocess.Popen(
                    command, cwd=tmp_path, env=corner.environment | world | own, stderr=subprocess.PIPE, text=True
                )
            )
        try:
            yield processes
        finally:
            for process in processes:
                process.kill()
                process.communicate()

    return launch
