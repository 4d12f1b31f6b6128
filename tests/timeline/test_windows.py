"""Windows over recordings of any length: where they stand, what their means are, and how little memory they take."""

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.errors import UsageError
from valenza.inference.model import Model
from valenza.stages.sliding import Sliding, moments, starts
from valenza.timeline.pieces import Cutter, Grid
from valenza.timeline.sound import Inflow
from valenza.timeline.stream import Stream, Streaming
from valenza.timeline.windows import Windows, mixture_of, timeline_of

FRAME = 320
Made = Callable[..., Model]
Noise = Callable[[float], np.ndarray]


@given(st.integers(1, 20_000), st.integers(1, 12), st.integers(1, 12), st.lists(st.integers(1, 3_000), max_size=30))
@settings(max_examples=200, deadline=None)
def test_windows_stand_where_a_teachers_do_whatever_the_bits(
    samples: int, window: int, step: int, bits: list[int]
) -> None:
    step = min(step, window)
    audio = np.arange(samples).astype(np.int16)
    cutter, found, at = Cutter(Grid(window, step)), [], 0
    for size in [*bits, samples]:
        cutter.put(audio[at : at + size])
        at += size
        found += cutter.due()
    cutter.finish()
    found += cutter.due()
    assert cutter.due() == []
    frames = -(-samples // FRAME)
    expected = starts(frames, Sliding(window / 50, step / 50)).tolist()
    begun = [piece.start for piece in found]
    assert list(dict.fromkeys(begun)) == expected
    assert [piece.last for piece in found] == [False] * (len(found) - 1) + [True]
    for piece in found:
        np.testing.assert_array_equal(piece.audio, audio[piece.start * FRAME :][: window * FRAME])


def test_a_model_of_whole_clips_tells_the_middles(made: Made, noise: Noise) -> None:
    model, audio = made(framewise=False), noise(5.03)
    timeline = timeline_of(model, audio, name="a.wav")
    frames = -(-len(audio) // FRAME)
    np.testing.assert_allclose(timeline.times, moments(frames, Sliding(1.4, 0.2)))
    assert (timeline.name, timeline.duration) == ("a.wav", 5.03)
    begin = starts(frames, Sliding(1.4, 0.2))[3] * FRAME
    (alone,) = model.hear([audio[begin : begin + 70 * FRAME]])
    np.testing.assert_allclose(timeline.mixtures[3], alone.mixture, atol=1e-12)
    assert alone.concentration is not None
    assert timeline.concentration is not None
    assert timeline.concentration[3] == pytest.approx(alone.concentration.mean())


@pytest.mark.parametrize(("seconds", "step"), [(7.2, 25), (7.5, 25), (2.02, 25), (3.0, 100), (7.4, 70)])
def test_a_frame_level_model_tells_the_mean_of_its_windows(made: Made, noise: Noise, seconds: float, step: int) -> None:
    model, audio = made(framewise=True), noise(seconds)
    windows = Windows(2.0, step / 50)
    timeline = timeline_of(model, audio, windows)
    frames = len(audio) // FRAME
    np.testing.assert_allclose(timeline.times, (np.arange(frames) + 0.5) / 50)
    shares, weights = np.zeros((frames, 8)), np.zeros((frames, 1))
    fade = np.minimum(np.arange(100) + 0.5, 99.5 - np.arange(100))[:, None]

    def add(start: int, first: int) -> None:
        (said,) = model.hear([audio[start * FRAME : (start + 100) * FRAME]])
        shares[first : start + 100] += (fade * said.frames)[first - start :]
        weights[first : start + 100] += fade[first - start :]

    last = frames - 100
    regular = range(0, last + 1, step)
    for start in regular:
        add(start, start)
    if last not in regular:  # the window that ends with the recording joins in where the one before left off
        add(last, regular[-1] + step)
    np.testing.assert_allclose(timeline.mixtures, shares / weights, atol=1e-12)
    stream = Stream(model, Streaming(windows))
    told = [moment.mixture for at in range(0, len(audio), 999) for moment in stream.feed(audio[at : at + 999])]
    np.testing.assert_allclose([*told, *(moment.mixture for moment in stream.close())], timeline.mixtures, atol=1e-12)


@pytest.mark.parametrize("framewise", [False, True])
@pytest.mark.parametrize("seconds", [1 / 16_000, 0.01, 0.05, 0.5, 1.4, 2.0, 2.02])
def test_short_recordings_are_heard_whole(made: Made, noise: Noise, framewise: bool, seconds: float) -> None:
    timeline = timeline_of(made(framewise=framewise), noise(seconds))
    assert timeline.duration == pytest.approx(seconds)
    frames = -(-round(seconds * 16_000) // FRAME)
    assert len(timeline.times) == (frames if framewise else len(starts(frames, Sliding(1.4, 0.2))))


def test_a_longer_recording_is_the_mean_of_equal_parts(made: Made, noise: Noise) -> None:
    model, audio = made(framewise=True), noise(70.001)
    parts = np.array_split(audio, 3)
    expected = np.average([model.hear([part])[0].mixture for part in parts], axis=0, weights=[len(p) for p in parts])
    np.testing.assert_allclose(mixture_of(model, audio), expected, atol=1e-12)
    for nothing in (mixture_of, timeline_of):
        with pytest.raises(UsageError, match="no samples"):
            nothing(model, audio[:0])


@pytest.mark.parametrize("framewise", [False, True])
def test_memory_holds_a_stretch_and_not_the_recording(made: Made, noise: Noise, framewise: bool) -> None:
    model, minute = made(framewise=framewise), noise(60)

    def peak(minutes: int) -> int:
        def audio() -> Iterator[np.ndarray]:
            for _ in range(3 * minutes):
                yield minute[: 20 * 16_000].copy()

        tracemalloc.start()
        timeline = timeline_of(model, audio())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert timeline.duration == pytest.approx(60 * minutes)
        return most

    moments_a_minute = 60 * 50 * 10 * 8 if framewise else 300 * 10 * 8
    # The answer and its copies; the audio itself would be 1.9 MB a minute.
    assert peak(6) - peak(2) < 4 * 5 * moments_a_minute < 4 * 1_920_000


@pytest.mark.parametrize("windows", [Windows(31.0), Windows(0.001), Windows(1.0, 1.5), Windows(1.0, 0.0)])
def test_windows_that_cannot_be_heard_are_refused(made: Made, windows: Windows) -> None:
    with pytest.raises(UsageError, match=r"a (window|step) of"):
        windows.of(made(framewise=True))


def test_sound_that_comes_in_bits_is_the_same_sound(noise: Noise) -> None:
    samples = noise(1.0)[:, None] / np.float32(32768)
    whole, bits = Inflow(44_100), Inflow(44_100)
    at_once = np.concatenate([whole.put(samples), whole.end()])
    parts = [bits.put(samples[at : at + 777]) for at in range(0, len(samples), 777)]
    np.testing.assert_array_equal(np.concatenate([*parts, bits.end()]), at_once)
