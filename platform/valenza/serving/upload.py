"""Taking in a file's bytes, as slowly as is bearable and no more than there is room for."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from fastapi import Request
from starlette.requests import ClientDisconnect

from valenza.serving.limits import Limits
from valenza.web.guard import RefusedError, single_headers

_LINGER = 1.0  # seconds in which the rest of a refused file is thrown away, so that its sender can read why
_FAIR = 1.0  # seconds before a sender's pace is judged


@dataclass(frozen=True)
class Received:
    """A file as it came."""

    kind: str
    """The request's content type."""
    data: bytes


@dataclass(eq=False)
class _Sender:
    """Someone who is sending a file."""

    began: float = field(default_factory=time.monotonic)
    got: int = 0
    gone: bool = False
    awaited: asyncio.Timeout | None = None

    @property
    def pace(self) -> tuple[float, float]:
        """Bytes a second; of those that are too new to be judged the eldest is the slowest."""
        age = time.monotonic() - self.began
        return (self.got / age if age > _FAIR else math.inf, self.began)

    def leave(self) -> None:
        """Wait for it no longer."""
        self.gone = True
        if self.awaited is not None:
            with suppress(RuntimeError):  # its time is over by itself
                self.awaited.reschedule(0)


class Intray:
    """Receives files; all of them together, and the answers to them, fill only so much memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0
        self._senders: set[_Sender] = set()

    async def receive(self, request: Request) -> Received:
        """Return what a request carries; where too many send at once, the slowest of them is left.

        Raises `RefusedError`; give the number of its bytes to `release` when it is done with.
        """
        kind = single_headers(request.scope).get("content-type", "")
        if len(self._senders) >= self._limits.senders:
            slowest = min(self._senders, key=lambda each: each.pace)
            self._senders.discard(slowest)
            slowest.leave()
        sender = _Sender()
        self._senders.add(sender)
        try:
            return Received(kind, await self._read(request, sender))
        finally:
            self._senders.discard(sender)

    def hold(self, size: int) -> None:
        """Count so many bytes more."""
        self._held += size

    def release(self, size: int) -> None:
        """Make room again."""
        self._held -= size

    async def _read(self, request: Request, sender: _Sender) -> bytes:
        largest = self._limits.upload_bytes
        length = request.headers.get("content-length", "0")
        if not length.isdecimal():
            raise RefusedError(400, "the content-length is no number")
        body = bytearray()
        try:
            if int(length[:18]) > largest:
                raise RefusedError(413, f"a file has at most {largest:,} bytes")
            async for chunk in self._chunks(request, sender):
                if len(body) + len(chunk) > largest:
                    raise RefusedError(413, f"a file has at most {largest:,} bytes")
                if self._held + len(chunk) > self._limits.upload_room:
                    raise RefusedError(503, "too many files are being sent; try again later")
                self.hold(len(chunk))
                body += chunk
            return bytes(body)
        except BaseException as error:
            self.release(len(body))
            if isinstance(error, RefusedError) and error.status in (413, 503):
                body.clear()
                await throw_away(request)
            raise

    async def _chunks(self, request: Request, sender: _Sender) -> AsyncIterator[bytes]:
        stream = request.stream()
        while True:
            allowed = self._limits.upload_grace + sender.got / self._limits.upload_rate
            try:
                async with asyncio.timeout(allowed - (time.monotonic() - sender.began)) as sender.awaited:
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise RefusedError(408, "the file came too slowly") from None
            except ClientDisconnect:
                raise RefusedError(400, "the file was cut off") from None
            if chunk is None:
                return
            if sender.gone:
                raise RefusedError(408, "the file came too slowly")
            sender.got += len(chunk)
            yield chunk


async def throw_away(request: Request) -> None:
    """Read the rest of a file that is refused for a moment, so that its sender can read why."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            while (await request.receive()).get("more_body"):
                pass
