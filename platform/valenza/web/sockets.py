"""WebSockets whose other end fills no queue of ours, nor takes all of our time; they need the `websockets` package."""

import json
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from valenza.web.connections import PATIENCE, Waiting

PARTS = 64
"""Pieces that one message may come in."""
QUEUED = 1024
"""Messages that wait for the application; it takes one, and the rest is what one read of the line brought."""
UNSENT = 262_144
"""Bytes of pongs that wait for the other end to read."""
SMALL = 1024
"""Bytes: frames below, pings and pongs among them, are counted."""
RATE = 400
"""Small frames a second."""
BURST = 2000
"""Small frames at once."""
_LINGER = 1.0  # seconds in which the other end may read why it is over


class Socket(Waiting, WebSocketsSansIOProtocol):
    """A WebSocket whose other end fills no queue of ours, nor takes all of our time.

    One that is cut is told why, as `error_message` has it; the application finds `cut` in the message that the other
    end is gone.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.close_timeout = _LINGER
        self.since = self.loop.time()
        self._done = self._over = False
        self._small = 0.0
        self._counted = self.loop.time()

    @property
    def waiting(self) -> bool:
        """Whether the application is done with it."""
        return self._done

    async def run_asgi(self) -> None:
        """Run the application; what the other end has not read some seconds after its end is thrown away."""
        try:
            await super().run_asgi()
        finally:
            self.since, self._done = self.loop.time(), True
            self.loop.call_later(PATIENCE, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what came bit by bit, so that little of it was read when it turns out to be too much."""
        if self._over:
            return
        for begin in range(0, len(data), SMALL):
            super().data_received(data[begin : begin + SMALL])
            if not self.handshake_initiated and self.conn.handshake_exc is not None:  # uvicorn would wait for ever
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.transport.close()
            if self._over or self.transport.is_closing():
                return

    def handle_events(self) -> None:
        """Take frames, unless they are too many."""
        now = self.loop.time()
        self._small = max(0.0, self._small - RATE * (now - self._counted))
        self._counted = now
        self._small += sum(isinstance(event, Frame) and len(event.data) < SMALL for event in self.conn.events)
        if self._small > BURST:
            self._cut(1008, "messages too small and too many")
        else:
            super().handle_events()

    def handle_cont(self, event: Any) -> None:
        """Take a message's next piece."""
        if len(self.frames) >= PARTS:
            self._cut(1008, f"a message comes in at most {PARTS} pieces")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a message to the application."""
        if self.queue.qsize() >= QUEUED:
            self._cut(1008, "messages too small and too many")
            return
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._cut(1007, "text is no UTF-8")
                return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, as long as the answers are read."""
        if self.transport.get_write_buffer_size() > UNSENT:
            self.transport.abort()
            return
        super().handle_ping()

    def handle_parser_exception(self) -> None:
        """End what is no WebSocket any more, or too large a message."""
        close = self.conn.close_sent
        if close is None:
            self.transport.abort()
        else:
            self._cut(close.code, close.reason)

    def _cut(self, code: int, reason: str) -> None:
        if self._over:
            return
        self._over = True
        if self.close_sent or self.disconnected or not self.handshake_complete:
            self.transport.abort()
            return
        told: Any = {"type": "websocket.disconnect", "code": code, "reason": reason, "cut": True}
        self.queue.put_nowait(told)
        self.transport.write(Frame(Opcode.TEXT, error_message(code, reason).encode()).serialize(mask=False))
        if self.conn.close_sent is None:
            self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        # What still comes is thrown away: a line that is closed with something unread on it loses what was said.
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_LINGER, self.transport.close)


def error_message(code: int, reason: str) -> str:
    """Return the last message before a socket is closed with an error."""
    return json.dumps({"type": "error", "code": code, "detail": reason})
