"""A small study, and the real server on it."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from served import Served, starting

from valenza.labels.taxonomy import EMOTIONS
from valenza.stages.pairs.folder import Candidate, Head, Pair, Study, Track, write_pairs

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]
VALENZA = [sys.executable, "-m", "valenza"]


def tone(seconds: float, pitch: float) -> bytes:
    """A FLAC file with a tone that swells and falls."""
    time_ = np.arange(int(seconds * RATE)) / RATE
    out = io.BytesIO()
    wave = 0.3 * np.sin(2 * np.pi * pitch * time_) * np.sin(np.pi * time_ / seconds)
    soundfile.write(out, wave, RATE, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def candidate(name: str, track: str, seconds: float, rng: np.random.Generator, kind: str = "window") -> Candidate:
    step = rng.uniform(0.25, 1.25)
    times = np.arange(0, seconds, step)
    mixtures = rng.dirichlet(np.full(len(EMOTIONS), 0.3), len(times))
    return Candidate(
        id=name,
        track=track,
        source={"kind": kind, "step": step},
        times=tuple(times.tolist()),
        mixtures=tuple(map(tuple, mixtures.tolist())),
    )


def write_study(
    folder: Path,
    plain: int = 9,
    identical: int = 1,
    obvious: int = 1,
    swapped: int = 1,
    tracks: int = 4,
    seed: int = 3,
    title: str = "Tones <script>alert(1)</script>",
) -> Study:
    """Write a study whose pairs lie on `tracks` tones of 2 to 3 s."""
    rng = np.random.default_rng(seed)
    rows = [
        Track(id=f"t-{i}", audio=f"audio/t-{i}.flac", seconds=2 + i / 4 % 1, corpus="tones", language="en", speaker="s")
        for i in range(tracks)
    ]
    candidates: list[Candidate] = []
    pairs: list[Pair] = []

    def new(track: Track, kind: str = "window") -> str:
        candidates.append(candidate(f"c-{len(candidates)}", track.id, track.seconds, rng, kind))
        return candidates[-1].id

    def add(track: Track, a: str, b: str, **more: Any) -> None:
        pairs.append(Pair(id=f"p-{len(pairs)}", track=track.id, a=a, b=b, disagreement=0.1, **more))

    for i in range(plain):
        track = rows[i % tracks]
        add(track, new(track), new(track))
    for i in range(identical):
        same = new(rows[i % tracks])
        add(rows[i % tracks], same, same, kind="identical", expected="tie")
    for i in range(obvious):
        track = rows[i % tracks]
        add(track, new(track), new(track, "catch"), kind="obvious", expected="a")
    for i in range(swapped):
        first = pairs[i]
        add(rows[i % tracks], first.b, first.a, kind="swapped", repeats=first.id)
    audio = {track.id: tone(track.seconds, 150 + 40 * i) for i, track in enumerate(rows)}
    return write_pairs(folder, Head(title=title, seed=seed, made={"by": "tests"}), audio, rows, candidates, pairs)


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """`make_study(folder, plain=…, identical=…, obvious=…, swapped=…)` writes a study."""
    return write_study


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    """A study of 9 plain pairs and a catch trial of each kind, on 4 tones."""
    return write_study(tmp_path / "pairs").folder


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "platform"), "PYTHONWARNINGS": "default"}


@dataclass
class Annotator:
    """Someone with an invitation, who speaks the page's protocol."""

    name: str
    token: str
    http: httpx.Client

    def __post_init__(self) -> None:
        self.http.headers["authorization"] = f"Bearer {self.token}"

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        return self.http.post(path, json=body, **more)

    def agree(self) -> "Annotator":
        assert self.post("/api/consent", {"sound": True}).status_code == 200
        return self

    def next(self) -> Any:
        answer = self.get("/api/next")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ballot(self, pair: str, choice: str) -> dict[str, Any]:
        body = {"id": str(uuid.uuid4()), "pair": pair, "choice": choice, "replays": 0, "milliseconds": 1200}
        return body | {"watched": {"left": 1.0, "right": 0.9}}

    def vote(self, pair: str, choice: str) -> httpx.Response:
        return self.post("/api/votes", self.ballot(pair, choice))

    def undo(self) -> Any:
        return self.post("/api/undo", {"id": str(uuid.uuid4())}).json()


@dataclass
class Server(Served):
    """`valenza annotate`, and its annotators."""

    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def tokens(self) -> dict[str, str]:
        """What each annotator proves to be invited with, in the order of the invitations."""
        links = (re.match(r"(a-\w+)  (\S+)/#(\S+)  ", line) for line in self.printed)
        return {link[1]: link[3] for link in links if link}

    @property
    def links(self) -> list[str]:
        """The invitation links, in the order of the invitations."""
        return [f"{self.url}/#{token}" for token in self.tokens.values()]

    def client(self) -> httpx.Client:
        self.clients.append(httpx.Client(base_url=self.url, timeout=20))
        return self.clients[-1]

    def annotator(self, number: int = 0) -> Annotator:
        name, token = list(self.tokens.items())[number]
        return Annotator(name, token, self.client())

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        for client in self.clients:
            client.close()
        return super().stop(how)


def annotate(run: Callable[..., Server], folder: Path, *words: object) -> Server:
    place = [] if "--port" in words else ["--port", 0]
    return run([*VALENZA, "annotate", folder, *place, *words])


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """`start(folder, *words)` starts `valenza annotate` on a folder, on a free port unless the words say which."""
    with starting(Server, environment()) as run:
        yield partial(annotate, run)


@pytest.fixture(scope="module")
def start_module() -> Iterator[Callable[..., Server]]:
    """`start` for a server that all tests of a file share."""
    with starting(Server, environment()) as run:
        yield partial(annotate, run)


@pytest.fixture
def server(study_folder: Path, start: Callable[..., Server]) -> Server:
    """The server on `study_folder`, with three invitations and every pair judged by all."""
    return start(study_folder, "--invite", 3, "--votes-per-pair", 3)


@pytest.fixture
def valenza() -> Callable[..., tuple[int, str, str]]:
    """`valenza(*words)` runs a command to its end and returns its exit code, output and errors."""

    def run(*words: object) -> tuple[int, str, str]:
        command = [*VALENZA, *map(str, words)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr[-3000:]
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sequences(answer: Any) -> str:
    """What an annotator sees of a pair, as one string to compare."""
    return json.dumps({key: answer[key] for key in ("pair", "audio", "left", "right", "seconds")}, sort_keys=True)
