"""Any container becomes the same 16 kHz mono samples, in stretches or as a whole; what is no sound is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from valenza.corpora.clip import Clip
from valenza.errors import DataError, UsageError
from valenza.shards.audio import load
from valenza.timeline.sound import Inflow, as_heard, blocks, promised, read_audio

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
