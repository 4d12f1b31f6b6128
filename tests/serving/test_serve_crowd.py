"""Many at once: fifty honest clients, and five among hundreds who mean harm."""

import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from valenza.terminal import say
from valenza.timeline.stream import Stream

RATE = 16_000
CHUNK = RATE // 10
CLIENTS = int(os.environ.get("VALENZA_CLIENTS", "50"))
SECONDS = float(os.environ.get("VALENZA_CROWD_SECONDS", "5"))
HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


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
    assert worst[-1] < 2 * worst[len(worst) // 2] + 0.5
    assert server.memory - before < 100 * 2**20


@contextlib.asynccontextmanager
async def raw(server: Any, first: bytes, buffer: int = 0) -> AsyncIterator[asyncio.StreamWriter]:
    place = socket.socket()
    if buffer:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    place.setblocking(False)
    await asyncio.get_running_loop().sock_connect(place, ("127.0.0.1", server.port))
    _, writer = await asyncio.open_connection(sock=place, limit=1024)
    try:
        writer.write(first)
        yield writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def frame(data: bytes, opcode: int = 2, end: bool = True) -> bytes:
    """A WebSocket frame whose mask is zeros."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0xFE]) + len(data).to_bytes(2, "big")
    return bytes([opcode | (0x80 if end else 0)]) + size + bytes(4) + data


async def garbage(server: Any, rng: random.Random) -> None:
    async with raw(server, rng.choice([b"", HANDSHAKE])) as writer:
        for _ in range(5):
            writer.write(rng.randbytes(rng.randrange(1, 5_000)))
            await writer.drain()
            await asyncio.sleep(0.05)


async def endless(server: Any, _: random.Random) -> None:
    """Sends as fast as it is let."""
    async with connect(server.stream, compression=None, ping_interval=None) as line:
        while True:
            await line.send(bytes(64_000))


async def slow_upload(server: Any, _: random.Random) -> None:
    async with raw(server, b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900000\r\n\r\n") as writer:
        while True:
            writer.write(b"R")
            await writer.drain()
            await asyncio.sleep(0.2)


async def slow_head(server: Any, _: random.Random) -> None:
    async with raw(server, b"GET /healthz HTTP/1.1\r\n") as writer:
        while True:
            writer.write(b"x: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.3)


async def oversized(server: Any, rng: random.Random) -> None:
    async with raw(server, b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n") as writer:
        for _ in range(20):
            writer.write(rng.randbytes(100_000))
            await writer.drain()
        async with connect(server.stream, compression=None) as line:
            await line.send(bytes(2_000_000))
            await line.wait_closed()


async def half_open(server: Any, _: random.Random) -> None:
    async with raw(server, b""):
        await asyncio.sleep(60)


async def never_reads(server: Any, _: random.Random) -> None:
    async with raw(server, HANDSHAKE, buffer=4096) as writer:
        await asyncio.sleep(0.2)
        while True:
            writer.write(frame(bytes(32_000)))
            await writer.drain()
            await asyncio.sleep(0.02)


async def pings(server: Any, _: random.Random) -> None:
    async with raw(server, HANDSHAKE, buffer=4096) as writer:
        await asyncio.sleep(0.2)
        while True:
            writer.write(frame(bytes(100), opcode=9) * 20)
            await writer.drain()
            await asyncio.sleep(0.01)


async def crumbs(server: Any, _: random.Random) -> None:
    """One message in pieces of nothing, without an end."""
    async with raw(server, HANDSHAKE) as writer:
        await asyncio.sleep(0.2)
        writer.write(frame(b"\0\0", end=False))
        while True:
            writer.write(frame(b"", opcode=0, end=False) * 50)
            await writer.drain()
            await asyncio.sleep(0.02)


ATTACKS: list[tuple[int, Callable[[Any, random.Random], Awaitable[None]]]] = [
    (10, garbage),
    (3, endless),
    (10, slow_upload),
    (20, slow_head),
    (2, oversized),
    (240, half_open),
    (5, never_reads),
    (3, pings),
    (7, crumbs),
]


async def again(attack: Callable[[Any, random.Random], Awaitable[None]], server: Any, seed: int) -> None:
    """Attack, and come back whenever it is over."""
    rng = random.Random(seed)
    while True:
        with contextlib.suppress(OSError, WebSocketException, asyncio.IncompleteReadError, TimeoutError):
            await attack(server, rng)
        await asyncio.sleep(0.2)


@pytest.mark.timeout(180)
def test_hostile_clients_hurt_nobody_else(server: Any, speech: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    async def honest() -> list[Heard]:
        return await asyncio.gather(*(speak(server, turned(speech, n), n / 10) for n in range(5)))

    async def everyone() -> tuple[list[Heard], list[Heard], list[int]]:
        alone = await honest()
        memory = [server.memory]
        seeds = iter(range(1000))
        hostile = [
            asyncio.create_task(again(attack, server, next(seeds))) for many, attack in ATTACKS for _ in range(many)
        ]
        await asyncio.sleep(1)
        among = await honest()
        memory.append(server.memory)
        among += await honest()
        memory.append(server.memory)
        for task in hostile:
            task.cancel()
        await asyncio.gather(*hostile, return_exceptions=True)
        return alone, among, memory

    alone, among, memory = asyncio.run(everyone())
    quiet, loud = ([delay for each in group for delay in each.delays] for group in (alone, among))
    with capsys.disabled():
        say(f" delay of 5 honest clients alone: {percentiles(quiet)}")
        say(f" and among {sum(many for many, _ in ATTACKS)} hostile ones: {percentiles(loud)}")
        say(f" memory {', '.join(f'{value / 2**20:.0f}' for value in memory)} MiB")
    assert all(len(each.moments) == len(alone[0].moments) for each in alone + among)
    assert np.percentile(loud, 95) < np.percentile(quiet, 95) + 1.0
    assert statistics.median(loud) < statistics.median(quiet) + 0.5
    assert memory[2] - memory[1] < 50 * 2**20
    until = time.monotonic() + 30
    while server.healthy()["streams"] and time.monotonic() < until:
        time.sleep(0.1)
    assert server.healthy()["streams"] == 0
    said = "\n".join(server.said)
    assert "Traceback" not in said
    assert "POST /predict 413" in said
