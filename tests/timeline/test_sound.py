"""Any container becomes the same 16 kHz mono samples, in stretches or as a whole; what is no sound is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch

from valenza.corpora.clip import Clip
from valenza.errors import DataError, UsageError
from valenza.shards.audio import load
from valenza.timeline.files import Heard, hear_files
from valenza.timeline.sound import Inflow, as_heard, blocks, promised, read_audio
from valenza.timeline.windows import Whole

LOSSLESS = [
    ("wav", "PCM_U8"),
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "PCM_32"),
    ("wav", "FLOAT"),
    ("wav", "DOUBLE"),
    ("flac", "PCM_16"),
    ("aiff", "PCM_16"),
]
LOSSY = [("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III")]


def sung(rate: int, channels: int, seconds: float = 1.3) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    tone = 0.3 * np.sin(2 * np.pi * 220 * time) + 0.1 * np.sin(2 * np.pi * 900 * time)
    return np.stack([tone * (1 - 0.3 * channel) for channel in range(channels)], axis=1)


@pytest.mark.parametrize(("ending", "subtype"), LOSSLESS + LOSSY)
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (16_000, 1), (8_000, 1)])
def test_every_container_is_heard_as_shards_would_store_it(
    tmp_path: Path, ending: str, subtype: str, rate: int, channels: int
) -> None:
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, sung(rate, channels), rate, subtype=subtype)
    heard = read_audio(path)
    decoded, _ = soundfile.read(path, always_2d=True)
    reference = soxr.resample(decoded.mean(axis=1), rate, 16_000, quality="HQ")
    assert abs(len(heard) - len(reference)) <= 1
    assert np.abs(heard - reference[: len(heard)] * 32768).max() < 1.01
    stored = load(Clip("a", "c", path, path.name, "de", "s", "take"))
    assert np.abs(heard.astype(int) - stored.astype(int)).max() <= 1
    assert abs(promised(path) - len(heard)) <= 1


@pytest.mark.parametrize("seconds", [0.01, 0.37, 5.0])
def test_stretches_join_to_the_whole(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sung(44_100, 2, 3.21), 44_100)
    parts = list(blocks(path, seconds))
    assert max(map(len, parts)) <= 16_000 * seconds * 2 + 1_000
    np.testing.assert_array_equal(np.concatenate(parts), read_audio(path))


@pytest.mark.parametrize(
    ("ending", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("mp3", None)]
)
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, ending: str, subtype: str | None) -> None:
    whole, part = tmp_path / f"whole.{ending}", tmp_path / f"part.{ending}"
    soundfile.write(whole, sung(16_000, 1, 3.0), 16_000, subtype=subtype)
    data = whole.read_bytes()
    part.write_bytes(data[: len(data) // 2])
    assert len(read_audio(whole)) > 40_000
    with pytest.raises(DataError, match=r"part\.\w+: (is truncated|is cut short|cannot be read)"):
        read_audio(part)


def test_a_flac_that_does_not_say_its_length_is_heard_to_its_end(made: Any, tmp_path: Path) -> None:
    known, unknown = tmp_path / "known.flac", tmp_path / "unknown.flac"
    soundfile.write(known, sung(48_000, 1), 48_000)
    data = bytearray(known.read_bytes())
    data[21] &= 0xF0  # the 36 bits of STREAMINFO's number of samples
    data[22:26] = bytes(4)
    unknown.write_bytes(data)
    assert soundfile.info(str(unknown)).frames > 1 << 60
    assert promised(unknown) == 0
    np.testing.assert_array_equal(np.concatenate(list(blocks(unknown, 0.3))), read_audio(known))
    (heard,) = hear_files(made(framewise=False), [unknown])
    assert isinstance(heard, Heard)
    assert heard.samples == len(read_audio(known))
    unknown.write_bytes(data[:-2_000])
    with pytest.raises(DataError, match="lost sync"):
        read_audio(unknown)


def test_a_promise_of_years_takes_no_memory(made: Any) -> None:
    whole = Whole(made(framewise=False), 1 << 60)
    assert [len(piece.audio) for piece in whole.pieces([np.zeros(1_000_000, np.int16)])] == [480_000, 480_000, 40_000]


@pytest.mark.parametrize("levels", [(0.0, 0.3), (0.3, 0.0)])
@pytest.mark.parametrize("tags", [(b"", b""), (b"ID3\3\0\0\0\0\x10\0" + bytes(2048), b"TAG" + bytes(125))])
def test_an_mp3_of_varying_bit_rate_is_heard_whole_without_a_header(
    tmp_path: Path, levels: tuple[float, float], tags: tuple[bytes, bytes]
) -> None:
    told, untold = tmp_path / "told.mp3", tmp_path / "untold.mp3"
    samples = np.repeat(levels, 320_000) * np.random.default_rng(0).standard_normal(640_000)
    with soundfile.SoundFile(told, "w", 32_000, 1, format="MP3", bitrate_mode="VARIABLE") as file:
        file.write(samples)
    data = told.read_bytes()
    rates = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    header = 144_000 * rates[data[2] >> 4] // 32_000 + (data[2] >> 1 & 1)
    assert b"Xing" in data[:header]
    untold.write_bytes(tags[0] + data[header:] + tags[1])
    guessed = soundfile.info(str(untold)).frames
    assert not 0.7 < guessed / 640_000 < 1.3
    heard, expected = read_audio(untold), read_audio(told)
    assert 0 <= len(heard) - len(expected) <= 1152  # a decoder that is told no end gives whole frames
    loud = [np.abs(half.astype(float)).mean() > 1000 for half in np.array_split(heard, 2)]
    assert loud == [level > 0 for level in levels]


def test_an_mp3_that_is_cut_short_says_by_how_much(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, sung(32_000, 1, 8.0), 32_000)
    path.write_bytes(path.read_bytes()[:-3_000])
    with pytest.raises(DataError, match=r"a\.mp3: is cut short: \d+ of 256000 samples are missing"):
        read_audio(path)


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        (np.array([0.1, np.nan, 0.2]), "not finite"),
        (np.array([0.1, np.inf]), "not finite"),
        (np.array([20_000.0, -3.0]), "not scaled"),
        (np.zeros(0), "holds no samples"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path: Path, samples: np.ndarray, why: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    with pytest.raises(DataError, match=rf"a\.wav: .*{why}"):
        read_audio(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for name, content in (("empty.wav", b""), ("text.wav", b"RIFF is a word" * 9)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_audio(tmp_path / name)
        assert promised(tmp_path / name) == 0
    with pytest.raises(DataError, match="not a regular file"):
        read_audio(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        read_audio(tmp_path / "none.wav")


def test_arrays_of_any_type_are_one_sound() -> None:
    exact = (np.random.default_rng(0).integers(-100, 100, 800) * 256).astype(np.int16)
    ways = [
        exact,
        exact / np.float32(32768),
        exact / 32768,
        exact.astype(np.int32) * 65_536,
        (exact // 256 + 128).astype(np.uint8),
        np.stack([exact, exact]),
        np.stack([exact, exact], axis=1) / 32768,
        list(exact / 32768),
    ]
    for way in ways:
        np.testing.assert_array_equal(as_heard(way, 16_000), exact)
    assert len(as_heard(exact, 48_000)) == pytest.approx(800 / 3, abs=1)
    for kind in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        np.testing.assert_array_equal(as_heard(torch.from_numpy(exact / 32768).to(kind), 16_000), exact)
    np.testing.assert_array_equal(as_heard(torch.from_numpy(exact), 16_000), exact)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 2, 2)), np.zeros(0), np.array([True]), np.array([1, 2]), [np.nan], [9e4]]
)
def test_arrays_that_are_no_sound_are_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        as_heard(wrong, 16_000)


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (1, 1), (10**9, 1), (16_000, 0), (16_000, 400)])
def test_a_rate_that_cannot_be_is_refused(rate: int, channels: int) -> None:
    with pytest.raises(UsageError):
        Inflow(rate, channels)
