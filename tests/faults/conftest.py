"""Runs that are started quickly, broken on purpose, and compared with runs that were left alone."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from valenza.training import checkpoint
from valenza.training.report import read_metrics

HERE = Path(__file__).parent
PATIENCE = 120.0
"""Seconds after which a run that should have ended has not."""
Fault = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Nursery:
    """The process that the processes of `valenza` are forked from."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.answer() == "ready"

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, **order: Any) -> Any:
        assert self.process.stdin is not None
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return self.answer()


@dataclass
class World:
    """The processes of one run, which form a group."""

    nursery: Nursery
    pids: list[int]
    logs: list[Path]
    codes: list[int | None]

    def poll(self) -> list[int | None]:
        """Exit codes, negative for a signal; None of those that still run."""
        for rank, pid in enumerate(self.pids):
            if self.codes[rank] is None:
                self.codes[rank] = self.nursery.ask(ended=pid)
        return self.codes

    def wait(self, timeout: float = PATIENCE) -> list[int]:
        """Wait for all to end and return their codes; no failure of any kind may show a traceback."""
        deadline = time.monotonic() + timeout
        while None in self.poll():
            assert time.monotonic() < deadline, f"still running after {timeout} s: {self.codes}\n{self.told()}"
            time.sleep(0.02)
        assert "Traceback" not in self.told(), self.told()
        return [code for code in self.codes if code is not None]

    def signal(self, number: int, *ranks: int) -> None:
        """Send a signal to some ranks, or to all."""
        for rank in ranks or range(len(self.pids)):
            if self.poll()[rank] is None:
                os.kill(self.pids[rank], number)

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        while None in self.poll():
            time.sleep(0.01)

    def told(self, rank: int | None = None) -> str:
        logs = self.logs if rank is None else [self.logs[rank]]
        return "\n".join(log.read_text() for log in logs if log.exists())[-6000:]


class Home:
    """A recipe for every stage that trains, the runs that they go on from, and a way to start them."""

    def __init__(self, corner: Any, folder: Path, nursery: Nursery) -> None:
        self.corner, self.folder, self.nursery = corner, folder, nursery
        self.cache = folder / "cache"
        self.started: list[World] = []

    def recipe(self, stage: str) -> Path:
        return self.folder / f"{stage}.yaml"

    def start(
        self,
        stage: str,
        run: Path,
        *words: str,
        ranks: int = 1,
        faults: Sequence[Fault] = (),
        environment: dict[str, str] | None = None,
        each: Sequence[Sequence[str]] | None = None,
        environments: Sequence[dict[str, str]] | None = None,
    ) -> World:
        """Start `valenza train` on so many ranks; `each` are words of one rank, and `environments` too."""
        world = World(self.nursery, [], [], [None] * ranks)
        meeting: dict[str, str] = {}
        if ranks > 1:
            meeting = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"}
            meeting["MASTER_PORT"] = str(free_port())
        for rank in range(ranks):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}
            own |= environments[rank] if environments else {}
            log = self.folder / "logs" / f"{time.monotonic_ns()}-{rank}.log"
            log.parent.mkdir(exist_ok=True)
            more = each[rank] if each else ()
            world.logs.append(log)
            world.pids.append(
                self.nursery.ask(
                    words=["train", str(self.recipe(stage)), *words, *more, "--out", str(run)],
                    faults=list(faults),
                    environment={"VALENZA_CACHE": str(self.cache)} | meeting | own | (environment or {}),
                    folder=str(self.folder),
                    log=str(log),
                    group=world.pids[0] if world.pids else 0,
                )
            )
        self.started.append(world)
        return world

    def train(self, stage: str, run: Path, *words: str, ranks: int = 1, **options: Any) -> World:
        """Train to the end, which must be a good one."""
        world = self.start(stage, run, *words, ranks=ranks, **options)
        assert world.wait() == [0] * ranks, world.told()
        return world

    def lines(self, run: Path) -> list[dict[str, Any]]:
        """The whole lines of a run's metrics, which it may be writing."""
        file = run / "metrics.jsonl"
        return read_metrics(file) if file.exists() else []

    def steps(self, run: Path) -> int:
        """How many steps a run's metrics tell of."""
        return max((line["step"] for line in self.lines(run) if "loss" in line), default=0)

    def saved(self, run: Path) -> int:
        """The step of the newest checkpoint, which must be whole; 0 where there is none."""
        found = checkpoint.newest(run / "checkpoints")
        return 0 if found is None else int(found.name.removeprefix("step-"))

    def assert_one(self, run: Path, alone: Path) -> None:
        """Two runs have the same losses, scores and last weights, to the last bit."""
        losses = [[loss.hex() for loss in self.corner.losses(each)] for each in (run, alone)]
        assert losses[0] == losses[1]
        scores = [[line for line in self.lines(each) if "validation" in line] for each in (run, alone)]
        assert scores[0] == scores[1]
        assert scores[0]
        last = checkpoint.checkpoints(alone / "checkpoints")[-1]
        for file in sorted(last.glob("*.safetensors")):
            assert (run / "checkpoints" / last.name / file.name).read_bytes() == file.read_bytes(), file.name
        assert self.saved(run) == len(losses[1])
        assert not list((run / "checkpoints").glob(".*")), "something was left beside the checkpoints"

    def assert_finite(self, run: Path) -> None:
        """No file that a run saved holds a number that is not finite, and none says so in its metrics."""
        files = list(run.rglob("*.safetensors"))
        assert files
        for file in files:
            for name, value in load_file(file).items():
                assert torch.isfinite(value.float()).all(), (file, name)
        for file in run.rglob("optimizer.pt"):
            for moments in torch.load(file, weights_only=True)["state"].values():
                assert all(torch.isfinite(value).all() for value in moments.values()), file


