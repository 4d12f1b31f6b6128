"""What is bounded where no client could show it in a test: places, bytes, connections, and the end of the server."""

import asyncio
import gc
import select
import socket
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pytest
from starlette.websockets import WebSocket
from wires import file_of, post

from valenza.inference.model import Model
from valenza.labels.taxonomy import EMOTIONS
from valenza.serving.ear import Ear
from valenza.serving.files import Files, GivenUpError, Told, Wanted
from valenza.serving.limits import Limits
from valenza.serving.line import Hall, Line
from valenza.serving.metrics import Metrics
from valenza.serving.predict import Answer
from valenza.serving.schema import Settings
from valenza.serving.sound import decode
from valenza.serving.spoken import Spoken
from valenza.serving.streams import Streams
from valenza.serving.upload import Received
from valenza.timeline.stream import Streaming
from valenza.timeline.windows import Windows
from valenza.web.guard import RefusedError

WANTED = Wanted(timeline=False, format="json", ban=(), rate=None)


class Engine:
    """Says the same of everything, after a while, or fails."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self.seconds, self.error = seconds, error

    def __call__(self, audio: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        shares = np.full((len(audio), len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
        return {"mixture": shares, "frames": np.repeat(shares[:, None], -(-lengths.max() // 320), axis=1)}


async def with_ear(engine: Engine, work: Callable[[Model, Ear], Awaitable[Any]]) -> Any:
    model = Model("toy", engine, EMOTIONS, False, 160_000, {})
    ear = Ear(model, Metrics())
    working = asyncio.create_task(ear.work())
    try:
        async with asyncio.timeout(60):
            return await work(model, ear)
    finally:
        working.cancel()


def sound(seconds: float = 0.5) -> Received:
    return Received("", file_of(np.ones(int(16_000 * seconds), np.int16)))


@pytest.mark.parametrize("error", [RuntimeError("CUDA\nis ill"), ValueError("no such axis"), KeyError("mixture")])
def test_a_model_that_breaks_on_a_file_is_told_and_logged_in_a_line(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(model: Model, ear: Ear) -> None:
        files = Files(model, Windows(), ear, Limits())
        with pytest.raises(RefusedError) as refused:
            await files.hear(sound(), WANTED, asyncio.Event().wait())
        assert (refused.value.status, type(error).__name__ in refused.value.reason) == (500, True)

    asyncio.run(with_ear(Engine(error=error), work))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {type(error).__name__}: ")


def test_what_is_given_up_is_not_kept() -> None:
    async def work(model: Model, ear: Ear) -> None:
        files = Files(model, Windows(), ear, Limits(file_workers=1))
        busy = asyncio.create_task(files.hear(sound(), WANTED, asyncio.Event().wait()))
        await asyncio.sleep(0.1)
        left = sound()
        kept = weakref.ref(left)
        with pytest.raises(GivenUpError):
            await files.hear(left, WANTED, asyncio.sleep(0))
        del left
        gc.collect()
        assert kept() is None
        assert not busy.done()
        await busy

    asyncio.run(with_ear(Engine(seconds=3), work))


def test_a_place_is_taken_until_the_answer_was_read_or_took_too_long() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        assert not given_back
        sent.append(message)
        if len(sent) == 3:
            await asyncio.Event().wait()

    given_back: list[int] = []
    held = ExitStack()
    held.callback(given_back.append, 1)
    answer = Answer(Told(bytes(200_000), "text/csv", {}), held, Limits(upload_grace=0.2, upload_rate=10**9))
    asyncio.run(answer({"type": "http"}, send, send))
    assert (len(sent), given_back) == (3, [1])


class Phone:
    """The other end of a stream, which says a few things and then nothing."""

    def __init__(self, *messages: str) -> None:
        self.sent: list[Any] = []
        self._messages = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": m} for m in messages)]
        self.socket = WebSocket({"type": "websocket"}, self._receive, self._send)

    async def _receive(self) -> Any:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop(0)

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def closed(self) -> int:
        return int(self.sent[-1]["code"])


def hall(model: Model, ear: Ear, **limits: Any) -> Hall:
    def speak(settings: Settings, line: Line) -> Spoken:
        return Spoken(model, Streaming(), settings, line)

    return Hall(ear, Limits(**limits), speak, '{"type": "ready"}')


def test_who_has_said_everything_may_be_silent_while_the_model_hears() -> None:
    async def work(model: Model, ear: Ear) -> Phone:
        phone = Phone("{}", "end")
        phone._messages.insert(2, {"type": "websocket.receive", "bytes": bytes(32_000)})
        await Streams(hall(model, ear, idle_seconds=0.2), Metrics()).serve(phone.socket)
        return phone

    assert asyncio.run(with_ear(Engine(seconds=1), work)).closed == 1000


def test_who_comes_while_the_server_goes_is_told() -> None:
    async def work(model: Model, ear: Ear) -> Phone:
        streams = Streams(hall(model, ear), Metrics())
        await streams.farewell()
        phone = Phone()
        await streams.serve(phone.socket)
        return phone

    phone = asyncio.run(with_ear(Engine(), work))
    assert phone.closed == 1001
    assert "the server is going down" in phone.sent[-2]["text"]


def test_many_messages_at_once_leave_others_their_turn() -> None:
    async def work(model: Model, ear: Ear) -> None:
        phone = Phone()
        phone._messages += [{"type": "websocket.receive", "bytes": b"\0\0"} for _ in range(1_000)]
        serving = asyncio.create_task(Streams(hall(model, ear), Metrics()).serve(phone.socket))
        turns = 0
        while phone._messages:
            await asyncio.sleep(0)
            turns += 1
        serving.cancel()
        assert turns > 20

    asyncio.run(with_ear(Engine(), work))


@pytest.mark.parametrize("form", ["AIFF", "MP3"])
def test_damaged_files_print_nothing(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    tone = (9_000 * np.sin(np.arange(8_000) / 9)).astype(np.int16)
    whole = np.frombuffer(file_of(tone, form=form, subtype=None), np.uint8)
    for number in range(200):
        damaged = whole.copy()
        places = rng.integers(120 if number % 2 else len(whole), size=4)
        damaged[places] = rng.choice([0, 255, 17], size=4)
        with suppress(RefusedError):
            decode(damaged.tobytes(), 30.0)
    assert capfd.readouterr() == ("", "")


def test_slow_senders_take_no_place_from_others(server: Any) -> None:
    with ExitStack() as stack:
        for _ in range(80):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            line.sendall(post(100_000) + b"R")
        assert server.post(sound().data).status_code == 200


def test_connections_that_say_nothing_make_room_for_those_that_come(server: Any) -> None:
    with ExitStack() as stack:
        place = ("127.0.0.1", server.port)
        lines = [stack.enter_context(socket.create_connection(place, timeout=20)) for _ in range(600)]
        assert server.healthy()["ok"]
        until = time.monotonic() + 8  # those on which nothing moves are cut after 10 s anyway
        poll = select.poll()
        for line in lines:
            poll.register(line, select.POLLIN)
        while len(poll.poll(100)) < 600 - 256 and time.monotonic() < until:
            time.sleep(0.1)
        assert len(poll.poll(100)) >= 600 - 256
