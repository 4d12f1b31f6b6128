"""Every open stream: who is let in, and what all are told at the end."""

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from valenza.serving.line import FULL, GOING, Hall, Line
from valenza.serving.metrics import Metrics
from valenza.web.sockets import error_message

_FAREWELL = 6.0  # seconds for streams to be told that the server ends
_GOING = "the server is going down"


class Streams:
    """The streams of a server."""

    def __init__(self, hall: Hall, metrics: Metrics) -> None:
        self._hall = hall
        self._metrics = metrics
        self._lines: set[Line] = set()
        self._going = False

    async def serve(self, socket: WebSocket) -> None:
        """Serve a client to the end, or say why not."""
        places = self._hall.limits.clients
        if self._going or self._metrics.streams >= places:
            self._metrics.refused += 1
            why = (GOING, _GOING) if self._going else (FULL, f"all {places} places are taken; try again later")
            await _refuse(socket, *why)
            return
        line = Line(socket, self._hall)
        self._metrics.streams += 1
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)
            self._metrics.streams -= 1
            self._metrics.dropped += line.dropped

    async def farewell(self) -> None:
        """End every stream, telling it why, and those that come from now on."""
        self._going = True
        for line in self._lines:
            line.close(GOING, _GOING)
        until = asyncio.get_running_loop().time() + _FAREWELL
        while self._lines and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)


async def _refuse(socket: WebSocket, code: int, reason: str) -> None:
    try:
        await socket.accept()
        await socket.send_text(error_message(code, reason))
        await socket.close(code, reason)
    except (WebSocketDisconnect, RuntimeError):  # gone before it was told
        return
