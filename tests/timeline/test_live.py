"""What streams print: the lines that a file's timeline has, also at a rate, and what becomes of a lost microphone."""

import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest

from valenza.errors import UsageError
from valenza.inference.model import Model
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.live import Teller, microphone, tell
from valenza.timeline.post import Post
from valenza.timeline.stream import Stream
from valenza.timeline.windows import timeline_of

Made = Callable[..., Model]
Noise = Callable[[float], np.ndarray]
SHAPED = {
    "as it is": ((), Post()),
    "ban": (("fear", "other", "happiness"), Post()),
    "contrast": ((), Post(contrast=2.5)),
    "top-k": ((), Post(top=1)),
    "smooth": ((), Post(smoothing=0.7)),
    "all": (("anger",), Post(1.5, 3, 0.2)),
}


def lines(stream: Stream, teller: Teller, audio: np.ndarray) -> list[dict[str, Any]]:
    said = [line for at in range(0, len(audio), 1600) for line in teller.tell(stream.feed(audio[at : at + 1600]))]
    return [json.loads(line) for line in [*said, *teller.tell(stream.close(), end=stream.seconds)]]


@pytest.mark.parametrize("rate", [None, 0.3, 1.0, 3.0, 5.0, 7.7, 50.0, 60.0])
@pytest.mark.parametrize("framewise", [False, True])
@pytest.mark.parametrize("shaped", SHAPED)
def test_a_stream_at_a_rate_says_what_is_said_of_a_file(
    made: Made, noise: Noise, shaped: str, framewise: bool, rate: float | None
) -> None:
    model = made(framewise=framewise)
    ban, post = SHAPED[shaped]
    for seconds in (0.004, 0.05, 1.5, 1.7, 1.9, 6.001):
        audio = noise(seconds)
        timeline = post.apply(timeline_of(model, audio).without(ban))
        if rate is not None:
            timeline = timeline.resample(rate)
        told = lines(Stream(model), Teller(EMOTIONS, ban, post, rate), audio)
        np.testing.assert_allclose([line["time"] for line in told], timeline.times, atol=1e-4)
        assert all(tuple(line["shares"]) == timeline.classes for line in told)
        np.testing.assert_allclose([[*line["shares"].values()] for line in told], timeline.mixtures, atol=1e-6)
        assert timeline.concentration is not None
        np.testing.assert_allclose([line["concentration"] for line in told], timeline.concentration, atol=1e-4)
        assert all(line["share"] == max(line["shares"].values()) == line["shares"][line["emotion"]] for line in told)


def test_a_frame_is_told_when_nothing_that_comes_can_change_it(made: Made, noise: Noise) -> None:
    for framewise, late in ((False, 0.7 + 0.2), (True, 2.0 + 0.02)):
        stream, audio = Stream(made(framewise=framewise)), noise(8.0)
        teller = Teller(EMOTIONS, (), Post(), 1.0)
        for at in range(0, len(audio), 320):
            for line in teller.tell(stream.feed(audio[at : at + 320])):
                assert stream.seconds - (json.loads(line)["time"] + 0.5) <= late + 0.02


@pytest.mark.parametrize("rate", [float("inf"), float("nan"), 0.0, -1.0, 1e9])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="frame rate"):
        Teller(EMOTIONS, (), Post(), rate)


class Unplugged:
    """A microphone that hears so many bites and is then pulled out, or cannot even begin."""

    def __init__(self, bites: list[np.ndarray] | None) -> None:
        self._bites = bites

    def __enter__(self) -> Self:
        if self._bites is None:
            raise OSError("Device unavailable [PaErrorCode -9985]")
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, _: int) -> tuple[np.ndarray, bool]:
        if not self._bites:
            raise OSError("Unanticipated host error [PaErrorCode -9999]")
        return self._bites.pop(0)[:, None], False


@pytest.mark.parametrize(("seconds", "why"), [(None, "unavailable"), (0.0, "host error"), (3.0, "host error")])
def test_what_a_lost_microphone_heard_is_told(
    made: Made,
    noise: Noise,
    seconds: float | None,
    why: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audio = noise(seconds or 0.0)
    bites = None if seconds is None else np.split(audio, range(1600, len(audio), 1600)) if seconds else []
    # This machine has no microphone: only the module's way to fail is stood in for.
    module = SimpleNamespace(PortAudioError=OSError, InputStream=lambda **_: Unplugged(bites))
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    model = made(framewise=True)
    with pytest.raises(UsageError, match=f"microphone can no longer be heard: .*{why}"):
        tell(microphone(), Stream(model), Teller(EMOTIONS, (), Post(), None))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wanted = timeline_of(model, audio).times if seconds else np.zeros(0)
    np.testing.assert_allclose([line["time"] for line in told], wanted, atol=1e-4)
