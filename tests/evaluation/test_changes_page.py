"""The page about augmentation holds the very sound that training hears, and nothing from elsewhere."""

import base64
import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from valenza.errors import DataError, WriteError
from valenza.evaluation.page.changes import png, write_changes
from valenza.features.augment import explained
from valenza.features.examples import TOGETHER
from valenza.recipe import Augment

RATE = 16_000
SETTINGS = Augment.model_validate({"gain": 0.5, "crop": 0.5, "noise": 0.5, "time_mask": 0.5})


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """1.2 s with a name that is markup."""
    time = np.arange(int(1.2 * RATE)) / RATE
    path = tmp_path / "a <b>&'clip.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 300 * time) * np.sin(5 * time), RATE, subtype="PCM_16")
    return path


def embedded(page: str, kind: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(rf'"data:{kind};base64,([^"]*)"', page)]


def test_it_plays_what_training_hears(clip: Path, tmp_path: Path) -> None:
    made = write_changes(clip, SETTINGS, 3, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    audio, _ = soundfile.read(clip, dtype="int16")
    played = [soundfile.read(io.BytesIO(flac), dtype="int16")[0] for flac in embedded(page, "audio/flac")]
    np.testing.assert_array_equal(played[0], audio)
    for name, heard in zip(("crop", "noise", "gain"), played[1:4], strict=True):
        certain = Augment.model_validate({name: 1}).waveform
        np.testing.assert_array_equal(heard, explained(audio, "3", certain)[0])
    for number, heard in enumerate(played[4:], 1):
        np.testing.assert_array_equal(heard, explained(audio, f"3 {number}", SETTINGS.waveform)[0])
    assert len(played) == 8
    assert [e.name for e in made] == ["crop", "noise", "gain", "time_mask", *[TOGETHER] * 4]
    shown = {e.name: e.drawn for e in made}
    assert re.fullmatch(r"SNR [\d.]+ dB", shown["noise"])
    assert re.fullmatch(r"[+-][\d.]+ dB", shown["gain"])
    assert all(e.milliseconds is None or 0 < e.milliseconds < 5000 for e in made)


def test_it_fetches_nothing_and_escapes_names(clip: Path, tmp_path: Path) -> None:
    write_changes(clip, SETTINGS, 3, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "a &lt;b&gt;&amp;" in page
    assert "<b>" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert len(embedded(page, "image/png")) == 9


def test_a_picture_is_its_numbers() -> None:
    image = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    data = png(image)
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + body),)
        chunks[kind], at = body, at + 12 + length
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (4, 3, 8, 3, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(3, 5)
    assert not rows[:, 0].any()
    np.testing.assert_array_equal(rows[::-1, 1:], np.rint(image * 255))
    palette = np.frombuffer(chunks[b"PLTE"], dtype=np.uint8).reshape(256, 3).astype(float)
    lightness = palette @ [0.299, 0.587, 0.114]
    assert (np.diff(lightness) > -0.5).all(), "brighter is louder, in grey too"


def test_mistakes_are_explained(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a regular file"):
        write_changes(tmp_path, SETTINGS, 3, tmp_path / "page.html")
    clip.write_bytes(b"no sound")
    with pytest.raises(DataError, match="cannot be read"):
        write_changes(clip, SETTINGS, 3, tmp_path / "page.html")


def test_a_place_that_cannot_be_written_is_told(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        write_changes(clip, Augment.model_validate({"polarity": 1}), 3, tmp_path / "file" / "page.html")


def test_long_recordings_are_heard_for_thirty_seconds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * RATE, dtype=np.int16), RATE)
    made = write_changes(tmp_path / "long.wav", Augment.model_validate({"polarity": 1}), 3, tmp_path / "page.html")
    assert made[0].audio is not None
    assert len(made[0].audio) == 30 * RATE


def test_the_command_tells_every_change_that_there_is(clip: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "valenza", "augment", str(clip), "--out", str(tmp_path / "p.html"), "--json"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "platform"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told = json.loads(done.stdout)
    assert [each["change"] for each in told["changes"]] == list(Augment.everything().changes)
    assert len(told["changes"]) == 13
    assert (tmp_path / "p.html").stat().st_size > 100_000
