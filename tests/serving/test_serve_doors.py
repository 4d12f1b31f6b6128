"""Who is let in under which name, and who is cut: frames that are too many, too small or none at all."""

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from wires import HANDSHAKE, frame, until_closed


def spoken(server: Any, frames: bytes) -> bytes:
    """What comes on a stream after these frames until the server closes, which it does soon."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=8) as line:
        line.sendall(HANDSHAKE)
        head = line.recv(65_536)
        assert b" 101 " in head
        with suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(frames)
        return head + until_closed(line)


@pytest.fixture(scope="module")
def doors(start: Callable[..., Any]) -> Any:
    """A server with two places, behind a proxy."""
    return start("--max-clients", 2, "--idle", 60, "--public-url", "https://emotions.example:8443")


def test_more_clients_than_places_are_turned_away(doors: Any) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            assert json.loads(stack.enter_context(connect(doors.stream)).recv(20))["type"] == "ready"
        with connect(doors.stream) as line:
            assert json.loads(line.recv(20))["code"] == 1013
            with pytest.raises(ConnectionClosed):
                line.recv(20)
        assert line.close_code == 1013
        assert "places are taken" in (line.close_reason or "")
        assert b'"code": 1013' in spoken(doors, b"")  # who does not close is not waited for
    until = time.monotonic() + 20
    while doors.healthy()["streams"] and time.monotonic() < until:
        time.sleep(0.1)
    with connect(doors.stream) as line:
        line.send("end")
        assert [json.loads(told)["type"] for told in (line.recv(20), line.recv(20))] == ["ready", "end"]


@pytest.mark.parametrize("host", ["emotions.example:8443", "emotions.example", "127.0.0.1:8000"])
def test_a_proxy_may_name_any_of_the_hosts(doors: Any, host: str) -> None:
    for origin, status in (
        ("https://emotions.example:8443", 200),
        ("https://emotions.example:9999", 403),
        ("http://emotions.example:8443", 200 if host == "emotions.example:8443" else 403),
    ):
        headers = {"host": host, "origin": origin, "sec-fetch-site": "same-origin"}
        assert httpx.get(f"{doors.url}/model", headers=headers).status_code == status, origin


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (frame(b"\xff", opcode=1), b'"code": 1007, "detail": "text is no UTF-8"'),
        (frame(b"", opcode=9) * 40_000, b'"code": 1008, "detail": "messages too small and too many"'),
        (frame(b"", opcode=10) * 40_000, b'"code": 1008, "detail": "messages too small and too many"'),
        (frame(b"\0\0") * 40_000, b'"code": 1008, "detail": "messages too small and too many"'),
        (frame(b"", opcode=0, end=False), b'"code": 1002'),
        (frame(b"\0\0", end=False) + frame(b"", opcode=0, end=False) * 70, b'"code": 1008, "detail": "a message comes'),
    ],
    ids=["text", "pings", "pongs", "crumbs", "order", "pieces"],
)
def test_frames_that_are_cut_off_are_told_why(server: Any, frames: bytes, told: bytes) -> None:
    assert told in spoken(server, frames)
    assert not [line for line in server.said if "Traceback" in line or "UTF-8" in line]


def test_small_frames_hold_nobody_up(server: Any) -> None:
    """Those that come in one read of the line are thousands; others are answered meanwhile."""
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            with suppress(OSError):
                spoken(server, frame(b"", opcode=9) * 40_000)

    floods = [threading.Thread(target=flood) for _ in range(2)]
    for thread in floods:
        thread.start()
    took = []
    try:
        for _ in range(15):
            began = time.monotonic()
            server.healthy()
            took.append(time.monotonic() - began)
            time.sleep(0.05)
    finally:
        stop.set()
        for thread in floods:
            thread.join()
    assert np.median(took) < 0.5, took


def test_a_handshake_that_is_none_is_closed(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=8) as line:
        line.sendall(HANDSHAKE[:-2] + b"x: " + b"y" * 9_000 + b"\r\n\r\n")
        until_closed(line)
