"""One client's WebSocket: what they may send, how fast they are read, and how it ends."""

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from valenza.serving.ear import Ear
from valenza.serving.limits import Limits
from valenza.serving.schema import Settings
from valenza.serving.spoken import Spoken
from valenza.terminal import say
from valenza.web.problems import on_one_line
from valenza.web.sockets import error_message

DONE, GOING, UNSUPPORTED, MALFORMED, REFUSED, FAILED, FULL = 1000, 1001, 1003, 1007, 1008, 1011, 1013
"""Codes of RFC 6455 §7.4.1 with which streams end."""
_GONE = "the client is gone"
_TURN = 32  # messages that are there already, after which others have their turn
_LAST_WORDS = 5.0  # seconds for answers that are on their way when a stream ends


class _EndedError(Exception):
    """The stream is over."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Hall:
    """What all lines share."""

    ear: Ear
    limits: Limits
    speak: Callable[[Settings, "Line"], Spoken]
    """Begins a recording of a client."""
    ready: str
    """The first message to each."""


class Line:
    """A client who speaks.

    Everything it holds is bounded: audio that waits, by reading no more of the line until some was heard; answers that
    wait, by ending the stream.
    """

    def __init__(self, socket: WebSocket, hall: Hall) -> None:
        self._socket = socket
        self._hall = hall
        self._answers: asyncio.Queue[str] = asyncio.Queue(hall.limits.unread)
        self._room = asyncio.Event()
        self._end: asyncio.Future[_EndedError] = asyncio.get_running_loop().create_future()
        self._spoken: Spoken | None = None
        self._ending = False
        self.dropped = False
        """Whether it was ended because of what the client did."""

    async def run(self) -> None:
        """Serve the client to the end."""
        await self._socket.accept()
        self.tell(self._hall.ready)
        tasks = [asyncio.create_task(work) for work in (self._listen(), self._speak(), self._tire())]
        try:
            end = await self._end
        finally:
            for task in (tasks[0], tasks[2]):
                task.cancel()
            if self._spoken is not None:
                self._hall.ear.leave(self._spoken)
        if end.reason != _GONE:
            self.dropped = end.code in (UNSUPPORTED, MALFORMED, REFUSED)
        await self._part(end, tasks[1])

    def close(self, code: int, reason: str) -> None:
        """End the stream, unless it has ended."""
        if not self._end.done():
            self._end.set_result(_EndedError(code, reason))

    # What the recording calls.

    def tell(self, message: str) -> None:
        """Send a message; a client who does not read theirs is left."""
        try:
            self._answers.put_nowait(message)
        except asyncio.QueueFull:
            self.close(REFUSED, "the answers are not read")

    def make_room(self) -> None:
        """Read on."""
        self._room.set()

    def finish(self) -> None:
        """Everything was told."""
        if self._spoken is not None and not self._end.done():
            self.tell(self._spoken.summary())
            self.close(DONE, "")

    def fail(self, error: Exception) -> None:
        """Say that it cannot be heard; the reasons are in the log."""
        self.close(FAILED, f"the model cannot hear this: {type(error).__name__}")

    # What runs while the stream is open.

    async def _listen(self) -> None:
        try:
            for number in itertools.count(1):
                if number % _TURN == 0:
                    await asyncio.sleep(0)
                await self._when_there_is_room()
                # Whoever has said everything may be silent while the model hears it.
                async with asyncio.timeout(None if self._ending else self._hall.limits.idle_seconds):
                    message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    self.dropped = bool(message.get("cut"))
                    self.close(GOING, _GONE)
                    return
                self._take(message)
        except TimeoutError:
            self.close(REFUSED, f"nothing came for {self._hall.limits.idle_seconds:g} s")
        except _EndedError as end:
            self.close(end.code, end.reason)
        except Exception as error:
            say(f"error: {on_one_line(error)}")
            self.close(FAILED, "this cannot be heard")

    async def _when_there_is_room(self) -> None:
        most = self._hall.limits.ahead_seconds * 16_000
        while self._spoken is not None and self._spoken.waiting > most:
            self._room.clear()
            await self._room.wait()

    def _take(self, message: Any) -> None:
        if self._ending:
            raise _EndedError(REFUSED, 'nothing comes after "end"')
        if (text := message.get("text")) is not None:
            self._take_text(text)
        else:
            self._take_audio(message["bytes"])
        self._hall.ear.stir()

    def _take_text(self, text: str) -> None:
        if text == "end":
            self._ending = True
            self._recording().end()
        elif self._spoken is not None:
            raise _EndedError(UNSUPPORTED, 'after the first message comes audio, or the text "end"')
        else:
            self._begin(_settings(text))

    def _take_audio(self, data: bytes) -> None:
        if not data or len(data) % 2:
            raise _EndedError(MALFORMED, f"{len(data)} bytes are no 16-bit samples")
        spoken = self._recording()
        spoken.put(data)
        if spoken.seconds > self._hall.limits.stream_seconds:
            raise _EndedError(REFUSED, f"a stream has at most {self._hall.limits.stream_seconds:g} s")

    def _recording(self) -> Spoken:
        return self._spoken or self._begin(Settings())

    def _begin(self, settings: Settings) -> Spoken:
        self._spoken = self._hall.speak(settings, self)
        self._hall.ear.join(self._spoken)
        return self._spoken

    async def _speak(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self._socket.send_text(await self._answers.get())
                self._answers.task_done()

    async def _tire(self) -> None:
        limit = self._hall.limits.stream_seconds
        await asyncio.sleep(limit)
        self.close(REFUSED, f"a stream lasts at most {limit:g} s")

    async def _part(self, end: _EndedError, speaking: asyncio.Task[None]) -> None:
        """Send what is left, why it is over, and the code; a client who takes too long gets nothing more."""
        if end.reason == _GONE:
            speaking.cancel()
            return
        if end.code != DONE:
            with suppress(asyncio.QueueFull):
                self._answers.put_nowait(error_message(end.code, end.reason))
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._answers.join()
                await self._socket.close(end.code, _short(end.reason))
        speaking.cancel()


def _settings(text: str) -> Settings:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise _EndedError(MALFORMED, 'text is settings as JSON, first, or "end"') from None
    try:
        return Settings.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "settings"
        raise _EndedError(REFUSED, f"{place}: {first['msg']}") from None


def _short(reason: str) -> str:
    """Return a reason that fits into a closing frame, which has 123 bytes for it."""
    return reason.encode(errors="replace")[:120].decode(errors="ignore")