@pytest.fixture(scope="session")
def nursery(corner: Any) -> Iterator[Nursery]:
    one = Nursery(corner.environment)
    yield one
    one.process.kill()
    one.process.communicate()


def stages_home() -> Any:
    """The recipes and the pairs of the tests of the stages, which are made in one place."""
    file = HERE.parent / "stages" / "conftest.py"
    described = importlib.util.spec_from_file_location("stages_home", file)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


TRAINING = """training:
  {{steps: 12, windows_per_step: 4, windows_per_pass: 1, peak_lr: 3e-3, validate_every: 3, checkpoint_every: 2}}
"""
UTTERANCE = """stage: utterance
seed: 7
data: {{shards: {shards}, train: {{english: 1, italian: 1}}, validation: 0.3, window_seconds: 3}}
encoder: {{new: {{family: whisper, width: 16, layers: 1, attention_heads: 2, mels: 16}}}}
heads: {{projection: 12, dropout: 0.2}}
augment: {{noise: 0.5, gain: 0.5, roll: 0.5, frequency_mask: 0.5}}
objective: {{domain: {{mode: reversal, weight: 0.1, warmup: 0.5}}}}
"""
ADAPT = """stage: adapt
seed: 3
data: {{shards: {shards}, train: {{german: 1}}, validation: 0.3, window_seconds: 2}}
adapt: {{from: {home}/spoken}}
heads: {{projection: 12, dropout: 0.2}}
"""
STUDENT = """stage: student
seed: 7
data: {{validation: 0.3}}
student: {{from: {home}/teacher}}
encoder: {encoder}, blocks: 1, every: 2, chunk: 1.0}}
heads: {{emotion: dirichlet, projection: 8, hidden: gelu, dropout: 0.2}}
objective: {{dirichlet: 0.1, label_smoothing: 0.05}}
"""
PREFERENCE = """stage: preference
seed: 7
preference: {{from: {home}/student, pairs: {home}/pairs}}
heads: {{dropout: 0.2}}
"""
STAGES = {"utterance": UTTERANCE, "student": STUDENT, "preference": PREFERENCE, "adapt": ADAPT}


@pytest.fixture(scope="session")
def home(
    corner: Any,
    nursery: Nursery,
    tmp_path_factory: pytest.TempPathFactory,
    by_itself: Callable[[Path], AbstractContextManager[None]],
) -> Iterator[Home]:
    from valenza.stages.tracks import make_tracks

    stages = stages_home()
    folder = tmp_path_factory.mktemp("faults")
    before = stages.Home(corner, folder)
    with by_itself(folder / "cache"):
        for corpus in ("english", "italian"):
            make_tracks(corner.shards, corpus, None, folder / "tracks", per_speaker=2, shortest=0.5)
        for stage in ("first", "teacher", "student"):
            before.train(stage, folder / stage)
        stages.pair(folder)
    one = Home(corner, folder, nursery)
    for stage, text in STAGES.items():
        filled = (text + TRAINING).format(home=folder, shards=corner.shards, encoder=stages.ENCODER)
        one.recipe(stage).write_text(filled)
    one.train("utterance", folder / "spoken", "training.steps=4")
    yield one
    for world in one.started:
        world.end()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test started ends with it."""
    yield
    if "home" in request.fixturenames:
        one: Home = request.getfixturevalue("home")
        for world in one.started:
            world.end()
        one.started[:] = []


@pytest.fixture(scope="session")
def undisturbed(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A run of a stage on so many ranks that nothing happened to; it is made once."""
    made: dict[tuple[str, int, tuple[str, ...]], Path] = {}

    def one(stage: str, ranks: int, *words: str) -> Path:
        key = (stage, ranks, words)
        if key not in made:
            folder = tmp_path_factory.mktemp("alone") / "run"
            home.train(stage, folder, *words, ranks=ranks)
            made[key] = folder
        return made[key]

    return one
