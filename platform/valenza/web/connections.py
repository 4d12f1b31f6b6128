"""Connections whose other end cannot hold on to them by sending nothing or by reading nothing."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from valenza.web.address import CROWD

PATIENCE = 10.0
"""Seconds after which a connection on which nothing has moved is cut, at the earliest; at most twice as many."""


class Waiting(ABC):
    """A connection that may wait for its other end."""

    transport: asyncio.Transport
    since: float
    """When it began to wait, by the loop's clock."""

    @property
    @abstractmethod
    def waiting(self) -> bool:
        """Whether nothing is being done for it."""

    @property
    def over(self) -> bool:
        """Whether it only remains to be taken off the list."""
        return self.transport.is_closing() and not self.transport.get_write_buffer_size()


class Connection(Waiting, H11Protocol):
    """An HTTP connection that ends when no request comes on it or an answer is not read.

    uvicorn waits for ever for a request's head, and for a reader. Where many connections wait for a request, or for
    a closed WebSocket's last frame, they make room for others, the eldest first.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch."""
        self.since = self.loop.time()
        self._answered = 0
        self._seen: tuple[Any, ...] = ()
        super().connection_made(transport)
        self._make_room()
        self._look()

    @property
    def waiting(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.since = self.loop.time()
        self._answered += 1
        super().on_response_complete()

    def _make_room(self) -> None:
        # One that was aborted stays among the connections until the loop's next turn.
        waiting = [c for c in self.connections if isinstance(c, Waiting) and c.waiting and not c.over]
        for eldest in sorted(waiting, key=lambda c: c.since)[: max(0, len(waiting) - CROWD)]:
            eldest.transport.abort()

    def _look(self) -> None:
        if self.over:
            return
        if self.transport.get_protocol() is not self and self._seen:
            return  # it has become a socket, which watches itself
        unsent = self.transport.get_write_buffer_size()
        seen = (self._answered, self.waiting, unsent)
        if seen == self._seen and (self.waiting or unsent):
            self.transport.abort()
            return
        self._seen = seen
        self.loop.call_later(PATIENCE, self._look)
