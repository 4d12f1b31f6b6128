"""Taking in a file: its bytes, as slowly as is bearable and no more than there is room for, and the sound in them."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from fastapi import Request
from jaxtyping import Int16
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from valenza.errors import UsageError
from valenza.serving.limits import Limits
from valenza.timeline.sound import Inflow
from valenza.web.guard import RefusedError, single_headers

_LINGER = 1.0  # seconds in which the rest of a refused file is thrown away, so that its sender can read why
_BLOCK = 1 << 16  # sample frames
_SAMPLES = 1 << 29  # of all channels: what takes longer to read than it is worth
_NAME = 120


@dataclass(frozen=True)
class Received:
    """A file as it came."""

    name: str
    data: bytes


class Intray:
    """Receives files; all of them together fill only so much memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    async def receive(self, request: Request) -> Received:
        """Return the file that a request carries, as its body or as the first file of a form.

        Raises `RefusedError`; give what comes back to `release` when it is done with.
        """
        kind = single_headers(request.scope).get("content-type", "").partition(";")[0].strip().lower()
        data = await self._read(request)
        try:
            if kind == "multipart/form-data":
                name, data_of_file = await _from_form(request, data)
                self._held += len(data_of_file) - len(data)
                data = data_of_file
            else:
                name = "audio"
            if not data:
                raise RefusedError(400, "there is no audio: send a file as the body, or as a form's file")
        except BaseException:
            self._held -= len(data)
            raise
        return Received(name, data)

    def release(self, received: Received) -> None:
        """Make room again."""
        self._held -= len(received.data)

    async def _read(self, request: Request) -> bytes:
        largest = self._limits.upload_bytes
        length = request.headers.get("content-length", "0")
        if not length.isdecimal():
            raise RefusedError(400, "the content-length is no number")
        body = bytearray()
        try:
            if int(length[:18]) > largest:
                raise RefusedError(413, f"a file has at most {largest:,} bytes")
            async for chunk in self._chunks(request):
                if len(body) + len(chunk) > largest:
                    raise RefusedError(413, f"a file has at most {largest:,} bytes")
                if self._held + len(chunk) > self._limits.upload_room:
                    raise RefusedError(503, "too many files are being sent; try again later")
                self._held += len(chunk)
                body += chunk
            return bytes(body)
        except BaseException as error:
            self._held -= len(body)
            if isinstance(error, RefusedError) and error.status in (413, 503):
                body.clear()
                await _throw_away(request)
            raise

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        began, got = time.monotonic(), 0
        stream = request.stream()
        while True:
            allowed = self._limits.upload_grace + got / self._limits.upload_rate
            try:
                async with asyncio.timeout(allowed - (time.monotonic() - began)):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise RefusedError(408, "the file came too slowly") from None
            except ClientDisconnect:
                raise RefusedError(400, "the file was cut off") from None
            if chunk is None:
                return
            got += len(chunk)
            yield chunk


async def _throw_away(request: Request) -> None:
    try:
        async with asyncio.timeout(_LINGER):
            while (await request.receive()).get("more_body"):
                pass
    except TimeoutError:
        return


async def _from_form(request: Request, data: bytes) -> tuple[str, bytes]:
    async def body() -> AsyncGenerator[bytes, None]:
        yield data

    try:
        form = await MultiPartParser(request.headers, body(), max_files=1, max_fields=4).parse()
    except (MultiPartException, FormParserError, LookupError, ValueError) as error:
        raise RefusedError(400, f"the form cannot be read: {error}") from None
    try:
        for value in form.values():
            if isinstance(value, UploadFile):
                return _plain(value.filename or "audio"), await value.read()
    finally:
        await form.close()
    return "audio", b""


def _plain(name: str) -> str:
    """Return a file's name without its folders, and without what no name should hold."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:_NAME].strip() or "audio"


def decode(data: bytes, longest: float) -> Int16[np.ndarray, " samples"]:
    """Return the sound of a file as 16 kHz mono samples, of any container that libsndfile reads.

    Raises `RefusedError` where it is none, lasts longer than so many seconds, or holds nothing that can be heard.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            parts = list(_decoded(file, longest))
    except soundfile.LibsndfileError as error:
        raise RefusedError(415, f"this cannot be read as audio: {error.error_string}") from None
    except (UsageError, ValueError) as error:
        raise RefusedError(422, f"the file cannot be heard: {error}") from None
    audio = np.concatenate(parts)
    if not len(audio):
        raise RefusedError(422, "the file holds no samples")
    return audio


def _decoded(file: soundfile.SoundFile, longest: float) -> Iterator[Int16[np.ndarray, " _"]]:
    """Yield 16 kHz mono samples; what a header claims of the length is not trusted."""
    inflow = Inflow(file.samplerate, file.channels)
    most = min(int(longest * file.samplerate), _SAMPLES // file.channels)
    count = 0
    while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
        count += len(block)
        if count > most:
            raise RefusedError(413, f"a recording lasts at most {most / file.samplerate:g} s")
        yield inflow.put(block)
    yield inflow.end()
