"""The server: a file by POST, a stream by WebSocket, and the page that shows both."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response, WebSocket

from valenza.evaluation.dynamic.picture import COLOURS
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import Model
from valenza.labels.taxonomy import EMOTIONS, Emotion
from valenza.serving import schema
from valenza.serving.ear import Ear
from valenza.serving.files import MEDIA, Files, GivenUpError, Wanted
from valenza.serving.limits import Limits
from valenza.serving.line import FULL, GOING, Hall, Line
from valenza.serving.metrics import Metrics
from valenza.serving.spoken import Spoken
from valenza.serving.upload import Intray
from valenza.terminal import say
from valenza.timeline.stream import Stream, Streaming
from valenza.web.guard import HEADERS, App, Guard, RefusedError
from valenza.web.pages import add_pages, read_files
from valenza.web.problems import FRESH, Problem, explain

Format = Literal["json", "csv", "textgrid", "audacity", "rttm", "a2f", "arkit"]
_FAREWELL = 6.0  # seconds for streams to be told that the server ends
_HEADERS = HEADERS | {"permissions-policy": "camera=(), microphone=(self), geolocation=()"}
_Answers = dict[int | str, dict[str, Any]]
_GUARDED: _Answers = {status: {"model": Problem} for status in (400, 403, 421)}
_REFUSED: _Answers = _GUARDED | {status: {"model": Problem} for status in (408, 413, 415, 422, 503)}
_TEXTS = {
    media: {"schema": {"type": "object" if media == MEDIA["a2f"] else "string"}}
    for media in sorted(set(MEDIA.values()) - {MEDIA["json"]})
}
_HEARD: _Answers = {200: {"model": schema.Mixture | schema.Timelines, "content": _TEXTS, "description": "Heard"}}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY["schema"]}}}
_BODY = {
    "required": True,
    "content": {"application/octet-stream": _BINARY, "audio/wav": _BINARY, "multipart/form-data": _FORM},
    "description": "A recording in any container that libsndfile reads: WAV, FLAC, OGG, MP3 and others.",
}


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
) -> Service:
    """Return the whole server, which answers under `hosts`; raises `UsageError` for windows the model cannot hear."""
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
    explain(app, {503: {"retry-after": "5"}})
    _add_files(app, Files(model, streaming.windows, ear, limits), Intray(limits), limits, metrics)
    _add_facts(app, known, limits, metrics)
    lines = _add_streams(app, _hall(model, streaming, ear, limits, known), limits, metrics)
    add_pages(app, files)  # last, for it takes every address that is left
    fixed = {"/stream", "/predict", "/healthz", "/model", "/openapi.json"} | set(files)
    guard = Guard(app, hosts, lambda path: path in fixed, unread=("/predict",), headers=_HEADERS)
    return Service(guard, lambda: _say_farewell(lines))


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


def _add_files(app: FastAPI, files: Files, intray: Intray, limits: Limits, metrics: Metrics) -> None:
    @app.post("/predict", responses=_REFUSED | _HEARD, openapi_extra={"requestBody": _BODY})
    async def predict(
        request: Request,
        timeline: Annotated[bool, Query(description="Emotions over time, and not of the whole.")] = False,
        format: Annotated[Format, Query(description="Of the timeline; any but json asks for one.")] = "json",  # noqa: A002
        ban: Annotated[list[Emotion], Query(max_length=7, description="Emotions that are not to be told.")] = [],  # noqa: B006
        rate: Annotated[float | None, Query(gt=0, le=200, description="Frames a second of the timeline.")] = None,
    ) -> Response:
        """Return the emotions of a recording."""
        if metrics.files >= limits.file_workers + limits.files_waiting:
            metrics.refused += 1
            raise RefusedError(503, "too many files are waiting; try again later")
        metrics.files += 1
        try:
            received = await intray.receive(request)
            try:
                wanted = Wanted(timeline or format != "json", format, tuple(ban), rate)
                told = await files.hear(received, wanted, _when_gone(request))
            finally:
                intray.release(received)
        except GivenUpError:
            return Response(status_code=499)
        except RefusedError:
            metrics.refused += 1
            raise
        finally:
            metrics.files -= 1
        return Response(told.body, media_type=told.type, headers=FRESH | told.headers)


async def _when_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _add_facts(app: FastAPI, known: schema.Known, limits: Limits, metrics: Metrics) -> None:
    @app.get("/healthz", responses=_GUARDED)
    async def alive() -> schema.Alive:
        """Say that the server answers."""
        return schema.Alive(streams=metrics.streams, room=limits.clients - metrics.streams)

    @app.get("/model", responses=_GUARDED)
    async def model() -> schema.Known:
        """Tell what the model can tell, where it comes from, and under which terms."""
        return known


def _add_streams(app: FastAPI, hall: Hall, limits: Limits, metrics: Metrics) -> set[Line]:
    lines: set[Line] = set()

    @app.websocket("/stream")
    async def stream(socket: WebSocket) -> None:
        if metrics.streams >= limits.clients:
            metrics.refused += 1
            await socket.accept()
            await socket.close(FULL, f"all {limits.clients} places are taken; try again later")
            return
        line = Line(socket, hall)
        metrics.streams += 1
        lines.add(line)
        try:
            await line.run()
        finally:
            lines.discard(line)
            metrics.streams -= 1
            metrics.dropped += line.dropped

    return lines


async def _say_farewell(lines: set[Line]) -> None:
    for line in lines:
        line.close(GOING, "the server is going down")
    until = asyncio.get_running_loop().time() + _FAREWELL
    while lines and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.02)
