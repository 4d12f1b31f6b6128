"""Live streams: the same moments whatever the chunks, the same as of files, late by a fixed time, in fixed memory."""

import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valenza.errors import UsageError
from valenza.inference.load import load
from valenza.inference.model import Model
from valenza.timeline.sound import read_audio
from valenza.timeline.stream import Moment, Stream, Streaming
from valenza.timeline.stream_bench import measure_stream
from valenza.timeline.windows import Windows, timeline_of

Made = Callable[..., Model]
Noise = Callable[[float], np.ndarray]


def told(stream: Stream, audio: np.ndarray, chunks: Iterator[int]) -> list[Moment]:
    found, at = [], 0
    while at < len(audio):
        size = next(chunks, len(audio))
        found += stream.feed(audio[at : at + size])
        at += size
    return found + stream.close()


def same(one: list[Moment], other: list[Moment], tolerance: float = 0.0) -> None:
    assert [moment.time for moment in one] == [moment.time for moment in other]
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first.mixture, second.mixture, rtol=0, atol=tolerance)
        assert first.concentration == pytest.approx(second.concentration, abs=max(tolerance, 1e-12))


@given(st.lists(st.integers(1, 40_000), max_size=12), st.booleans(), st.sampled_from([None, 0.5, 1.1]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_moments_do_not_depend_on_the_chunks(
    made: Made, noise: Noise, sizes: list[int], framewise: bool, ahead: float | None
) -> None:
    audio, how = noise(4.3), Streaming(look_ahead=ahead if framewise else None)
    model = made(framewise=framewise)
    same(told(Stream(model, how), audio, iter(sizes)), told(Stream(model, how), audio, iter(())))


@pytest.mark.parametrize("framewise", [False, True])
@pytest.mark.parametrize("seconds", [0.004, 1.0, 1.4, 2.0, 2.5, 6.001])
def test_a_stream_says_what_is_said_of_a_file(made: Made, noise: Noise, framewise: bool, seconds: float) -> None:
    model, audio = made(framewise=framewise), noise(seconds)
    timeline = timeline_of(model, audio)
    found = told(Stream(model), audio, iter([160] * 200))
    np.testing.assert_allclose(np.minimum([m.time for m in found], timeline.duration), timeline.times)
    np.testing.assert_allclose([moment.mixture for moment in found], timeline.mixtures, atol=1e-12)


def test_a_trained_model_says_the_same_of_a_stream_and_of_a_file(corner: Any, run: Path) -> None:
    model = load(run)
    audio = np.concatenate([read_audio(file) for file in sorted((corner.folder / "data" / "german").glob("*.wav"))[:5]])
    timeline = timeline_of(model, audio)
    found = told(Stream(model), audio, iter([1_234] * 99))
    np.testing.assert_allclose([moment.time for moment in found], timeline.times)
    np.testing.assert_allclose([moment.mixture for moment in found], timeline.mixtures, atol=1e-6)


@pytest.mark.parametrize(
    ("framewise", "how"),
    [
        (False, Streaming()),
        (True, Streaming()),
        (True, Streaming(look_ahead=0.8)),
        (True, Streaming(Windows(1.0, 0.2))),
    ],
)
def test_a_moment_is_told_when_its_look_ahead_was_heard(
    made: Made, noise: Noise, framewise: bool, how: Streaming
) -> None:
    stream, audio = Stream(made(framewise=framewise), how), noise(5.0)
    window = how.windows.window or 2.0
    for at in range(0, len(audio), 320):
        for moment in stream.feed(audio[at : at + 320]):
            # Half a frame, and what was put last, come on top; the first window is awaited whole.
            late = max(stream.latency, window - moment.time if framewise else 0.0)
            assert stream.seconds - moment.time <= late + 0.021
    ahead = stream.latency
    assert ahead == {None: 2.0 if framewise else 0.7, 0.8: 0.8}[how.look_ahead] or how.windows.window == ahead == 1.0


@pytest.mark.parametrize("framewise", [False, True])
def test_memory_does_not_grow(made: Made, noise: Noise, framewise: bool) -> None:
    stream, second = Stream(made(framewise=framewise)), noise(1.0)

    def play(minutes: float) -> int:
        count = sum(len(stream.feed(second)) for _ in range(round(60 * minutes)))
        assert count == pytest.approx(60 * minutes * (50 if framewise else 5), abs=110)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        warm = play(0.2)
        assert play(2 if framewise else 10) - warm < 100_000  # of 4 and 19 MB of audio
    finally:
        tracemalloc.stop()


def test_pieces_are_taken_in_their_order(made: Made, noise: Noise) -> None:
    model = made(framewise=True)
    stream = Stream(model)
    stream.put(noise(3.0))
    first, second, *_ = stream.due()
    said = model.hear([first.audio, second.audio])
    with pytest.raises(ValueError, match="order"):
        stream.take(second, said[1])
    stream.take(first, said[0])
    stream.finish()
    with pytest.raises(ValueError, match="ended"):
        stream.put(noise(0.1))


def test_settings_that_cannot_be_are_refused(made: Made, noise: Noise) -> None:
    for ahead in (0.1, 9.0, -1.0, 1e308, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="ahead"):
            Stream(made(framewise=True), Streaming(look_ahead=ahead))
    with pytest.raises(UsageError, match="middle"):
        Stream(made(framewise=False), Streaming(look_ahead=0.5))
    with pytest.raises(UsageError, match="int16"):
        Stream(made(framewise=False)).put(noise(0.1) / 32768)
    assert Stream(made(framewise=True)).close() == []


def pcm(corner: Any, rate: int, channels: int) -> tuple[np.ndarray, bytes]:
    file = corner.folder / "data" / "german" / "s0F_happy_0.wav"
    audio = np.tile(soundfile.read(file, dtype="int16")[0], 4)
    path = corner.folder / f"pcm-{rate}-{channels}.wav"
    soundfile.write(path, np.stack([audio] * channels, axis=1), rate)
    return audio, np.repeat(audio, channels).astype("<i2").tobytes()


def begin(corner: Any, run: Path, *words: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "valenza", "predict", "--stream", str(run), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=corner.folder, env=corner.environment)


def test_pcm_on_standard_input_gives_a_line_a_moment(corner: Any, run: Path) -> None:
    _, data = pcm(corner, 48_000, 2)
    process = begin(
        corner, run, "-", "--sample-rate", "48000", "--channels", "2", "--ban", "fear,other", "--window", ".5"
    )
    out, err = process.communicate(data + b"\x01", timeout=120)
    assert process.returncode == 0, err
    assert b"within a sample" in err
    lines = [json.loads(line) for line in out.splitlines()]
    timeline = timeline_of(load(run), read_audio(corner.folder / "pcm-48000-2.wav"), Windows(0.5))
    timeline = timeline.without(["fear", "other"])
    np.testing.assert_allclose([line["time"] for line in lines], timeline.times, atol=1e-4)
    shares = [list(line["shares"].values()) for line in lines]
    np.testing.assert_allclose(shares, timeline.mixtures, atol=2e-4)
    assert all(line["emotion"] in line["shares"] and line["share"] == max(line["shares"].values()) for line in lines)


def test_a_stream_tells_at_once_and_ends_well_when_interrupted(corner: Any, run: Path) -> None:
    _, data = pcm(corner, 16_000, 1)
    with begin(corner, run, "--rate", "2") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data[:96_000])
        process.stdin.flush()
        first = json.loads(process.stdout.readline())  # while the pipe is still open
        assert first["time"] < 1.5
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(120) == 0
    times = [json.loads(line)["time"] for line in rest.splitlines()]
    assert [first["time"], *times] == sorted({first["time"], *times})
    assert times  # what was heard is told to its end


def test_a_reader_that_leaves_is_no_error(corner: Any, run: Path) -> None:
    _, data = pcm(corner, 16_000, 1)
    with begin(corner, run) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.write(data * 20)
            process.stdin.close()
        err = process.stderr.read()
        assert process.wait(120) == 0, err
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--format", "audacity"), "--format"),
        (("--plot", "a.svg"), "--plot"),
        (("a.wav",), "standard input"),
        (("--sample-rate", "7"), "7 Hz"),
        (("--look-ahead", "0.1"), "middle"),
        (("--rate", "inf"), "frame rate"),
        (("--ban", "hapiness"), "did you mean 'happiness'"),
    ],
)
def test_what_streams_do_not_have_is_refused(corner: Any, run: Path, words: tuple[str, ...], why: str) -> None:
    process = begin(corner, run, *words)
    _, err = process.communicate(b"", timeout=60)
    assert process.returncode == 64, err
    assert why in err.decode()


