"""Many at once: fifty honest clients, and five among hundreds who mean harm."""

import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hostile import ATTACKS
from websockets.asyncio.client import connect
from wires import file_of

from valenza.terminal import say
from valenza.timeline.stream import Stream

RATE = 16_000
CHUNK = RATE // 10
CLIENTS = int(os.environ.get("VALENZA_CLIENTS", "50"))
SECONDS = float(os.environ.get("VALENZA_CROWD_SECONDS", "5"))
AIDS = Path(__file__).resolve().parents[1] / "aids"


@dataclass
class Heard:
    """What one client got: its moments, and how long after its sound was sent each came."""

    moments: list[dict[str, Any]] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)


async def speak(server: Any, samples: np.ndarray, wait: float = 0.0) -> Heard:
    """Stream samples at the speed of speech."""
    heard = Heard()
    await asyncio.sleep(wait)
    async with connect(server.stream, compression=None, open_timeout=30, ping_interval=None) as line:
        assert json.loads(await line.recv())["type"] == "ready"
        began = time.monotonic()

        async def send() -> None:
            for number, begin in enumerate(range(0, len(samples), CHUNK), 1):
                await line.send(samples[begin : begin + CHUNK].tobytes())
                await asyncio.sleep(max(0.0, began + number * CHUNK / RATE - time.monotonic()))
            await line.send("end")

        sending = asyncio.create_task(send())
        async for message in line:
            told = json.loads(message)
            if told["type"] == "end":
                heard.summary = told
            elif told["type"] == "moments":
                now = time.monotonic() - began
                heard.moments += told["moments"]
                heard.delays += [now - moment["time"] for moment in told["moments"]]
            else:
                raise AssertionError(told)
        await sending
    assert line.close_code == 1000, (line.close_code, line.close_reason)
    return heard


def percentiles(values: list[float]) -> str:
    return ", ".join(f"p{q} {1000 * np.percentile(values, q):.0f} ms" for q in (50, 95, 99, 100))


def turned(speech: np.ndarray, number: int) -> np.ndarray:
    """Another stretch for each client, so that no answer can be mistaken for another's."""
    return np.roll(speech, 1_000 * number)[: int(SECONDS * RATE)]


@pytest.mark.timeout(180)
def test_fifty_clients_are_heard_in_time_and_none_is_starved(
    server: Any, model: Any, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    async def crowd() -> list[Heard]:
        rng = random.Random(1)
        return await asyncio.gather(*(speak(server, turned(speech, n), rng.random()) for n in range(CLIENTS)))

    before = server.memory
    heard = asyncio.run(crowd())
    worst = sorted(float(np.percentile(each.delays, 95)) for each in heard)
    with capsys.disabled():
        everything = [delay for each in heard for delay in each.delays]
        say(f" {CLIENTS} clients, {len(everything):,} moments: delay {percentiles(everything)};")
        say(f" 95th percentile of the median client {worst[len(worst) // 2]:.2f} s, of the worst {worst[-1]:.2f} s")
        say(f" memory {before / 2**20:.0f} MiB before, {server.memory / 2**20:.0f} MiB after")
    for number, each in enumerate(heard):
        stream = Stream(model)
        samples = turned(speech, number)
        alone = [*stream.feed(samples), *stream.close()] if number % 10 == 0 else None
        assert each.summary["duration"] == pytest.approx(SECONDS)
        assert each.summary["moments"] == len(each.moments) == len(heard[0].moments)
        if alone is not None:
            assert [moment["time"] for moment in each.moments] == pytest.approx([m.time for m in alone], abs=1e-3)
            said = np.array([moment["mixture"] for moment in each.moments])
            assert np.abs(said - np.array([moment.mixture for moment in alone])).max() < 1e-4
    assert worst[-1] < 2 * worst[len(worst) // 2] + 1
    assert server.memory - before < 100 * 2**20


@contextlib.contextmanager
def hostile(port: int) -> Iterator[dict[str, int]]:
    """Attack, from another process; what is given has at the end how often each attack began."""
    begun: dict[str, int] = {}
    command = [sys.executable, str(AIDS / "hostile.py"), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield begun
            told, _ = process.communicate(timeout=60)
            begun |= json.loads(told)
        finally:
            process.kill()


async def ask(server: Any, wav: bytes, times: int = 8) -> tuple[list[float], list[int]]:
    """Ask whether the server is alive and send a file, now and then; return how long that took, and how this ended."""
    took, statuses = [], []
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        for _ in range(times):
            began = time.monotonic()
            (await client.get("/healthz")).raise_for_status()
            took.append(time.monotonic() - began)
            statuses.append((await client.post("/predict", content=wav)).status_code)
            await asyncio.sleep(0.5)
    return took, statuses


@pytest.mark.timeout(300)
def test_hostile_clients_hurt_nobody_else(server: Any, speech: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    wav = file_of(speech[:RATE])

    async def honest() -> tuple[list[Heard], list[float], list[int]]:
        speaking = [speak(server, turned(speech, n), n / 10) for n in range(5)]
        *heard, (took, statuses) = await asyncio.gather(*speaking, ask(server, wav))
        return heard, took, statuses

    alone, took_alone, _ = asyncio.run(honest())
    memory = [server.memory]
    with hostile(server.port) as begun:
        time.sleep(3)
        among, took, statuses = asyncio.run(honest())
        memory.append(server.memory)
        more, took_more, statuses_more = asyncio.run(honest())
        memory.append(server.memory)
    among, took, statuses = among + more, took + took_more, statuses + statuses_more
    quiet, loud = ([delay for each in group for delay in each.delays] for group in (alone, among))
    with capsys.disabled():
        say(f" delay of 5 honest clients alone: {percentiles(quiet)}; healthz {percentiles(took_alone)}")
        many = sum(many for many, _ in ATTACKS)
        say(f" and among {many} hostile ones: {percentiles(loud)}; healthz {percentiles(took)}")
        say(f" attacks {', '.join(f'{many} {kind}' for kind, many in begun.items())}")
        say(f" memory {', '.join(f'{value / 2**20:.0f}' for value in memory)} MiB")
    assert set(begun) == {attack.__name__ for _, attack in ATTACKS}
    assert all(len(each.moments) == len(alone[0].moments) for each in alone + among)
    assert set(statuses) == {200}
    assert np.percentile(loud, 95) < np.percentile(quiet, 95) + max(1.0, 2 * np.percentile(quiet, 95))
    assert statistics.median(loud) < statistics.median(quiet) + max(1.0, 2 * statistics.median(quiet))
    assert statistics.median(took) < max(1.0, 2 * statistics.median(took_alone))
    assert memory[2] - memory[1] < 50 * 2**20
    until = time.monotonic() + 30
    while server.healthy()["streams"] and time.monotonic() < until:
        time.sleep(0.1)
    assert server.healthy()["streams"] == 0
    said = "\n".join(server.said)
    assert "Traceback" not in said
    assert "POST /predict 413" in said
