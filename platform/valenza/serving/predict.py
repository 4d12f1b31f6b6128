"""`POST /predict`: who may send a file, and how its answer is sent."""

import asyncio
from contextlib import ExitStack, suppress
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from starlette.types import Receive, Scope, Send

from valenza.labels.taxonomy import Emotion
from valenza.serving import schema
from valenza.serving.files import MEDIA, Files, GivenUpError, Told, Wanted
from valenza.serving.limits import Limits
from valenza.serving.metrics import Metrics
from valenza.serving.upload import Intray, throw_away
from valenza.web.guard import RefusedError
from valenza.web.problems import FRESH, Problem

Format = Literal["json", "csv", "textgrid", "audacity", "rttm", "a2f", "arkit"]
_PART = 65_536  # bytes of an answer that are handed over at once
_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 403, 408, 413, 415, 421, 422, 500, 503)
}
_TEXTS = {
    media: {"schema": {"type": "object" if media == MEDIA["a2f"] else "string"}}
    for media in sorted(set(MEDIA.values()) - {MEDIA["json"]})
}
_HEARD: dict[int | str, dict[str, Any]] = {
    200: {"model": schema.Mixture | schema.Timelines, "content": _TEXTS, "description": "Heard"}
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "required": ["file"], "properties": {"file": _BINARY["schema"]}}}
_BODY = {
    "required": True,
    "content": {"application/octet-stream": _BINARY, "audio/wav": _BINARY, "multipart/form-data": _FORM},
    "description": "A recording in any container that libsndfile reads: WAV, FLAC, OGG, MP3 and others.",
}


def add_files(app: FastAPI, files: Files, limits: Limits, metrics: Metrics) -> None:
    """Answer files."""
    intray = Intray(limits)

    @app.post("/predict", responses=_REFUSED | _HEARD, openapi_extra={"requestBody": _BODY})
    async def predict(
        request: Request,
        timeline: Annotated[bool, Query(description="Emotions over time, and not of the whole.")] = False,
        format: Annotated[Format, Query(description="Of the timeline; any but json asks for one.")] = "json",  # noqa: A002
        ban: Annotated[list[Emotion], Query(max_length=7, description="Emotions that are not to be told.")] = [],  # noqa: B006
        rate: Annotated[float | None, Query(gt=0, le=200, description="Frames a second of the timeline.")] = None,
    ) -> Response:
        """Return the emotions of a recording."""
        wanted = Wanted(timeline or format != "json", format, tuple(ban), rate)
        try:
            with ExitStack() as held:
                held.enter_context(metrics.file())
                if files.full:
                    await throw_away(request)
                    raise RefusedError(503, "too many files are waiting; try again later")
                received = await intray.receive(request)
                held.callback(intray.release, len(received.data))
                held.enter_context(files.place())
                told = await files.hear(received, wanted, _when_gone(request))
                intray.hold(len(told.body))
                held.callback(intray.release, len(told.body))
                return Answer(told, held.pop_all(), limits)
        except GivenUpError:
            return Response(status_code=499)
        except RefusedError:
            metrics.refused += 1
            raise


class Answer(Response):
    """An answer that is sent as it is read; its place and its bytes are counted until then."""

    def __init__(self, told: Told, held: ExitStack, limits: Limits) -> None:
        super().__init__(told.body, media_type=told.type, headers=FRESH | told.headers)
        self._held = held
        self._slowest = limits.upload_grace + len(told.body) / limits.upload_rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; who takes too long gets no more, and the connection ends."""
        with self._held, suppress(TimeoutError):
            async with asyncio.timeout(self._slowest):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                for begin in range(0, len(self.body), _PART):
                    await send(
                        {"type": "http.response.body", "body": self.body[begin : begin + _PART], "more_body": True}
                    )
            await send({"type": "http.response.body", "body": b""})


async def _when_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