def test_without_a_microphone_there_is_a_message(corner: Any, run: Path) -> None:
    try:
        import sounddevice
    except (ImportError, OSError):
        pass
    else:
        if any(device["max_input_channels"] for device in sounddevice.query_devices()):
            pytest.skip("this machine has a microphone")
    ended = corner.run("predict", "--microphone", run)
    assert ended.code == 64
    assert "microphone" in ended.err


def test_the_bench_measures_a_stream(corner: Any, run: Path, tmp_path: Path, noise: Noise) -> None:
    soundfile.write(tmp_path / "a.wav", noise(125.0), 16_000)
    measured = measure_stream(str(run), [tmp_path], 2.05, Streaming(Windows(1.0, 0.5)))
    assert measured["audio_seconds"] == pytest.approx(123)
    assert measured["moments"] == 245
    assert measured["agreement"] >= 0.99
    assert measured["mean_absolute_difference"] < 1e-5
    latency = measured["latency_seconds"]
    assert 0.5 <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
    assert 0 < measured["real_time_factor"] < 2
    soundfile.write(tmp_path / "short.wav", noise(3.0), 16_000)
    with pytest.raises(UsageError, match="there are 3 s of audio"):
        measure_stream(str(run), [tmp_path / "short.wav"], 10.0, Streaming())
