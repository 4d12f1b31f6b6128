"""The server: a file by POST, a stream by WebSocket, and the page that shows both."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, WebSocket

from valenza.evaluation.dynamic.picture import COLOURS
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import Model
from valenza.labels.taxonomy import EMOTIONS
from valenza.serving import schema
from valenza.serving.ear import Ear
from valenza.serving.files import Files
from valenza.serving.limits import Limits
from valenza.serving.line import Hall
from valenza.serving.metrics import Metrics
from valenza.serving.predict import add_files
from valenza.serving.spoken import Spoken
from valenza.serving.streams import Streams
from valenza.terminal import say
from valenza.timeline.stream import Stream, Streaming
from valenza.web.guard import HEADERS, App, Guard
from valenza.web.pages import add_pages, read_files
from valenza.web.problems import Problem, explain

_HEADERS = HEADERS | {"permissions-policy": "camera=(), microphone=(self), geolocation=()"}
_GUARDED: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (400, 403, 421, 503)}


@dataclass(frozen=True)
class Service:
    """What a process runs."""

    app: App
    farewell: Callable[[], Awaitable[None]]
    """Ends every stream, telling it why."""


def build(
    model: Model,
    hosts: Collection[str],
    limits: Limits,
    streaming: Streaming,
    public: str | None = None,
) -> Service:
    """Return the whole server, which answers under `hosts`, also to pages of the address `public`.

    Raises `UsageError` for windows the model cannot hear.
    """
    metrics = Metrics()
    ear = Ear(model, metrics)
    app = FastAPI(
        title="valenza serve",
        version="1",
        description="Emotions in speech. Live streams: the WebSocket at /stream, described in docs/serving.md.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        lifespan=_alive(ear, metrics),
    )
    files = read_files("serving/web")
    known = _known(model, streaming)
    explain(app, {408: {"connection": "close"}, 503: {"retry-after": "5"}})
    add_files(app, Files(model, streaming.windows, ear, limits), limits, metrics)
    _add_facts(app, known, limits, metrics)
    streams = Streams(_hall(model, streaming, ear, limits, known), metrics)

    @app.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        await streams.serve(socket)

    add_pages(app, files)  # last, for it takes every address that is left
    fixed = {"/stream", "/predict", "/healthz", "/model", "/openapi.json"} | set(files)
    guard = Guard(app, hosts, lambda path: path in fixed, unread=("/predict",), headers=_HEADERS, public=public)
    return Service(guard, streams.farewell)


def _known(model: Model, streaming: Streaming) -> schema.Known:
    return schema.Known(
        name=os.path.basename(os.path.normpath(model.name)),  # noqa: PTH119 - a hub's name is no path
        emotions=[emotion for emotion in EMOTIONS if emotion in model.seen],
        classes=list(EMOTIONS),
        colours={emotion: COLOURS[emotion] for emotion in EMOTIONS},
        sample_rate=SAMPLE_RATE,
        framewise=model.framewise,
        longest=model.longest / SAMPLE_RATE,
        latency=Stream(model, streaming).latency,
        details=model.details,
    )


def _hall(model: Model, streaming: Streaming, ear: Ear, limits: Limits, known: schema.Known) -> Hall:
    facts = known.model_dump(include={"classes", "emotions", "latency"})
    ready = schema.Ready(**facts).model_dump_json()
    return Hall(ear, limits, lambda settings, line: Spoken(model, streaming, settings, line), ready)


def _alive(ear: Ear, metrics: Metrics) -> Any:
    @asynccontextmanager
    async def alive(_: FastAPI) -> AsyncIterator[None]:
        work = [asyncio.create_task(ear.work()), asyncio.create_task(metrics.report())]

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():  # a server that hears nothing any more is worse than none
                say(f"error: {task.exception()!r}")
                os.kill(os.getpid(), signal.SIGTERM)

        for task in work:
            task.add_done_callback(ended)
        yield
        for task in work:
            task.cancel()
        say(metrics.line())

    return alive


def _add_facts(app: FastAPI, known: schema.Known, limits: Limits, metrics: Metrics) -> None:
    @app.get("/healthz", responses=_GUARDED)
    async def alive() -> schema.Alive:
        """Say that the server answers."""
        return schema.Alive(streams=metrics.streams, room=limits.clients - metrics.streams)

    @app.get("/model", responses=_GUARDED)
    async def model() -> schema.Known:
        """Tell what the model can tell, where it comes from, and under which terms."""
        return known
