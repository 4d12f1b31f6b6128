"""A tiny model, and the real server on it."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from served import Served, starting

RATE = 16_000
ROOT = Path(__file__).resolve().parents[2]
VALENZA = [sys.executable, "-m", "valenza"]


class Server(Served):
    """`valenza serve`."""

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
    with starting(Server, corner.environment | {"PYTHONWARNINGS": "default"}) as run:

        def serve(*words: object, script: str = "") -> Server:
            return run(
                [sys.executable, "-c", script, tiny] if script else [*VALENZA, "serve", tiny, "--port", 0, *words]
            )

        yield serve


@pytest.fixture(scope="session")
def server(start: Callable[..., Server]) -> Server:
    """A server that many tests share, with the limits that it has by itself."""
    return start()


@pytest.fixture(scope="session")
def narrow(start: Callable[..., Server]) -> Server:
    """A server with small limits, for those who reach them."""
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
