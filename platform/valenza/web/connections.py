"""Connections whose other end cannot hold on to them by sending nothing or by reading nothing."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from valenza.web.address import CROWD

PATIENCE = 10.0
"""Seconds after which a connection on which nothing has moved is cut, at the earliest; at most twice as many."""


class Connection(H11Protocol):
    """An HTTP connection that ends when no request comes on it or an answer is not read.

    uvicorn waits for ever for a request's head, and for a reader. Where the connections are many, those that wait for a
    request make room for others, the eldest first.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        super().connection_made(transport)
        if len(self.connections) > CROWD // 2:
            waiting = (c for c in self.connections if isinstance(c, Connection) and c is not self and c.waiting)
            eldest = min(waiting, key=lambda c: c.since, default=None)
            if eldest is not None:
                eldest.transport.abort()
        self.since = self.loop.time()
        self._seen: tuple[Any, ...] = ()
        self._look()

    @property
    def waiting(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _look(self) -> None:
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            return
        if self.transport.get_protocol() is not self and self._seen:
            return  # it has become a socket, which watches itself
        unsent = self.transport.get_write_buffer_size()
        seen = (id(self.cycle), self.waiting, unsent)
        if seen == self._seen and (self.waiting or unsent):
            self.transport.abort()
            return
        self._seen = seen
        self.loop.call_later(PATIENCE, self._look)
