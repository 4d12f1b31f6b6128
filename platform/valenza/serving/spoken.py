"""One recording that is being spoken to the server: samples in, moments out."""

import json
import time
from collections import deque
from typing import Any, Protocol, runtime_checkable

import numpy as np

from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import Model, Said
from valenza.labels.taxonomy import EMOTIONS
from valenza.serving.ear import Due
from valenza.serving.schema import Settings
from valenza.timeline.sound import Inflow
from valenza.timeline.stream import Moment, Piece, Stream, Streaming

_BITE = SAMPLE_RATE // 4
_DECIMALS = 6


@runtime_checkable
class Client(Protocol):
    """Whoever sends the audio."""

    def tell(self, message: str) -> None:
        """Send a message."""

    def make_room(self) -> None:
        """Learn that less audio waits than before."""

    def finish(self) -> None:
        """Learn that everything was told."""

    def fail(self, error: Exception) -> None:
        """Learn that the model cannot hear it."""


class Spoken:
    """An asker of the ear, whose audio arrives bit by bit."""

    def __init__(self, model: Model, streaming: Streaming, settings: Settings, client: Client) -> None:
        self._stream = Stream(model, streaming)
        self._client = client
        self._inflow = Inflow(settings.rate)
        self._rate = settings.rate
        self._poster = None if settings.post is None else settings.post.post().begin()
        self._kept = np.array([emotion not in settings.ban for emotion in EMOTIONS])
        self._inbox: deque[tuple[np.ndarray, float]] = deque()
        self._due: deque[tuple[Piece, float]] = deque()
        self._asked: deque[Piece] = deque()
        self._ending = self._finished = False
        self._sum = np.zeros(len(EMOTIONS))
        self._last = 0.0
        self.received = 0
        """Samples, at the client's rate."""
        self.waiting = 0
        """Samples at 16 kHz that have not yet been cut into pieces."""
        self.moments = 0

    @property
    def seconds(self) -> float:
        """How much was received."""
        return self.received / self._rate

    def put(self, data: bytes) -> None:
        """Append samples, signed 16 bit, little end first."""
        samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
        self.received += len(samples)
        self._append(self._inflow.put(samples[:, None]))

    def end(self) -> None:
        """There will be no more."""
        self._append(self._inflow.end())
        self._ending = True

    def _append(self, samples: np.ndarray) -> None:
        if len(samples):
            self._inbox.append((samples, time.monotonic()))
            self.waiting += len(samples)

    def next_piece(self) -> Due | None:
        """Return the next window that can be heard.

        Windows overlap, so audio is cut into them only as they are asked for: a client who is far ahead of the model
        costs what they sent and no more.
        """
        while not self._due and not self._finished:
            if not self._inbox and not self._ending:
                return None
            self._chew()
        if not self._due:
            self._end_if_done()
            return None
        piece, since = self._due.popleft()
        self._asked.append(piece)
        return Due(piece.audio, since)

    def _chew(self) -> None:
        since = time.monotonic()
        if self._inbox:
            samples, since = self._inbox.popleft()
            if len(samples) > _BITE:
                self._inbox.appendleft((samples[_BITE:], since))
                samples = samples[:_BITE]
            self.waiting -= len(samples)
            self._stream.put(samples)
            self._client.make_room()
        else:
            self._stream.finish()
            self._finished = True
        self._due.extend((piece, since) for piece in self._stream.due())

    def take(self, said: Said) -> None:
        """Tell the moments that are final with this."""
        moments = self._stream.take(self._asked.popleft(), said)
        if moments:
            told = [self._told(moment) for moment in moments]
            self._client.tell(json.dumps({"type": "moments", "moments": told}))
        self._end_if_done()

    def fail(self, error: Exception) -> None:
        """Give up."""
        self._client.fail(error)

    def _end_if_done(self) -> None:
        if self._finished and not self._due and not self._asked:
            self._client.finish()

    def _told(self, moment: Moment) -> dict[str, Any]:
        mixture = np.where(self._kept, moment.mixture, 0.0)
        left = mixture.sum()
        mixture = mixture / left if left > 0 else self._kept / self._kept.sum()
        if self._poster is not None:
            mixture = self._poster.step(moment.time - self._last, mixture)
        self._last = moment.time
        self._sum += mixture
        self.moments += 1
        told: dict[str, Any] = {"time": round(moment.time, 4), "mixture": np.round(mixture, _DECIMALS).tolist()}
        if moment.concentration is not None:
            told["concentration"] = round(float(moment.concentration), 4)
        return told

    def summary(self) -> str:
        """Return the last message: what the whole was."""
        mixture = self._sum / max(1, self.moments)
        return json.dumps(
            {
                "type": "end",
                "duration": round(self.seconds, 4),
                "moments": self.moments,
                "emotion": EMOTIONS[int(mixture.argmax())] if self.moments else None,
                "mixture": np.round(mixture, _DECIMALS).tolist(),
            }
        )
