"""Live streams: the same moments as offline, and every way in which a client may go wrong."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import soxr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.post import Post
from valenza.timeline.stream import Stream

RATE = 16_000


@contextmanager
def opened(server: Any) -> Iterator[ClientConnection]:
    with connect(server.stream, compression=None, max_size=None) as line:
        ready = json.loads(line.recv(20))
        assert ready["type"] == "ready"
        assert ready["classes"] == list(EMOTIONS)
        yield line


def rest(line: ClientConnection) -> list[Any]:
    """Everything that comes until the server closes."""
    received = []
    with suppress(ConnectionClosed):
        while True:
            received.append(json.loads(line.recv(20)))
    return received


def chunks(samples: np.ndarray, sizes: tuple[int, ...]) -> Iterator[bytes]:
    begin = turn = 0
    while begin < len(samples):
        size = sizes[turn % len(sizes)]
        yield samples[begin : begin + size].astype("<i2").tobytes()
        begin, turn = begin + size, turn + 1


def told(
    server: Any, samples: np.ndarray, settings: Any = None, sizes: tuple[int, ...] = (3200,)
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Stream samples as fast as the server takes them; return all moments and the summary."""
    with opened(server) as line:
        if settings is not None:
            line.send(json.dumps(settings))
        for chunk in chunks(samples, sizes):
            line.send(chunk)
        line.send("end")
        messages = [json.loads(message) for message in line]
        assert line.close_code == 1000
    assert [message["type"] for message in messages] == ["moments"] * (len(messages) - 1) + ["end"]
    return [moment for message in messages[:-1] for moment in message["moments"]], messages[-1]


def offline(model: Any, samples: np.ndarray) -> list[Any]:
    stream = Stream(model)
    return [*stream.feed(samples), *stream.close()]


def table(moments: list[dict[str, Any]]) -> np.ndarray:
    return np.array([[moment["time"], *moment["mixture"]] for moment in moments])


@pytest.mark.parametrize("sizes", [(3200,), (1, 319, 7777, 20_000)])
def test_a_stream_is_told_what_the_model_says_offline(
    server: Any, model: Any, speech: np.ndarray, sizes: tuple[int, ...]
) -> None:
    moments, summary = told(server, speech, sizes=sizes)
    alone = np.array([[moment.time, *moment.mixture] for moment in offline(model, speech)])
    assert table(moments).shape == alone.shape
    assert np.abs(table(moments) - alone).max() < 1e-4
    assert summary["moments"] == len(alone)
    assert summary["duration"] == pytest.approx(12)
    assert summary["mixture"] == pytest.approx(alone[:, 1:].mean(axis=0).tolist(), abs=1e-4)


def test_other_rates_are_resampled_as_they_come(server: Any, model: Any, speech: np.ndarray) -> None:
    fine = soxr.resample(speech[: 5 * RATE], RATE, 48_000)
    moments, summary = told(server, fine, {"rate": 48_000}, (960,))
    alone = np.array([[m.time, *m.mixture] for m in offline(model, soxr.resample(fine, 48_000, RATE))])
    assert np.abs(table(moments)[: len(alone)] - alone).max() < 0.01
    assert summary["duration"] == pytest.approx(5, abs=1e-3)


def test_banned_emotions_are_not_told(server: Any, model: Any, speech: np.ndarray) -> None:
    moments, _ = told(server, speech[: 3 * RATE], {"ban": ["anger", "sadness"]})
    whole = np.array([moment.mixture for moment in offline(model, speech[: 3 * RATE])])
    whole[:, [EMOTIONS.index("anger"), EMOTIONS.index("sadness")]] = 0
    assert np.abs(table(moments)[:, 1:] - whole / whole.sum(axis=1, keepdims=True)).max() < 1e-4


def test_post_processing_is_that_of_a_timeline(server: Any, model: Any, speech: np.ndarray) -> None:
    settings = {"contrast": 2.0, "top": 2, "smoothing": 0.3}
    moments, _ = told(server, speech[: 3 * RATE], {"post": settings})
    poster, before = Post(**settings).begin(), 0.0
    for moment, alone in zip(moments, offline(model, speech[: 3 * RATE]), strict=True):
        assert moment["mixture"] == pytest.approx(poster.step(alone.time - before, alone.mixture).tolist(), abs=1e-4)
        before = alone.time


