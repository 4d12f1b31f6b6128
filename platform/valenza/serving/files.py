"""A file heard from beginning to end, beside the streams and no faster than they are."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from time import monotonic
from typing import Any
from urllib.parse import quote

import numpy as np
from jaxtyping import Int16

from valenza.errors import NonFiniteError, UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import Model, Said
from valenza.labels.sequences import FRAME_RATE
from valenza.labels.taxonomy import EMOTIONS
from valenza.serving.ear import Due, Ear
from valenza.serving.form import unpacked
from valenza.serving.limits import Limits
from valenza.serving.schema import Mixture
from valenza.serving.sound import decode
from valenza.serving.upload import Received
from valenza.terminal import say
from valenza.timeline.formats import FORMATS, Options, suffix
from valenza.timeline.windows import Windows, mixture_of, timeline_of
from valenza.web.guard import RefusedError
from valenza.web.problems import on_one_line

MEDIA = {
    "json": "application/json",
    "csv": "text/csv",
    "textgrid": "text/plain",
    "audacity": "text/plain",
    "rttm": "text/plain",
    "a2f": "application/yaml",
    "arkit": "text/csv",
}
_Clips = Sequence[Int16[np.ndarray, " _"]]


@dataclass(frozen=True)
class Wanted:
    """What is to be told of a file."""

    timeline: bool
    format: str
    ban: tuple[str, ...]
    rate: float | None


@dataclass(frozen=True)
class Told:
    """An answer."""

    body: bytes
    type: str
    headers: dict[str, str]


class GivenUpError(Exception):
    """Nobody waits for the answer any more."""


@dataclass
class _Job:
    """A file in work: its bytes until a thread has them, what that waits for, and whether it should stop."""

    received: Received | None
    asked: Future[list[Said]] | None = None
    gone: bool = False

    def give_up(self) -> None:
        self.gone = True
        self.received = None  # a job that nobody waits for may stay in the queue, but not what was sent
        if self.asked is not None:
            self.asked.cancel()


class _Clip:
    """An asker of the ear with some clips that are there already."""

    def __init__(self, clips: _Clips) -> None:
        self._clips = deque(clips)
        self._count = len(clips)
        self._said: list[Said] = []
        self._since = monotonic()
        self.all: asyncio.Future[list[Said]] = asyncio.get_running_loop().create_future()

    def next_piece(self) -> Due | None:
        return Due(self._clips.popleft(), self._since) if self._clips else None

    def take(self, said: Said) -> None:
        self._said.append(said)
        self._since = monotonic()
        if len(self._said) == self._count and not self.all.done():
            self.all.set_result(self._said)

    def fail(self, error: Exception) -> None:
        """The reasons are in the log."""
        status = 422 if isinstance(error, NonFiniteError) else 500
        if not self.all.done():
            self.all.set_exception(RefusedError(status, f"the model cannot hear this: {type(error).__name__}"))


@dataclass(frozen=True)
class _Shared(Model):
    """The model as a file's thread sees it: its turns are the ear's."""

    ask: Callable[[_Clips], list[Said]] = field(default=lambda clips: [])

    def hear(self, clips: _Clips) -> list[Said]:
        return self.ask(clips)


class Files:
    """Hears files, a few at once; others wait, and more than a few waiting are refused."""

    def __init__(self, model: Model, windows: Windows, ear: Ear, limits: Limits) -> None:
        self._model = model
        self._windows = windows
        self._ear = ear
        self._limits = limits
        self._taken = 0
        self._threads = ThreadPoolExecutor(limits.file_workers, "file")

    @property
    def full(self) -> bool:
        """Whether every place is taken."""
        return self._taken >= self._limits.file_workers + self._limits.files_waiting

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place, until the answer is sent; raises `RefusedError` where none is free."""
        if self.full:
            raise RefusedError(503, "too many files are waiting; try again later")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def hear(self, received: Received, wanted: Wanted, gone: Awaitable[Any]) -> Told:
        """Return what is told of a file; raises `RefusedError`, and `GivenUpError` when `gone` comes first."""
        loop = asyncio.get_running_loop()
        job = _Job(received)
        work = asyncio.ensure_future(loop.run_in_executor(self._threads, self._work, job, wanted, loop))
        leaving = asyncio.ensure_future(gone)
        limit = self._limits.answer_seconds
        try:
            await asyncio.wait((work, leaving), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if leaving.done():
                raise GivenUpError
            raise RefusedError(
                503, f"the file was not heard within {limit:g} s; send a shorter one, or try again later"
            )
        except (RefusedError, GivenUpError):
            raise
        except Exception as error:
            say(f"error: {on_one_line(error)}")
            raise RefusedError(500, f"this cannot be heard: {type(error).__name__}") from None
        finally:
            job.give_up()
            leaving.cancel()
            work.cancel()

    def _work(self, job: _Job, wanted: Wanted, loop: asyncio.AbstractEventLoop) -> Told:
        if (received := job.received) is None:
            raise GivenUpError
        job.received = None

        def ask(clips: _Clips) -> list[Said]:
            if job.gone:
                raise GivenUpError
            job.asked = asyncio.run_coroutine_threadsafe(self._ask(clips), loop)
            return job.asked.result()

        name, data = unpacked(received.kind, received.data)
        audio = decode(data, self._limits.file_seconds)
        if wanted.timeline:
            self._check(len(audio) / SAMPLE_RATE, wanted.rate)
        own = {each.name: getattr(self._model, each.name) for each in fields(Model)}
        try:
            return _told(_Shared(**own, ask=ask), audio, name, wanted, self._windows)
        except UsageError as error:
            raise RefusedError(422, str(error)) from None

    def _check(self, seconds: float, rate: float | None) -> None:
        most = self._limits.answer_frames
        if seconds * (rate or FRAME_RATE) > most:
            raise RefusedError(422, f"rate: {seconds:g} s have at most {most / seconds:.4g} frames a second here")

    async def _ask(self, clips: _Clips) -> list[Said]:
        clip = _Clip(clips)
        self._ear.join(clip)
        try:
            return await clip.all
        finally:
            self._ear.leave(clip)


def _told(model: Model, audio: Int16[np.ndarray, " samples"], name: str, wanted: Wanted, windows: Windows) -> Told:
    if not wanted.timeline:
        mixture = mixture_of(model, audio).tolist()
        shares = {emotion: share for emotion, share in zip(EMOTIONS, mixture, strict=True) if emotion not in wanted.ban}
        left = sum(shares.values())
        shares = {emotion: share / left if left > 0 else 1 / len(shares) for emotion, share in shares.items()}
        best = max(shares, key=lambda emotion: shares[emotion])
        duration = len(audio) / SAMPLE_RATE
        row = Mixture(file=name, duration=duration, emotion=best, share=shares[best], shares=shares)
        return Told(row.model_dump_json().encode() + b"\n", MEDIA["json"], {})
    timeline = timeline_of(model, audio, windows, name=name)
    try:
        body = FORMATS[wanted.format]([timeline.without(wanted.ban)], Options(rate=wanted.rate, audio=audio))
    except ValueError as error:  # of what was asked for
        raise UsageError(str(error)) from None
    file = quote(name.rpartition(".")[0] or name) + suffix(wanted.format)
    return Told(body.encode(), MEDIA[wanted.format], {"content-disposition": f"attachment; filename*=UTF-8''{file}"})
