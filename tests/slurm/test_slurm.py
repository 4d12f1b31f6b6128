"""The rendered sbatch job on a real cluster of two nodes: it loses one, is pre-empted, and ends as if nothing was."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("cluster.sh")
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
STEPS = 24
SHORT = (f"training.steps={STEPS}", "training.checkpoint_every=6", "training.validate_every=12")


@dataclass(frozen=True)
class Slurm:
    """A cluster that is up, and the environment in which its commands and jobs run."""

    folder: Path
    environment: dict[str, str]
    hurried: set[str] = field(default_factory=set)
    """Jobs whose start was brought forward since they last ran."""

    def call(self, *words: object) -> str:
        done = subprocess.run(
            list(map(str, words)), env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def node(self, action: str, name: str) -> str:
        """`lose` a node as when its power fails, start it again (`node`), or list its `steps`."""
        return self.call(SCRIPT, action, self.folder, name)

    def submit(self, script: Path) -> str:
        return self.call("sbatch", "--parsable", script)

    def job(self, number: str) -> dict[str, str]:
        """What Slurm says of a job."""
        told = self.call("scontrol", "--oneliner", "show", "job", number)
        return dict(pair.split("=", 1) for pair in told.split() if "=" in pair)

    def log(self, number: str) -> str:
        return "".join(file.read_text() for file in self.folder.glob(f"*-{number}.log"))

    def hurry(self, number: str) -> None:
        """Start a requeued job in a few seconds once both nodes are free: Slurm lets it wait for two minutes.

        In the second in which a node comes back, Slurm starts the job but not its step.
        """
        told = self.job(number)
        if told["JobState"] == "PENDING" and told["Reason"] == "BeginTime" and number not in self.hurried:
            if self.call("sinfo", "--noheader", "--Node", "--format", "%T").split() != ["idle", "idle"]:
                return
            words = ["scontrol", "update", f"JobId={number}", "StartTime=now+4"]
            subprocess.run(words, env=self.environment, check=False, timeout=60)
            self.hurried.add(number)
        elif told["JobState"] == "RUNNING":
            self.hurried.discard(number)

    def wait(self, number: str, *states: str, seconds: float = 180) -> dict[str, str]:
        """Wait until a job is in one of these states."""
        deadline = time.monotonic() + seconds
        while (told := self.job(number))["JobState"] not in states:
            assert time.monotonic() < deadline, f"{told}\n{self.log(number)}"
            self.hurry(number)
            time.sleep(0.3)
        return told


def free_ports(count: int) -> int:
    """The first of several neighbouring ports that nobody listens on."""
    for first in range(17_010, 19_000, count):
        probes = [socket.socket() for _ in range(count)]
        try:
            for i, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + i))
        except OSError:
            continue
        else:
            return first
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def slurm(corner: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if shutil.which("slurmctld", path=PATH) is None or shutil.which("slurmd", path=PATH) is None:
        pytest.skip("slurmctld and slurmd are not installed (Debian: slurm-wlm)")
    folder = tmp_path_factory.mktemp("slurm")
    own = {"PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf"), "VALENZA_SLURM_PORT": str(free_ports(3))}
    cluster = Slurm(folder, corner.environment | own | {"GLOO_SOCKET_IFNAME": "lo"})
    try:
        cluster.call(SCRIPT, "start", folder)
        yield cluster
    finally:
        cluster.call(SCRIPT, "stop", folder)


def render(corner: Any, run: Path, *overrides: str) -> Path:
    """The sbatch file of a run on two nodes without GPUs."""
    file = run.parent / f"{run.name}.sbatch"
    ended = corner.run(
        "launch",
        "slurm",
        "--nodes",
        2,
        "--gpus-per-node",
        0,
        "--out",
        run,
        "--out-file",
        file,
        corner.recipe,
        *overrides,
    )
    assert ended.code == 0, ended.err
    return file


def steps(run: Path) -> int:
    """How many steps a run has written down."""
    try:
        return sum('"loss": ' in line for line in (run / "metrics.jsonl").read_text().splitlines())
    except FileNotFoundError:
        return 0


def wait_for_step(slurm: Slurm, number: str, run: Path, step: int) -> None:
    deadline = time.monotonic() + 180
    while steps(run) < step:
        assert time.monotonic() < deadline, f"{slurm.job(number)}\n{slurm.log(number)}"
        slurm.hurry(number)
        time.sleep(0.2)


def curve(corner: Any, run: Path) -> list[str]:
    return [float(loss).hex() for loss in corner.losses(run)]


def weights(run: Path) -> bytes:
    return (run / "checkpoints" / f"step-{STEPS:08d}" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def calm(corner: Any, slurm: Slurm) -> Path:
    """The run of a job that nothing disturbs, in a folder whose name no shell may take apart."""
    run = slurm.folder / "calm $(touch pwned) run"
    number = slurm.submit(render(corner, run, *SHORT))
    told = slurm.wait(number, "COMPLETED", "FAILED")
    assert told["JobState"] == "COMPLETED", slurm.log(number)
    assert (told["Restarts"], told["NumNodes"]) == ("0", "2")
    assert json.loads((run / "environment.json").read_text())["processes"] == 2
    assert len(curve(corner, run)) == STEPS
    assert not list(slurm.folder.rglob("pwned"))
    return run


def test_two_lost_nodes_leave_the_curve_of_an_undisturbed_run(corner: Any, slurm: Slurm, calm: Path) -> None:
    """One that its operator takes down, and one whose daemon and processes are gone from one moment to the next."""
    run = slurm.folder / "lost"
    number = slurm.submit(render(corner, run, *SHORT))
    wait_for_step(slurm, number, run, 8)
    slurm.call("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    requeued(slurm, number, restarts=1)
    slurm.call("scontrol", "update", "NodeName=n2", "State=RESUME")
    wait_for_step(slurm, number, run, 14)
    slurm.node("lose", "n2")
    requeued(slurm, number, restarts=2)
    slurm.node("node", "n2")
    assert slurm.wait(number, "COMPLETED", "FAILED")["JobState"] == "COMPLETED", slurm.log(number)
    assert slurm.log(number).count("resuming after step ") == 2
    assert curve(corner, run) == curve(corner, calm)
    assert weights(run) == weights(calm)


def requeued(slurm: Slurm, number: str, *, restarts: int) -> None:
    """Wait until a job is in the queue again, and until nothing of it is left on a node that may have to abort it."""
    told = slurm.wait(number, "PENDING", "COMPLETED", "FAILED")
    assert (told["JobState"], told["Restarts"]) == ("PENDING", str(restarts)), slurm.log(number)
    deadline = time.monotonic() + 60
    while slurm.node("steps", "n2"):
        assert time.monotonic() < deadline, slurm.log(number)
        time.sleep(0.3)


def test_a_pre_empted_job_goes_on_at_the_step_it_had_reached(corner: Any, slurm: Slurm, calm: Path) -> None:
    """By the same signal that `--signal=TERM@300` sends, and which reaches every process of the step."""
    run = slurm.folder / "pre-empted"
    number = slurm.submit(render(corner, run, *SHORT))
    wait_for_step(slurm, number, run, 8)
    reached = steps(run)
    slurm.call("scancel", "--signal=TERM", number)
    requeued(slurm, number, restarts=1)
    stopped = steps(run)
    assert reached <= stopped <= reached + 2
    assert "exit code 75: requeued, restart 1" in slurm.log(number)
    assert slurm.wait(number, "COMPLETED", "FAILED")["JobState"] == "COMPLETED", slurm.log(number)
    assert f"resuming after step {stopped} " in slurm.log(number)
    assert curve(corner, run) == curve(corner, calm)
    assert weights(run) == weights(calm)


def test_a_cancelled_job_stays_cancelled_and_a_failed_one_failed(corner: Any, slurm: Slurm) -> None:
    run = slurm.folder / "cancelled"
    number = slurm.submit(render(corner, run, *SHORT))
    wait_for_step(slurm, number, run, 2)
    slurm.call("scancel", number)
    assert slurm.wait(number, "CANCELLED", "PENDING")["JobState"] == "CANCELLED"
    broken = slurm.submit(render(corner, slurm.folder / "broken", "data.shards=nowhere"))
    told = slurm.wait(broken, "FAILED", "COMPLETED")
    assert (told["JobState"], told["Restarts"]) == ("FAILED", "0"), slurm.log(broken)
    assert told["ExitCode"] == "74:0", slurm.log(broken)
    time.sleep(2)
    assert slurm.job(number)["JobState"] == "CANCELLED"


def test_the_script_stops_all_that_it_started(tmp_path: Path, slurm: Slurm) -> None:
    """On a cluster of its own, with a job that will not hear of an end."""
    own = {"SLURM_CONF": str(tmp_path / "slurm.conf"), "VALENZA_SLURM_PORT": str(free_ports(3))}
    other = Slurm(tmp_path, slurm.environment | own)
    try:
        other.call(SCRIPT, "start", tmp_path)
        stubborn = tmp_path / "stubborn.sbatch"
        command = f'trap "" TERM; echo $$ >"{tmp_path}/$SLURM_NODEID"; sleep 600'
        stubborn.write_text(f"#!/bin/bash\n#SBATCH --nodes=2\nsrun bash -c '{command}'\n")
        other.submit(stubborn)
        deadline = time.monotonic() + 20
        while not all((tmp_path / node).is_file() for node in "01"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        pids = [int((tmp_path / name).read_text()) for name in ("0", "1", "slurmctld.pid", "slurmd-n1.pid")]
        for pid in pids:
            os.kill(pid, 0)
    finally:
        other.call(SCRIPT, "stop", tmp_path)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIG_DFL)
