"""The one model and the many who ask it: pieces of all of them go through together, in fair turns, on one thread."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int16

from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import Model, Said
from valenza.serving.metrics import Metrics
from valenza.terminal import say
from valenza.web.problems import on_one_line

Audio = Int16[np.ndarray, " _"]
_PIECES = 64
_SECONDS = 60.0  # of audio in a turn, beyond its first piece
_ALIKE = 1.25  # the longest piece of a batch over its shortest: what is shorter is padded, and padding is heard too


@dataclass(frozen=True, eq=False)
class Due:
    """A piece of audio that can be heard."""

    audio: Audio
    since: float
    """By the monotonic clock."""


@runtime_checkable
class Asker(Protocol):
    """Someone who wants pieces of audio heard, in their order."""

    def next_piece(self) -> Due | None:
        """Return the next piece that is due, once."""

    def take(self, said: Said) -> None:
        """Take what is said of the first piece that is not yet answered."""

    def fail(self, error: Exception) -> None:
        """Learn that the model cannot hear that piece."""


@dataclass(frozen=True, eq=False)
class _Turn:
    asker: Asker
    due: Due


class Ear:
    """Hears for everyone: each turn takes one piece of each asker that has one due, and begins where the last ended.

    Whoever asks for more than others waits longer for it; nobody else does. All methods belong to the event loop.
    """

    def __init__(self, model: Model, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._askers: deque[Asker] = deque()
        self._stirred = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "ear")

    def join(self, asker: Asker) -> None:
        """Give an asker turns."""
        self._askers.append(asker)
        self.stir()

    def leave(self, asker: Asker) -> None:
        """Give it no more turns; what is being heard of it is answered to nobody."""
        with suppress(ValueError):
            self._askers.remove(asker)

    def stir(self) -> None:
        """Say that a piece may be due."""
        self._stirred.set()

    async def work(self) -> None:
        """Hear for ever."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                while turns := self._turns():
                    said = await loop.run_in_executor(self._thread, self._hear, turns)
                    for turn, answer in zip(turns, said, strict=True):
                        self._answer(turn, answer)
                    await asyncio.sleep(0)  # the answers go out before the next turn is gathered
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _turns(self) -> list[_Turn]:
        turns: list[_Turn] = []
        seconds = 0.0
        for _ in range(len(self._askers)):
            if len(turns) == _PIECES or seconds > _SECONDS:
                break
            asker = self._askers[0]
            self._askers.rotate(-1)
            due = asker.next_piece()
            if due is not None:
                turns.append(_Turn(asker, due))
                seconds += len(due.audio) / SAMPLE_RATE
        return turns

    def _hear(self, turns: Sequence[_Turn]) -> list[Said | Exception]:
        """Return an answer for each piece, in their order; runs on the thread."""
        said: list[Said | Exception] = [RuntimeError("not heard")] * len(turns)
        began, calls = time.monotonic(), 0
        for group in _groups([len(turn.due.audio) for turn in turns]):
            calls += 1
            for place, answer in zip(group, self._together([turns[k].due.audio for k in group]), strict=True):
                said[place] = answer
        seconds = sum(len(turn.due.audio) for turn in turns) / SAMPLE_RATE
        self._metrics.heard(len(turns), calls, seconds, time.monotonic() - began)
        return said

    def _together(self, clips: list[Audio]) -> Sequence[Said | Exception]:
        try:
            return self._model.hear(clips)
        except Exception as error:
            if len(clips) == 1:
                return [error]
            return [self._together([clip])[0] for clip in clips]

    def _answer(self, turn: _Turn, answer: Said | Exception) -> None:
        if turn.asker not in self._askers:
            return
        self._metrics.answered(time.monotonic() - turn.due.since)
        if isinstance(answer, Exception):
            say(f"error: {on_one_line(answer)}")
            turn.asker.fail(answer)
        else:
            turn.asker.take(answer)


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of pieces that are about equally long."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda k: lengths[k]):
        if group and lengths[place] > _ALIKE * lengths[group[0]]:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
