"""WebSockets whose other end can fill no queue of ours; they need the `websockets` package."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from valenza.web.connections import PATIENCE

PARTS = 64
"""Pieces that one message may come in."""
QUEUED = 1024
"""Messages that wait for the application; it takes one, and the rest is what one read of the line brought."""
UNSENT = 262_144
"""Bytes of pongs that wait for the other end to read."""


class Socket(WebSocketsSansIOProtocol):
    """A WebSocket whose other end can fill no queue of ours."""

    async def run_asgi(self) -> None:
        """Run the application; what the other end has not read some seconds after its end is thrown away."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(PATIENCE, self.transport.abort)

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
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping, as long as the answers are read."""
        if self.transport.get_write_buffer_size() > UNSENT:
            self.transport.abort()
            return
        super().handle_ping()

    def _cut(self, code: int, reason: str) -> None:
        if self.close_sent or self.disconnected:
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
