"""How streams and the server end: who does not read is left, and who is being heard when it stops is told."""

import json
import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from wires import HANDSHAKE, file_of, frame, post, until_closed

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
limits = Limits(unread=4, idle_seconds=600, upload_grace=120)
service = build(load(sys.argv[1]), known_hosts("127.0.0.1", None), limits, Streaming(Windows(0.2, 0.02)))
say(f"serving at http://127.0.0.1:{listener.getsockname()[1]}")
run(service.app, listener, farewell=service.farewell, largest_message=limits.message_bytes, grace=30)
"""


@pytest.fixture(scope="module")
def small(start: Callable[..., Any]) -> Any:
    return start(script=SCRIPT)


def test_who_does_not_read_their_answers_is_left(small: Any) -> None:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(30)
        line.connect(("127.0.0.1", small.port))
        line.sendall(HANDSHAKE)
        with suppress(OSError):
            for _ in range(40):  # each is answered 50 times
                line.sendall(frame(bytes(32_000)))
        until = time.monotonic() + 90
        while small.healthy()["streams"] and time.monotonic() < until:
            time.sleep(0.1)
        assert small.healthy()["streams"] == 0


def test_what_is_under_way_is_finished_or_told_at_the_end(small: Any, speech: np.ndarray) -> None:
    wav = file_of(speech[: 2 * RATE])
    with connect(small.stream, compression=None) as stream:  # is dropped, and so are those who are cut
        stream.send(b"\0")
        assert [json.loads(told)["type"] for told in (stream.recv(20), stream.recv(20))] == ["ready", "error"]
    with socket.create_connection(("127.0.0.1", small.port), timeout=30) as line:
        line.sendall(HANDSHAKE)
        line.recv(4096)
        line.sendall(frame(b"\xff", opcode=1))
        assert b'"code": 1007' in until_closed(line)
    with (
        connect(small.stream, compression=None) as stream,
        socket.create_connection(("127.0.0.1", small.port), timeout=30) as upload,
    ):
        upload.sendall(post(len(wav)) + wav[: len(wav) // 2])
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
        answer = until_closed(upload)
    first, _, body = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200"), answer
    assert json.loads(body)["duration"] == 2.0
    assert small.stop() == 0
    dropped = (re.search(r"^metrics: .* (\d+) dropped", line) for line in small.said)
    assert sum(int(found[1]) for found in dropped if found) >= 2
