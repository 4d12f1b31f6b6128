"""`valenza predict` as its users meet it: every kind of answer, every container, and what goes wrong."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from valenza.inference.load import load
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline import answers
from valenza.timeline.formats import FORMATS, suffix
from valenza.timeline.post import Post
from valenza.timeline.segments import USUAL, Segmenting
from valenza.timeline.sound import read_audio
from valenza.timeline.timeline import Timeline
from valenza.timeline.windows import Windows, mixture_of, timeline_of

RATE = 16_000
Ask = Callable[..., Any]


def hum(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    time = np.arange(max(1, round(seconds * rate))) / rate
    tone = 0.2 * np.sin(2 * np.pi * 150 * time * (1 + 0.2 * np.sin(time)))
    return np.stack([tone] * channels, axis=1)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings in many containers and of many lengths, with what is no audio among them."""
    folder = tmp_path_factory.mktemp("mixed")
    soundfile.write(folder / "short.wav", hum(0.01), RATE)
    soundfile.write(folder / "eight.wav", hum(1.1, 8_000), 8_000, subtype="PCM_U8")
    soundfile.write(folder / "deep.wav", hum(0.9, 44_100, 2), 44_100, subtype="PCM_24")
    (folder / "inner").mkdir()
    soundfile.write(folder / "inner" / "float.WAV", hum(1.0, 48_000, 2), 48_000, subtype="FLOAT")
    soundfile.write(folder / "inner" / "short.flac", hum(2.3), RATE)
    soundfile.write(folder / "a.ogg", hum(1.2, 22_050), 22_050)
    soundfile.write(folder / "b.mp3", hum(1.7, 32_000), 32_000)
    (folder / "notes.txt").write_text("no audio")
    (folder / ".hidden.wav").write_text("no audio")
    return folder


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_of_any_containers_gives_a_row_a_file(corner: Any, run: Path, mixed: Path) -> None:
    ended = corner.run("predict", run, mixed, "--batch", 3)
    assert ended.code == 0, ended.err
    found = rows(ended.out)
    assert list(found[0]) == ["file", "duration", "emotion", "share", *EMOTIONS]
    assert [Path(row["file"]).name for row in found] == [
        "a.ogg", "b.mp3", "deep.wav", "eight.wav", "float.WAV", "short.flac", "short.wav",
    ]  # fmt: skip
    model = load(run)
    for row in found:
        shares = [float(row[emotion]) for emotion in EMOTIONS]
        np.testing.assert_allclose(shares, mixture_of(model, read_audio(Path(row["file"]))), atol=6e-5)
        assert row["emotion"] == EMOTIONS[int(np.argmax(shares))]
    assert "heard: 7 of 7" in ended.err


