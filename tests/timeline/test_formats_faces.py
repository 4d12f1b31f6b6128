"""What moves faces, read back as Audio2Face and `valenza invert` do."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from timelines import NAMES, ODD, spoken

from valenza.avatar.animation import read_animation
from valenza.avatar.arkit import ARKIT
from valenza.avatar.rig import read_rig
from valenza.errors import UsageError
from valenza.labels.sequences import frame_times
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.formats import FORMATS, Options
from valenza.timeline.post import Audio2Emotion
from valenza.timeline.timeline import Timeline

TEN = "amazement anger cheekiness disgust fear grief joy outofbreath pain sadness".split()  # noqa: SIM905


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


def test_audio2emotion_takes_the_rate_that_is_asked_for() -> None:
    options = Options(rate=60, audio2emotion=Audio2Emotion(emotion_strength=1.0))
    found = yaml.safe_load(FORMATS["a2f"]([spoken()], options))["emotion_with_timecode_list"].values()
    wanted = Audio2Emotion(emotion_strength=1.0, frame_rate=60.0).apply(spoken())
    np.testing.assert_allclose([key["time_code"] for key in found], wanted.times, atol=1e-6)
    values = [[key["emotions"][name] for name in TEN] for key in found]
    np.testing.assert_allclose(values, wanted.values, atol=1e-6)
