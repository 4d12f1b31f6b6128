"""Every format, read back by a library that is not ours."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crowsetta
import numpy as np
import pandas
import praatio.textgrid
import pytest
import simpleder.rttm
import textgrid
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation
from pyannote.core import Segment as Stretch

from valenza.avatar.animation import read_animation
from valenza.avatar.arkit import ARKIT
from valenza.avatar.rig import read_rig
from valenza.errors import DataError, UsageError
from valenza.labels.sequences import frame_times
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.formats import FORMATS, Options, save, suffix
from valenza.timeline.post import Audio2Emotion
from valenza.timeline.segments import USUAL, Segmenting
from valenza.timeline.timeline import Timeline

ODD = 'a "b"\tc\nd, é 第3回 <NA> #;=x \udcff.wav'
NAMES = ("plain.wav", ODD, "dir/plain.wav", "", "  .wav", "=1+1.wav", "x\u2028y\x85z.wav")
TEN = "amazement anger cheekiness disgust fear grief joy outofbreath pain sadness".split()  # noqa: SIM905


def spoken(count: int = 120, seed: int = 0, name: str = "take.wav", sure: bool = False) -> Timeline:
    rng = np.random.default_rng(seed)
    anchors = rng.dirichlet(np.full(len(EMOTIONS), 0.2), 1 + count // 30)
    mixtures = np.repeat(anchors, 30, axis=0)[:count] * 0.98 + 0.02 / 8
    duration = count / 50 - 0.0034375
    return Timeline(frame_times(count), EMOTIONS, mixtures, duration, rng.gamma(2, 5, count) if sure else None, name)


@pytest.mark.parametrize("name", NAMES)
def test_json_comes_back_as_it_was(name: str) -> None:
    timeline = spoken(sure=True, name=name)
    text = timeline.to_json()
    again = Timeline.from_json(text)
    assert again.name == name.replace("\udcff", "\ufffd")
    assert (again.classes, again.duration) == (timeline.classes, timeline.duration)
    np.testing.assert_array_equal(again.times, timeline.times)
    np.testing.assert_allclose(again.mixtures, timeline.mixtures, atol=5e-7)
    assert again.concentration is not None
    np.testing.assert_allclose(again.concentration, timeline.concentration, rtol=1e-5)  # type: ignore[arg-type]
    assert again.to_json() == text
    text.encode("utf-8")
    (told,) = json.loads(text)["recordings"]
    assert [part["label"] for part in told["segments"]] == [part.label for part in timeline.segments()]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**20), st.booleans(), st.text(max_size=12))
def test_any_recording_survives_json(count: int, seed: int, sure: bool, name: str) -> None:
    text = spoken(count, seed, name, sure).to_json()
    assert Timeline.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(format=2), "format: "),
        (lambda d: d["recordings"].clear(), "there are 0 where one is wanted"),
        (lambda d: d["recordings"][0].pop("times"), "recordings.0.times: Field required"),
        (lambda d: d["recordings"][0]["times"].reverse(), "recordings.0: times rise"),
        (lambda d: d["recordings"][0]["mixtures"][3].pop(), "recordings.0.mixtures.3: there are 8 classes"),
        (lambda d: d["recordings"][0].update(duration="long"), "recordings.0.duration"),
        (lambda d: d["recordings"][0]["times"].pop(), "119 times and 120 mixtures"),
    ],
)
def test_what_is_wrong_in_json_is_told(
    change: Callable[[Any], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    told = json.loads(spoken().to_json())
    change(told)
    with pytest.raises(DataError, match=said):
        Timeline.from_json(json.dumps(told))
    with pytest.raises(DataError, match="the whole"):
        Timeline.from_json("{")


def test_csv_is_one_table_of_all_recordings() -> None:
    several = [spoken(10 + number, number, name, sure=True) for number, name in enumerate(NAMES)]
    text = FORMATS["csv"](several, Options())
    frame = pandas.read_csv(io.StringIO(text), keep_default_na=False)
    assert list(frame.columns) == ["file", "time", *EMOTIONS, "concentration"]
    assert len(frame) == sum(len(timeline.times) for timeline in several)
    for timeline in several:
        part = frame[frame["file"] == timeline.name.replace("\udcff", "\ufffd")]
        np.testing.assert_allclose(part["time"], timeline.times, atol=1e-6)
        np.testing.assert_allclose(part[list(EMOTIONS)], timeline.mixtures, atol=1e-6)
        np.testing.assert_allclose(part["concentration"], timeline.concentration, rtol=1e-5)  # type: ignore[arg-type]
    assert [len(row) for row in csv.reader(io.StringIO(text))] == [11] * (len(frame) + 1)
    mixed = FORMATS["csv"]([several[0], spoken()], Options(rate=2))
    assert mixed.splitlines()[0] == "file,time," + ",".join(EMOTIONS)
    with pytest.raises(UsageError, match="the same classes throughout"):
        FORMATS["csv"]([spoken(), spoken().without("other")], Options())


def expected(timeline: Timeline, settings: Segmenting = USUAL) -> list[tuple[float, float, str]]:
    return [(part.start, part.end, part.label) for part in timeline.segments(settings)]


def same(found: list[tuple[float, float, str]], wanted: list[tuple[float, float, str]]) -> None:
    assert [label for _, _, label in found] == [label for _, _, label in wanted]
    np.testing.assert_allclose([row[:2] for row in found], [row[:2] for row in wanted], atol=1e-5)
    assert len(wanted) > 2


@pytest.mark.parametrize("name", NAMES)
def test_textgrid_opens_in_two_readers(tmp_path: Path, name: str) -> None:
    timeline = spoken(name=name)
    path = tmp_path / "said.TextGrid"
    timeline.save(path)
    grid = praatio.textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    assert grid.tierNames == ("emotion", "share")
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, timeline.duration)
    same([(entry.start, entry.end, entry.label) for entry in grid.getTier("emotion").entries], expected(timeline))
    shares = [float(entry.label) for entry in grid.getTier("share").entries]
    np.testing.assert_allclose(shares, [part.share for part in timeline.segments()], atol=0.00501)
    other = textgrid.TextGrid.fromFile(str(path))
    assert other.maxTime == pytest.approx(timeline.duration, abs=1e-5)  # it rounds what it reads
    same(
        [(interval.minTime, interval.maxTime, interval.mark) for interval in other.getFirst("emotion")],
        expected(timeline),
    )


def test_praat_reads_quotes_in_labels(tmp_path: Path) -> None:
    mixtures = np.repeat(np.eye(2), 50, axis=0)
    timeline = Timeline(frame_times(100), ('so-called "joy"', "tab\there"), mixtures, 2.0)
    path = tmp_path / "said.TextGrid"
    timeline.save(path)
    grid = praatio.textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    assert [entry.label for entry in grid.getTier("emotion").entries] == ['so-called "joy"', "tab here"]
    assert timeline.to_audacity().splitlines()[1].split("\t") == ["1.000000", "2.000000", "tab here"]
    assert timeline.to_rttm().splitlines()[1].split()[7] == "tab_here"


@pytest.mark.parametrize("name", NAMES)
def test_audacity_labels_open_in_crowsetta(tmp_path: Path, name: str) -> None:
    timeline = spoken(name=name)
    path = tmp_path / "labels.txt"
    timeline.save(path)
    read = crowsetta.formats.seq.AudSeq.from_file(path)
    found = list(zip(read.start_times.tolist(), read.end_times.tolist(), read.labels.tolist(), strict=True))
    same(found, expected(timeline))


def test_rttm_keeps_recordings_apart(tmp_path: Path) -> None:
    several = [spoken(150 + number, number, name) for number, name in enumerate((*NAMES, "plain.wav"))]
    path = tmp_path / "said.rttm"
    save(several, path)
    read = simpleder.rttm.load_rttm(path)
    assert len(read) == len(several)
    for (file, rows), timeline in zip(read.items(), several, strict=True):
        same([(start, end, label) for label, start, end in rows], expected(timeline))
        annotation = Annotation(uri=file)
        for number, (label, start, end) in enumerate(rows):
            annotation[Stretch(start, end), number] = label
        assert annotation.get_timeline().extent() == Stretch(0.0, pytest.approx(timeline.duration, abs=1e-5))
        assert [line.split() for line in annotation.to_rttm().splitlines()] == [
            [
                *line.split()[:3],
                *(f"{float(value):.3f}" for value in line.split()[3:5]),
                *line.split()[5:8],
                "<NA>",
                "<NA>",
            ]
            for line in path.read_text("utf-8").splitlines()
            if line.split()[1] == file
        ]
    assert list(read)[:3] == ["plain.wav", 'a_"b"_c_d,_é_第3回_<NA>_#;=x_\ufffd', "dir/plain.wav"]
    assert list(read)[-1] == "plain.wav_2"


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("name", NAMES)
def test_audio2face_reads_keyframes(form: str, name: str) -> None:
    timeline = spoken(name=name)
    text = timeline.to_a2f(form=form)  # type: ignore[arg-type]
    config = yaml.safe_load(text) if form == "yaml" else json.loads(text)
    # What NVIDIA's sample client does with its configuration.
    list_emotion_tc = [(v["time_code"], {**v["emotions"]}) for v in config["emotion_with_timecode_list"].values()]
    assert list(config["emotion_with_timecode_list"])[:2] == ["emotion_with_timecode1", "emotion_with_timecode2"]
    drawn = timeline.resample(10)
    meant = {"surprise": "amazement", "anger": "anger", "disgust": "disgust", "fear": "fear", "happiness": "joy"}
    meant["sadness"] = "sadness"
    assert len(list_emotion_tc) == 24
    for (time, emotions), moment, row in zip(list_emotion_tc, drawn.times, drawn.mixtures, strict=True):
        assert time == pytest.approx(moment, abs=1e-6)
        assert list(emotions) == TEN
        assert all(isinstance(value, float) and 0 <= value <= 1 for value in emotions.values())
        wanted = dict.fromkeys(TEN, 0.0) | {meant[n]: s for n, s in zip(EMOTIONS, row, strict=True) if n in meant}
        assert emotions == pytest.approx(wanted, abs=1e-6)


def test_nvidia_s_own_messages_take_the_keyframes() -> None:
    messages = pytest.importorskip(
        "nvidia_audio2face_3d.messages_pb2", reason="nvidia-audio2face-3d is not installed; its grpcio is an old one"
    )
    timeline = spoken()
    config = yaml.safe_load(timeline.to_a2f())
    keys = [
        messages.EmotionWithTimeCode(time_code=v["time_code"], emotion={**v["emotions"]})
        for v in config["emotion_with_timecode_list"].values()
    ]
    sent = messages.AudioWithEmotion(audio_buffer=b"", emotions=keys).SerializeToString()
    got = messages.AudioWithEmotion.FromString(sent).emotions
    joys = [key.emotion["joy"] for key in got]
    np.testing.assert_allclose(joys, timeline.resample(10).mixtures[:, EMOTIONS.index("happiness")], atol=1e-6)
    assert all(len(key.emotion) == 10 for key in got)


def test_neutral_is_ten_zeros_and_few_keyframes_stay_as_they_are() -> None:
    calm = Timeline(np.array([0.5, 2.0]), EMOTIONS, np.eye(8)[[7, 0]], 4.0)
    frames = list(yaml.safe_load(calm.to_a2f())["emotion_with_timecode_list"].values())
    assert [frame["time_code"] for frame in frames] == [0.5, 2.0]
    assert set(frames[0]["emotions"].values()) == {0.0}
    assert frames[1]["emotions"] == dict.fromkeys(TEN, 0.0) | {"joy": 1.0}
    shaped = json.loads(calm.to_a2f(form="json", post=Audio2Emotion()))["emotion_with_timecode_list"].values()
    assert [frame["emotions"]["joy"] for frame in shaped] == np.round(
        Audio2Emotion().apply(calm).values[:, 6], 6
    ).tolist()
    with pytest.raises(UsageError, match="knows none of other, neutral"):
        Timeline(np.array([0.0]), ("other", "neutral"), np.array([[0.5, 0.5]]), 1.0).to_a2f()


SIDED = "eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp eyeSquint eyeWide mouthSmile mouthFrown mouthDimple"
SIDED += " mouthStretch mouthPress mouthLowerDown mouthUpperUp browDown browOuterUp cheekSquint noseSneer"
SINGLE = "jawForward jawLeft jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthRollLower"
SINGLE += " mouthRollUpper mouthShrugLower mouthShrugUpper browInnerUp cheekPuff tongueOut"
APPLE = {*SINGLE.split(), *(f"{name}{side}" for name in SIDED.split() for side in ("Left", "Right"))}
"""Apple's documentation of ARFaceAnchor.BlendShapeLocation, written down again."""


