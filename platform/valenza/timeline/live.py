"""Streams on the command line: PCM from a pipe or a microphone in, one JSON line a moment out."""

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from valenza.errors import UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.terminal import say
from valenza.timeline.answers import check_left, without
from valenza.timeline.pieces import Audio, Moment
from valenza.timeline.post import Post
from valenza.timeline.sound import Inflow
from valenza.timeline.stream import Stream

_BITE_SECONDS = 0.1


def standard_input(rate: int, channels: int) -> Iterator[Audio]:
    """Yield what is read from standard input, signed 16-bit samples, little end first, channels interleaved.

    Raises `UsageError` for a terminal, and for a rate that cannot be.
    """
    inflow = Inflow(rate, channels)
    if sys.stdin.isatty():
        raise UsageError("there is no audio on standard input: `ffmpeg … -f s16le - | valenza predict --stream MODEL`")
    return _read(inflow, 2 * channels, int(_BITE_SECONDS * rate) * 2 * channels)


def _read(inflow: Inflow, width: int, most: int) -> Iterator[Audio]:
    rest = b""
    while data := os.read(sys.stdin.fileno(), most):
        data = rest + data
        whole = len(data) // width * width
        data, rest = data[:whole], data[whole:]
        yield inflow.put((np.frombuffer(data, "<i2").reshape(-1, width // 2) / np.float32(32768)).astype(np.float32))
    if rest:
        say(f"standard input ended within a sample; its last {len(rest)} bytes are left out")
    yield inflow.end()


def microphone() -> Iterator[Audio]:
    """Yield what the default microphone hears; raises `UsageError` where there is none."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        needs = "the microphone needs sounddevice and PortAudio; pip install valenza[microphone]"
        raise UsageError(f"{needs} ({error})") from None
    bite = int(_BITE_SECONDS * SAMPLE_RATE)
    try:
        device = sounddevice.InputStream(samplerate=SAMPLE_RATE, channels=1, dtype="int16", blocksize=bite)
    except sounddevice.PortAudioError as error:
        raise UsageError(f"there is no microphone that can be heard: {error}") from None
    return _listen(device, bite)


def _listen(device: Any, bite: int) -> Iterator[Audio]:
    with device:
        say("listening; stop with Ctrl-C")
        while True:
            samples, missed = device.read(bite)
            if missed:
                say("some audio was lost: the model is slower than speech")
            yield samples[:, 0]


class Teller:
    """Makes a line of each moment, or of several that are taken together."""

    def __init__(self, seen: Sequence[str], ban: Sequence[str], post: Post, rate: float | None) -> None:
        check_left(seen, ban)
        self._ban, self._poster, self._rate = ban, post.begin(), rate
        self._last = 0.0
        self._cell = -1
        self._together: list[Moment] = []

    def tell(self, moments: Iterable[Moment], *, last: bool = False) -> Iterator[str]:
        """Yield JSON lines: time in seconds, the strongest emotion, its share, all shares, concentration if any.

        With a rate, moments in the same part of a second are one line, which is their mean.
        """
        for moment in moments:
            if self._rate is None:
                yield self._line(moment)
                continue
            cell = int(moment.time * self._rate)
            if cell != self._cell and self._together:
                yield self._line(self._mean())
            self._cell = cell
            self._together.append(moment)
        if last and self._together:
            yield self._line(self._mean())

    def _mean(self) -> Moment:
        found, self._together = self._together, []
        sure = [moment.concentration for moment in found if moment.concentration is not None]
        mixture = np.mean([moment.mixture for moment in found], axis=0)
        time = float(np.mean([moment.time for moment in found]))
        return Moment(time, mixture, float(np.mean(sure)) if sure else None)

    def _line(self, moment: Moment) -> str:
        kept, mixture, left = without(self._ban, moment.mixture)
        mixture = self._poster.step(moment.time - self._last, mixture)
        self._last = moment.time
        best = int(mixture.argmax())
        told: dict[str, object] = {
            "time": round(moment.time, 4),
            "emotion": kept[best],
            "share": round(float(mixture[best]), 6),
            "shares": {name: round(share, 6) for name, share in zip(kept, mixture.tolist(), strict=True)},
        }
        if moment.concentration is not None:
            told["concentration"] = round(left * moment.concentration, 4)
        return json.dumps(told)


class _Stop:
    """Ends a sound when the user interrupts: what waits for audio at once, what hears it when it has been heard."""

    def __init__(self) -> None:
        self._asked = self._waiting = False

    def _stop(self, *_: object) -> None:
        self._asked = True
        if self._waiting:
            raise KeyboardInterrupt

    def until(self, sound: Iterator[Audio]) -> Iterator[Audio]:
        """Yield the sound up to its end or to the interrupt."""
        before = signal.signal(signal.SIGINT, self._stop)
        try:
            while not self._asked:
                self._waiting = True
                samples = next(sound, None)
                self._waiting = False
                if samples is None:
                    return
                yield samples
        except KeyboardInterrupt:
            pass
        finally:
            self._waiting = False
            signal.signal(signal.SIGINT, before)
        say("stopped; what was heard is told to its end")


def tell(sound: Iterator[Audio], stream: Stream, teller: Teller) -> None:
    """Print a line for each moment as soon as it is known, to the end of the sound or until it is interrupted.

    A reader of the lines who leaves, such as `head`, ends it too.
    """
    try:
        for samples in _Stop().until(sound):
            _print(teller.tell(stream.feed(samples)))
        _print(teller.tell(stream.close(), last=True))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201
