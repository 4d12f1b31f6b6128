"""Streams on the command line: PCM from a pipe or a microphone in, one JSON line a moment out."""

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from math import ceil, inf
from typing import Any

import numpy as np

from valenza.errors import UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.taxonomy import EMOTIONS
from valenza.terminal import say
from valenza.timeline.answers import check_left, without
from valenza.timeline.formats import Options
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
    """Yield what the default microphone hears; raises `UsageError` where there is none, or when it is lost."""
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
    return _listen(device, bite, sounddevice.PortAudioError)


def _listen(device: Any, bite: int, fault: type[Exception]) -> Iterator[Audio]:
    try:
        with device:
            say("listening; stop with Ctrl-C")
            while True:
                samples, missed = device.read(bite)
                if missed:
                    say("some audio was lost: the model is slower than speech")
                yield samples[:, 0]
    except fault as error:
        raise UsageError(f"the microphone can no longer be heard: {error}") from None


class Teller:
    """Makes a line of each moment, or of so many a second."""

    def __init__(self, seen: Sequence[str], ban: Sequence[str], post: Post, rate: float | None) -> None:
        check_left(seen, ban)
        checked = Options(rate=rate).rate
        self._ban, self._poster = ban, post.begin()
        self._kept = [emotion for emotion in EMOTIONS if emotion not in ban]
        self._resampler = None if checked is None else Resampler(checked)
        self._last = 0.0

    def tell(self, moments: Iterable[Moment], *, end: float = inf) -> Iterator[str]:
        """Yield JSON lines: time in seconds, the strongest emotion, its share, all shares, concentration if any.

        As in a file, each moment is shaped before a rate makes frames of them. The last call names the recording's end
        in seconds.
        """
        shaped = (self._shaped(moment, min(moment.time, end)) for moment in moments)
        yield from map(self._line, shaped if self._resampler is None else self._resampler.take(shaped, end))

    def _shaped(self, moment: Moment, time: float) -> Moment:
        _, mixture, left = without(self._ban, moment.mixture)
        mixture = self._poster.step(time - self._last, mixture)
        self._last = time
        return Moment(time, mixture, None if moment.concentration is None else left * moment.concentration)

    def _line(self, moment: Moment) -> str:
        best = int(moment.mixture.argmax())
        shares = [round(share, 6) for share in moment.mixture.tolist()]
        told: dict[str, object] = {
            "time": round(moment.time, 4),
            "emotion": self._kept[best],
            "share": shares[best],
            "shares": dict(zip(self._kept, shares, strict=True)),
        }
        if moment.concentration is not None:
            told["concentration"] = round(moment.concentration, 4)
        return json.dumps(told)


class Resampler:
    """Does to moments that come one by one what `Timeline.resample` does to those of a file.

    A frame is told as soon as nothing that is still to come changes it.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._count = 0
        """Frames that were told."""
        self._latest: Moment | None = None
        self._sparse: bool | None = None
        """Whether frames are read between moments, and are not means of them; the first two moments decide."""
        self._parts: list[tuple[float, Moment]] = []
        """What the next frame is the mean of: moments, each with the seconds that it stands for."""
        self._upto = 0.0
        """Seconds that were told or are in the parts."""

    def take(self, moments: Iterable[Moment], end: float) -> Iterator[Moment]:
        """Yield the frames that are final with these moments; all of them where the recording's end is known."""
        for moment in moments:
            if self._latest is not None:
                yield from self._between(self._latest, moment)
            self._latest = moment
        if self._latest is not None and end < inf:
            yield from self._hold(self._latest, end)
            if self._count < max(1, ceil(end * self._rate - 1e-6)):
                yield self._frame(self._parts, end)

    def _between(self, before: Moment, after: Moment) -> Iterator[Moment]:
        apart = after.time - before.time
        if self._sparse is None:
            self._sparse = apart * self._rate > 1 - 1e-6
        if not self._sparse:
            yield from self._hold(before, before.time + apart / 2)
            return
        while (middle := (self._count + 0.5) / self._rate) <= after.time:
            share = max(0.0, (middle - before.time) / apart)
            yield self._frame([(1 - share, before), (share, after)])

    def _hold(self, moment: Moment, until: float) -> Iterator[Moment]:
        """Yield the frames that end while a moment stands."""
        while (edge := (self._count + 1) / self._rate) <= until:
            yield self._frame([*self._parts, (edge - self._upto, moment)])
            self._parts, self._upto = [], edge
        self._parts.append((until - self._upto, moment))
        self._upto = until

    def _frame(self, parts: list[tuple[float, Moment]], end: float = inf) -> Moment:
        time = min((self._count + 0.5) / self._rate, end)
        self._count += 1
        weights, moments = zip(*parts, strict=True)
        mixture = np.average([moment.mixture for moment in moments], axis=0, weights=weights)
        sure = [moment.concentration for moment in moments if moment.concentration is not None]
        return Moment(time, mixture, float(np.average(sure, weights=weights)) if sure else None)


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

    A reader of the lines who leaves, such as `head`, ends it too. Raises `UsageError` for a microphone that is lost.
    """
    try:
        lost = None
        try:
            for samples in _Stop().until(sound):
                _print(teller.tell(stream.feed(samples)))
        except UsageError as error:  # what was heard before is told all the same
            lost = error
        _print(teller.tell(stream.close(), end=stream.seconds))
        if lost is not None:
            raise lost
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201