def test_moments_come_while_the_sound_goes_on(server: Any, speech: np.ndarray) -> None:
    """A moment is told as soon as the told latency of audio after it is there, and no more than a step."""
    with connect(server.stream, compression=None) as line:
        latency = json.loads(line.recv(20))["latency"]
        for chunk in chunks(speech[: 2 * RATE], (1600,)):
            line.send(chunk)
        last = 0.0
        while last < 2 - latency - 0.2:
            last = json.loads(line.recv(30))["moments"][-1]["time"]


def test_nothing_at_all_ends_well(server: Any) -> None:
    with opened(server) as line:
        line.send("end")
        summary = json.loads(line.recv(20))
        assert (summary["type"], summary["duration"], summary["moments"]) == ("end", 0.0, 0)
        with pytest.raises(ConnectionClosed):
            line.recv(20)
        assert line.close_code == 1000


@pytest.mark.parametrize(
    ("messages", "code", "words"),
    [
        ([b"\x01"], 1007, "1 bytes are no 16-bit samples"),
        ([b""], 1007, "0 bytes"),
        (["hello"], 1007, "JSON"),
        (["[" * 20_000], 1007, "JSON"),
        (["[]"], 1008, "settings"),
        (['{"rate": 3}'], 1008, "rate"),
        (['{"rate": 1e99}'], 1008, "rate"),
        (['{"rate": "16000"}'], 1008, "rate"),
        (['{"rate": NaN}'], 1008, "rate"),
        (['{"\\ud800": 1}'], 1008, "settings"),
        (['{"läng": 1}'], 1008, "läng"),
        (['{"ban": ["joy"]}'], 1008, "ban"),
        (
            ['{"ban": ["happiness", "sadness", "disgust", "fear", "surprise", "anger", "other", "neutral"]}'],
            1008,
            "ban",
        ),
        (['{"post": {"contrast": 0}}'], 1008, "post.contrast"),
        ([b"\0\0", '{"rate": 8000}'], 1003, "end"),
        (["{}", "{}"], 1003, "end"),
        ([bytes(140_000)], 1009, ""),
        (["end", b"\0\0"], None, ""),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value),
)
def test_what_no_client_should_send_is_named(server: Any, messages: list[Any], code: int | None, words: str) -> None:
    with opened(server) as line:
        with suppress(ConnectionClosed):
            for message in messages:
                line.send(message)
        received = rest(line)
        assert line.close_code == code or (code is None and line.close_code in (1000, 1008))
        assert words in (line.close_reason or "")
        if code is not None:
            assert received[-1] == {"type": "error", "code": code, "detail": received[-1]["detail"]}
            assert words in received[-1]["detail"]
    assert server.healthy()["ok"]


def test_who_says_nothing_is_let_go(narrow: Any) -> None:
    began = time.monotonic()
    with opened(narrow) as line:
        assert "nothing came for 3 s" in json.loads(line.recv(20))["detail"]
        with pytest.raises(ConnectionClosed):
            line.recv(20)
        assert line.close_code == 1008
    assert time.monotonic() - began > 2.5


def test_a_stream_may_last_only_so_long(narrow: Any) -> None:
    with opened(narrow) as line:
        with suppress(ConnectionClosed):
            for _ in range(100):
                line.send(bytes(64_000))
        assert rest(line)[-1]["type"] == "error"
    assert (line.close_code, line.close_reason) == (1008, "a stream has at most 30 s")


def test_pages_of_other_sites_open_no_stream(server: Any) -> None:
    for more, status in (({"origin": "https://evil.example"}, 403), ({"additional_headers": {}}, 421)):
        address = server.stream.replace("127.0.0.1", "evil.localhost") if status == 421 else server.stream
        place = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        with pytest.raises(InvalidStatus) as refused, connect(address, sock=place, **more):
            pass
        assert refused.value.response.status_code == status
        assert b"detail" in (refused.value.response.body or b"")
