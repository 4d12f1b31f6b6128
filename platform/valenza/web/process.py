"""Running a server until it is told to end."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

import uvicorn

from valenza.web.connections import PATIENCE, Connection
from valenza.web.guard import App

_GRACE = 5  # seconds for requests under way when the server is told to end


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, farewell: Callable[[], Awaitable[None]] | None) -> None:
        super().__init__(config)
        self._farewell = farewell

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._farewell is not None:
            await self._farewell()
        await super().shutdown(sockets)


def run(
    app: App,
    listener: socket.socket,
    *,
    farewell: Callable[[], Awaitable[None]] | None = None,
    largest_message: int = 0,
    grace: int = _GRACE,
) -> None:
    """Serve until the process is told to end; `farewell` is awaited first, then requests under way are finished.

    WebSockets are answered where a largest message, in bytes, is told. Pings are not sent: what an idle or half-open
    socket costs is for the application to bound.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        loop="asyncio",
        http=Connection,
        ws=_socket() if largest_message else "none",
        ws_max_size=max(largest_message, 1),
        ws_ping_interval=None,
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        lifespan="on",
        timeout_keep_alive=int(PATIENCE),
        timeout_graceful_shutdown=grace,
    )
    # uvicorn raises the signal again once it has ended well; that end is not a failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # The log has a descriptor of its own: what C libraries print on 2 can be silenced without it.
    log = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    with log, contextlib.redirect_stderr(log), contextlib.closing(listener):
        _Server(config, farewell).run(sockets=[listener])


def _socket() -> type[asyncio.Protocol]:
    from valenza.web.sockets import Socket

    return Socket
