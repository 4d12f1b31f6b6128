"""How streams and the server end: who does not read is left, and who is being heard when it stops is told."""

import io
import json
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

RATE = 16_000
# The real server with buffers so small that they are full at once.
SCRIPT = """
import socket, sys
from valenza.inference.load import load
from valenza.serving.limits import Limits
from valenza.serving.server import build
from valenza.terminal import say
from valenza.timeline.stream import Streaming
from valenza.timeline.windows import Windows
from valenza.web.address import known_hosts, listen
from valenza.web.process import run

listener = listen("127.0.0.1", 0)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
limits = Limits(unread=4)
service = build(load(sys.argv[1]), known_hosts("127.0.0.1", None), limits, Streaming(Windows(0.2, 0.02)))
say(f"serving at http://127.0.0.1:{listener.getsockname()[1]}")
run(service.app, listener, farewell=service.farewell, largest_message=limits.message_bytes, grace=30)
"""
HANDSHAKE = (
    b"GET /stream HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture(scope="module")
def small(start: Callable[..., Any]) -> Any:
    return start(script=SCRIPT)


def test_who_does_not_read_their_answers_is_left(small: Any) -> None:
    message = bytes([0x82, 0xFE]) + (32_000).to_bytes(2, "big") + bytes(4) + bytes(32_000)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(30)
        line.connect(("127.0.0.1", small.port))
        line.sendall(HANDSHAKE)
        with suppress(OSError):
            for _ in range(40):  # each is answered 50 times
                line.sendall(message)
        until = time.monotonic() + 30
        while small.healthy()["streams"] and time.monotonic() < until:
            time.sleep(0.1)
        assert small.healthy()["streams"] == 0


def test_what_is_under_way_is_finished_or_told_at_the_end(small: Any, speech: np.ndarray) -> None:
    out = io.BytesIO()
    soundfile.write(out, speech[: 2 * RATE], RATE, format="WAV", subtype="PCM_16")
    wav = out.getvalue()
    head = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(wav)}\r\n\r\n".encode()
    with (
        connect(small.stream, compression=None) as stream,
        socket.create_connection(("127.0.0.1", small.port), timeout=30) as upload,
    ):
        upload.sendall(head + wav[: len(wav) // 2])
        stream.send(speech[:RATE].tobytes())
        assert json.loads(stream.recv(20))["type"] == "ready"
        assert json.loads(stream.recv(20))["type"] == "moments"
        small.process.send_signal(signal.SIGTERM)
        told: list[Any] = []
        with suppress(ConnectionClosed):
            while True:
                told.append(json.loads(stream.recv(20)))
        assert told[-1] == {"type": "error", "code": 1001, "detail": "the server is going down"}
        assert stream.close_code == 1001
        upload.sendall(wav[len(wav) // 2 :])
        answer = b""
        while part := upload.recv(65_536):
            answer += part
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200"), answer
    assert json.loads(body)["duration"] == 2.0
    assert small.stop() == 0
    assert "1 dropped" in next(line for line in reversed(small.said) if line.startswith("metrics:"))
