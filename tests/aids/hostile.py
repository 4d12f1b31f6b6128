"""Clients who mean harm, as a process of their own: `hostile.py PORT` attacks until its standard input ends.

Then it prints how often each attack got as far as to begin, as JSON.
"""

import asyncio
import contextlib
import json
import random
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from wires import HANDSHAKE, frame, post


@dataclass
class Target:
    """The server that is attacked."""

    port: int
    begun: Counter[str] = field(default_factory=Counter)

    @property
    def stream(self) -> str:
        return f"ws://127.0.0.1:{self.port}/stream"


Attack = Callable[[Target, random.Random], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw(target: Target, first: bytes, buffer: int = 0) -> AsyncIterator[asyncio.StreamWriter]:
    """A connection on which these bytes were sent; a handshake among them was answered."""
    place = socket.socket()
    if buffer:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    place.setblocking(False)
    await asyncio.get_running_loop().sock_connect(place, ("127.0.0.1", target.port))
    reader, writer = await asyncio.open_connection(sock=place, limit=1024)
    try:
        writer.write(first)
        await writer.drain()
        if first == HANDSHAKE and b" 101 " not in await reader.readuntil(b"\r\n\r\n"):
            raise ConnectionError
        yield writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def send(writer: asyncio.StreamWriter, data: bytes, pause: float, times: int = 1_000_000) -> None:
    for _ in range(times):
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(pause)


async def garbage(target: Target, rng: random.Random) -> None:
    async with raw(target, rng.choice([b"", HANDSHAKE])) as writer:
        target.begun["garbage"] += 1
        for _ in range(5):
            await send(writer, rng.randbytes(rng.randrange(1, 5_000)), 0.05, 1)


async def endless(target: Target, _: random.Random) -> None:
    """Sends as fast as it is let."""
    async with connect(target.stream, compression=None, ping_interval=None) as line:
        target.begun["endless"] += 1
        while True:
            await line.send(bytes(64_000))


async def slow_upload(target: Target, _: random.Random) -> None:
    async with raw(target, post(900_000)) as writer:
        target.begun["slow_upload"] += 1
        await send(writer, b"R", 0.2)


async def slow_head(target: Target, _: random.Random) -> None:
    async with raw(target, b"GET /healthz HTTP/1.1\r\n") as writer:
        target.begun["slow_head"] += 1
        await send(writer, b"x: y\r\n", 0.3)


async def oversized(target: Target, rng: random.Random) -> None:
    async with raw(target, post(99_999_999)) as writer:
        target.begun["oversized"] += 1
        with contextlib.suppress(OSError):
            await send(writer, rng.randbytes(100_000), 0, 20)
        async with connect(target.stream, compression=None) as line:
            await line.send(bytes(2_000_000))
            await line.wait_closed()


async def half_open(target: Target, _: random.Random) -> None:
    async with raw(target, b""):
        target.begun["half_open"] += 1
        await asyncio.sleep(60)


async def never_reads(target: Target, _: random.Random) -> None:
    async with raw(target, HANDSHAKE, buffer=4096) as writer:
        target.begun["never_reads"] += 1
        await send(writer, frame(bytes(32_000)), 0.02)


async def pings(target: Target, _: random.Random) -> None:
    """As many as go into what is read of a line at once."""
    async with raw(target, HANDSHAKE) as writer:
        target.begun["pings"] += 1
        await send(writer, frame(b"", opcode=9) * 40_000, 0.01)


async def crumbs(target: Target, _: random.Random) -> None:
    """One message in pieces of nothing, without an end."""
    async with raw(target, HANDSHAKE) as writer:
        target.begun["crumbs"] += 1
        writer.write(frame(b"\0\0", end=False))
        await send(writer, frame(b"", opcode=0, end=False) * 50, 0.02)


ATTACKS: list[tuple[int, Attack]] = [
    (10, garbage),
    (3, endless),
    (24, slow_upload),
    (20, slow_head),
    (2, oversized),
    (240, half_open),
    (5, never_reads),
    (3, pings),
    (7, crumbs),
]


async def again(attack: Attack, target: Target, seed: int) -> None:
    """Attack, and come back whenever it is over."""
    rng = random.Random(seed)
    while True:
        with contextlib.suppress(OSError, WebSocketException, asyncio.IncompleteReadError, TimeoutError):
            await attack(target, rng)
        await asyncio.sleep(0.2)


async def main(port: int) -> None:
    target = Target(port)
    seeds = iter(range(1000))
    tasks = [asyncio.create_task(again(attack, target, next(seeds))) for many, attack in ATTACKS for _ in range(many)]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(target.begun))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