@pytest.mark.parametrize("spelling", ["apple", "nvidia"])
def test_arkit_curves_are_read_as_an_animation(tmp_path: Path, spelling: Any) -> None:
    timeline = spoken(name=ODD)
    audio = (8000 * np.sin(np.arange(16_000) / 9)).astype(np.int16)
    text = timeline.to_arkit(audio, spelling=spelling)
    path = tmp_path / "face.csv"
    path.write_text(text)
    header = text.splitlines()[0].split(",")
    prefix = "blendShapes." if spelling == "nvidia" else ""
    names = {name[0].upper() + name[1:] if prefix else name for name in APPLE}
    assert len(APPLE) == 52
    assert {column.removeprefix(prefix) for column in header[1:]} == names
    read = read_animation(path)
    np.testing.assert_allclose(read.times, frame_times(120), atol=1e-6)
    told = json.loads(timeline.to_arkit(audio, spelling=spelling, form="json"))
    assert set(told["channels"]) == names
    np.testing.assert_allclose(told["weights"], read.weights, atol=2e-6)
    smile = read.weights[:, ARKIT.index("mouthSmileLeft")]
    preset = read_rig().presets[:, ARKIT.index("mouthSmileLeft")].numpy()
    voice = read.weights[:, ARKIT.index("jawOpen")]
    assert voice[:50].mean() > voice[60:].mean() + 0.05
    np.testing.assert_allclose(smile[60:], (timeline.at(frame_times(120)) @ preset)[60:].clip(0, 1), atol=1e-5)