def test_a_bad_file_costs_no_other(corner: Any, run: Path, mixed: Path, tmp_path: Path) -> None:
    bad = {
        "empty.wav": b"",
        "text.wav": b"hello",
        "cut.wav": (mixed / "eight.wav").read_bytes()[:3_000],
        "cut.flac": (mixed / "inner" / "short.flac").read_bytes()[:-9_000],
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan] * 800), RATE, subtype="FLOAT")
    names = [*bad, "nan.wav", "missing.wav"]
    files = [tmp_path / names[0], mixed / "a.ogg", *(tmp_path / name for name in names[1:]), mixed / "b.mp3"]
    ended = corner.run("predict", run, *files, "--out", tmp_path / "rows.csv")
    assert ended.code == 65
    assert [line for name in names if (line := name) not in ended.err] == []
    assert [Path(row["file"]).name for row in rows((tmp_path / "rows.csv").read_text())] == ["a.ogg", "b.mp3"]
    assert corner.run("predict", run, tmp_path / "nan.wav").out == ""


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_of_several_recordings_is_a_folder_of_files(
    ask: Ask, mixed: Path, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "out"
    ended = ask(mixed, "--timeline", "--format", form, "--out", out)
    assert ended.code == 0, ended.err
    names = ["a", "b", "deep", "eight", "inner/float", "inner/short", "short"]
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == sorted(f"{n}{suffix(form)}" for n in names)
    assert all(file.stat().st_size > 15 for file in out.rglob("*.*"))


def test_a_timeline_is_what_the_model_says(ask: Ask, run: Path, mixed: Path) -> None:
    file = mixed / "inner" / "short.flac"
    timeline = Timeline.from_json(ask(file, "--timeline", "--format", "json", "--step", 0.1).out)
    expected = timeline_of(load(run), read_audio(file), Windows(step=0.1))
    np.testing.assert_allclose(timeline.mixtures, expected.mixtures, atol=2e-6)


def test_timelines_are_shaped_as_asked(
    ask: Ask, made: Any, noise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, file = made(framewise=True), tmp_path / "a.wav"
    monkeypatch.setattr(answers, "load", lambda place: model)
    soundfile.write(file, noise(6.0), RATE)
    said = timeline_of(model, read_audio(file)).without(["fear", "other"])
    expected = Post(contrast=2.0, top=2, smoothing=0.3).apply(said)
    words = ("--format", "json", "--ban", "fear,other", "--contrast", 2, "--top-k", 2, "--smooth", 0.3)
    told = {}
    for cut, settings in (((), USUAL), (("--hysteresis", 0, "--min-duration", 0), Segmenting(0.0, 0.0))):
        text = ask(file, "--timeline", *words, *cut, "--rate", 5).out
        shaped, wanted = Timeline.from_json(text), expected.resample(5)
        assert shaped.classes == wanted.classes
        np.testing.assert_allclose(shaped.times, wanted.times, atol=1e-6)
        np.testing.assert_allclose(shaped.mixtures, wanted.mixtures, atol=2e-6)
        told[settings] = [tuple(part.values()) for part in json.loads(text)["recordings"][0]["segments"]]
        assert told[settings] == [
            (pytest.approx(start), pytest.approx(end), label, pytest.approx(share, abs=1e-5))
            for start, end, label, share in expected.segments(settings)
        ]
    assert 1 < len(told[USUAL]) < len(told[Segmenting(0.0, 0.0)])


def test_a_mixture_is_shaped_too(ask: Ask, mixed: Path) -> None:
    whole = json.loads(ask(mixed / "a.ogg", "--format", "json").out)["files"][0]
    banned = whole["emotion"]
    words = ("--format", "json", "--ban", banned, "--top-k", 2)
    rest = json.loads(ask(mixed / "a.ogg", *words).out)["files"][0]
    assert banned not in rest["shares"]
    assert sum(share > 0 for share in rest["shares"].values()) == 2
    assert sum(rest["shares"].values()) == pytest.approx(1)


def test_three_minutes_are_heard_and_drawn(ask: Ask, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", hum(180), RATE)
    ended = ask(tmp_path / "long.wav", "--plot", tmp_path / "long.svg", "--step", 1)
    assert ended.code == 0, ended.err
    found = rows(ended.out)
    assert len(found) == pytest.approx(180, abs=2)
    assert float(found[-1]["time"]) == pytest.approx(179.3, abs=0.1)
    assert "<svg" in (tmp_path / "long.svg").read_text()
    (row,) = rows(ask(tmp_path / "long.wav").out)
    assert float(row["duration"]) == 180


def test_pictures_of_several_go_to_a_folder(ask: Ask, mixed: Path, tmp_path: Path) -> None:
    ended = ask(mixed / "a.ogg", mixed / "b.mp3", "--plot", tmp_path / "pictures")
    assert ended.code == 0, ended.err
    assert sorted(p.name for p in (tmp_path / "pictures").iterdir()) == ["a.svg", "b.svg"]


def test_both_spellings_and_json_of_animations(ask: Ask, mixed: Path, tmp_path: Path) -> None:
    apple = ask(mixed / "a.ogg", "--format", "arkit").out
    nvidia = ask(mixed / "a.ogg", "--format", "arkit", "--spelling", "nvidia").out
    assert "jawOpen" in apple.splitlines()[0]
    assert "JawOpen" in nvidia.splitlines()[0]
    ask(mixed / "a.ogg", "--format", "a2f", "--out", tmp_path / "keys.json")
    assert "emotion_with_timecode_list" in json.loads((tmp_path / "keys.json").read_text())


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ((), 64, "which audio"),
        (("{wav}", "--format", "textgird"), 64, "did you mean 'textgrid'"),
        (("{wav}", "--ban", "suprise"), 64, "did you mean 'surprise'"),
        (("{wav}", "--ban", ",".join(EMOTIONS)), 64, "no emotion is left"),
        (("{wav}", "--ban", "happiness,sadness,anger,neutral"), 64, "none of these is left"),
        (("{wav}", "--smooth", "1"), 64, "add --timeline"),
        (("{wav}", "--timeline", "--smooth", "-1"), 64, "smooth"),
        (("{wav}", "--timeline", "--hysteresis", "2"), 64, "hysteresis"),
        (("{wav}", "--timeline", "--window", "99"), 64, "window of 99 s"),
        (("{wav}", "--timeline", "--window", "nan"), 64, "window of nan s"),
        (("{wav}", "--contrast", "0"), 64, "contrast"),
        (("{wav}", "--spelling", "nvidia"), 64, "arkit"),
        (("{wav}", "--channels", "2"), 64, "--stream"),
        (("{wav}", "{ogg}", "--format", "textgrid"), 64, "give --out a folder"),
        (("{wav}", "{ogg}", "--format", "a2f", "--out", "{tmp}/a.yaml"), 64, "name a folder"),
        (("{wav}", "--plot", "{tmp}/a.gif"), 64, ".svg or a .png"),
        (("{tmp}",), 64, "no audio files"),
        (("{tmp}/missing.wav",), 65, "missing.wav"),
        (("{wav}", "--out", "{wav}/x.csv"), 73, "cannot be made"),
        (("{wav}", "--plot", "{wav}/x.svg"), 73, "cannot be made"),
    ],
)
def test_mistakes_are_explained(
    ask: Ask, mixed: Path, tmp_path: Path, words: tuple[str, ...], code: int, why: str
) -> None:
    places = {"wav": mixed / "short.wav", "ogg": mixed / "a.ogg", "tmp": tmp_path}
    ended = ask(*(word.format(**places) for word in words))
    assert ended.code == code, ended.err
    assert why in ended.err
    assert ended.out == ""


def test_a_model_that_is_none_is_explained(corner: Any, mixed: Path, tmp_path: Path) -> None:
    ended = corner.run("predict", tmp_path, mixed / "short.wav")
    assert ended.code == 64
    assert "neither a run folder" in ended.err
