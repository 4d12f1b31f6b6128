"""A tiny model, and the real server on it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]
VALENZA = [sys.executable, "-m", "valenza"]


@dataclass
class Server:
    """A server process and the lines it has said."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    url: str = ""

    def wait(self, seconds: float = 90) -> "Server":
        """Wait until it serves."""

        def listen() -> None:
            for line in self.process.stderr or ():
                self.said.append(line.rstrip())

        threading.Thread(target=listen, daemon=True).start()
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            if found := re.search(r"serving at ([^\s,]+)", "\n".join(self.said)):
                self.url = found[1]
                httpx.get(f"{self.url}/healthz", timeout=30).raise_for_status()
                return self
            time.sleep(0.02)
        raise AssertionError("it does not serve: " + "\n".join(self.said))

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def stream(self) -> str:
        """The address of its WebSocket."""
        return self.url.replace("http", "ws") + "/stream"

    @property
    def memory(self) -> int:
        """Bytes that the process holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def healthy(self) -> Any:
        return httpx.get(f"{self.url}/healthz", timeout=20).raise_for_status().json()

    def post(self, data: bytes, query: str = "", **more: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/predict{query}", content=data, timeout=60, **more)

    def raw(self, request: bytes, seconds: float = 20) -> bytes:
        """Send bytes as they are and return what comes back, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as line:
            line.sendall(request)
            answer = b""
            while part := line.recv(65_536):
                answer += part
        return answer

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(40)
        assert "Traceback" not in "\n".join(self.said), "\n".join(self.said)
        return code


@pytest.fixture(scope="session")
def tiny(corner: Any) -> Path:
    """A run of a tiny model, trained by the command line."""
    run = corner.folder / "served"
    if not run.exists():
        ended = corner.run("train", corner.recipe, "--out", run, "--workers", 0)
        assert ended.code == 0, ended.err
    return Path(run)


@pytest.fixture(scope="session")
def model(tiny: Path) -> Any:
    """The tiny model in this process, which hears as a file or a stream alone does."""
    from valenza.inference.load import load

    return load(str(tiny))


@pytest.fixture(scope="session")
def start(tiny: Path, corner: Any) -> Iterator[Callable[..., Server]]:
    """`start(*words)` starts `valenza serve` on the tiny model, on a free port; `start(script=…)` another."""
    started: list[Server] = []

    def run(*words: object, script: str = "") -> Server:
        command = [*VALENZA, "serve", str(tiny), "--port", "0", *map(str, words)]
        if script:
            command = [sys.executable, "-c", script, str(tiny)]
        environment = corner.environment | {"PYTHONWARNINGS": "default"}
        server = Server(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        started.append(server)
        return server.wait()

    yield run
    for server in started:
        server.stop(signal.SIGKILL)
        if server.process.stderr is not None:
            server.process.stderr.close()


@pytest.fixture(scope="session")
def server(start: Callable[..., Server]) -> Server:
    """A server that many tests share, with small limits."""
    return start("--idle", 3, "--max-minutes", 0.5, "--max-file-minutes", 0.2, "--max-upload", 1)


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Twelve seconds in which pitch and level change, at 16 kHz."""
    rng = np.random.default_rng(5)
    time_ = np.arange(12 * RATE) / RATE
    pitch = 140 + 60 * np.sin(2 * np.pi * 0.3 * time_)
    level = 0.25 * (0.2 + np.abs(np.sin(2 * np.pi * 0.7 * time_)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 6))
    return np.asarray((level * tone + 0.01 * rng.standard_normal(len(time_))).clip(-1, 1) * 32767, np.int16)