def test_a_face_without_sound_at_another_rate() -> None:
    rows = list(csv.reader(io.StringIO(spoken().without("other").to_arkit(rate=30))))
    assert len(rows) == 1 + 72
    assert float(rows[1][0]) == pytest.approx(1 / 60, abs=1e-6)
    assert len(list(csv.reader(io.StringIO(spoken(1).to_arkit())))) == 3  # an animation has two frames
    with pytest.raises(UsageError, match="no look for boredom"):
        Timeline(np.array([0.0]), ("boredom",), np.array([[1.0]]), 1.0).to_arkit()


def test_formats_say_how_many_recordings_they_hold(tmp_path: Path) -> None:
    assert list(FORMATS) == ["json", "csv", "textgrid", "audacity", "rttm", "a2f", "arkit"]
    two = [spoken(), spoken(seed=1)]
    for name, each in FORMATS.items():
        assert each([spoken()], Options())
        with pytest.raises(UsageError, match=f"{name} holds .*not 0"):
            each([], Options())
        if each.several:
            assert each(two, Options())
        else:
            with pytest.raises(UsageError, match=f"{name} holds one recording, not 2"):
                each(two, Options())
    assert [suffix(name) for name in FORMATS] == [".json", ".csv", ".TextGrid", ".txt", ".rttm", ".yaml", ".csv"]
    assert (suffix("a2f", "json"), suffix("arkit", "json"), suffix("json", "yaml")) == (".json", ".json", ".json")
    for ending, begins in {
        ".json": '{"format"',
        ".CSV": "file,",
        ".rttm": "SPEAKER",
        ".yml": "#",
        ".textgrid": "File",
    }.items():
        spoken().save(tmp_path / f"said{ending}")
        assert (tmp_path / f"said{ending}").read_text().startswith(begins)
    spoken().save(tmp_path / "face.json", "a2f")
    assert "emotion_with_timecode_list" in json.loads((tmp_path / "face.json").read_text())
    with pytest.raises(UsageError, match="csv is not written as json"):
        spoken().save(tmp_path / "said.json", "csv")
    for rate in (0.0, -1, float("nan"), 1001):
        with pytest.raises(UsageError, match="frame rate"):
            spoken().to_csv(rate=rate)
    for wrong in (("said.doc", None), ("said.json", "excel")):
        with pytest.raises(UsageError, match="there are json, csv"):
            spoken().save(tmp_path / wrong[0], wrong[1])
