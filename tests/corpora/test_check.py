"""Damaged audio is found and named, with the reason, in real files of several containers."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from valenza.corpora.card import Card, read_card
from valenza.corpora.check import check
from valenza.corpora.listen import Job, listen
from valenza.corpora.show import show_report

MANIFESTS = Path(__file__).resolve().parents[2] / "datasets_manifests"
RATE = 16_000
FORMATS = {
    "wav": "PCM_16",
    "flac": "PCM_16",
    "ogg": "VORBIS",
    "opus": "OPUS",
    "mp3": "MPEG_LAYER_III",
    "aiff": "PCM_16",
}


def speak(path: Path, seed: int = 0, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, round(RATE * seconds)).astype(np.float32)
    container = "OGG" if path.suffix == ".opus" else None
    soundfile.write(path, noise, RATE, subtype=FORMATS[path.suffix[1:]], format=container)
    return path


def corpus(**changes: object) -> Card:
    base: dict[str, object] = {
        "id": "x",
        "title": "x",
        "languages": ["en"],
        "licence": "x",
        "audio": "*/*",
        "expect": {"clips": 12, "speakers": 3},
        "pattern": r"(?P<label>\w+)/(?P<speaker>[a-z]+)_\d",
        "labels": {"happy": "happiness", "sad": "sadness"},
    }
    return Card.model_validate({**base, **changes})


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    suffixes = list(FORMATS)
    names = [
        f"{label}/{who}_{take}" for label in ("happy", "sad") for who in ("anna", "bert", "cleo") for take in (1, 2)
    ]
    for i, name in enumerate(names):
        speak(tmp_path / f"{name}.{suffixes[i % len(suffixes)]}", seed=i)
    return tmp_path


def test_a_healthy_corpus_is_ready(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(corpus(), healthy, jobs=1)
    assert (report.errors, report.notes, report.clips, report.speakers, report.release) == ([], [], 12, 3, "published")
    assert report.hours == pytest.approx(12 / 3600, rel=0.1)
    assert [(label.native, label.clips, label.speakers) for label in report.labels] == [("happy", 6, 3), ("sad", 6, 3)]
    json.dumps(report.as_dict(), allow_nan=False)
    show_report(report)
    assert "x: ready; counts as expected" in capsys.readouterr().out


def test_every_damage_is_named_with_its_reason(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = np.full(RATE, 0.1, dtype=np.float32)
    broken[7] = np.nan
    soundfile.write(healthy / "happy/anna_1.wav", broken, RATE, subtype="FLOAT")
    soundfile.write(healthy / "happy/anna_2.flac", np.zeros(RATE), RATE)
    for name in ("happy/bert_1.ogg", "happy/bert_2.opus", "sad/anna_1.wav", "sad/anna_2.flac"):
        content = (healthy / name).read_bytes()
        (healthy / name).write_bytes(content[: len(content) // 2])
    (healthy / "happy/cleo_2.aiff").write_bytes(b"")
    (healthy / "happy/cleo_1.mp3").write_text("this is a text, not audio")
    (healthy / "sad/cleo_1.mp3").rename(healthy / "sad/cleo-1.mp3")
    (healthy / "gloomy").mkdir()
    (healthy / "sad/cleo_2.aiff").rename(healthy / "gloomy/cleo_2.aiff")
    speak(healthy / "happy/dora_1.wav", seed=99)
    (healthy / "sad/dora_1.wav").write_bytes((healthy / "happy/dora_1.wav").read_bytes())
    (healthy / "happy/dora_2.wav").write_bytes((healthy / "happy/dora_1.wav").read_bytes())
    soundfile.write(healthy / "happy/dora_3.wav", np.sign(np.sin(np.arange(RATE) / 9)), RATE)
    speak(healthy / "sad/dora_4.wav", seed=5, seconds=0.05)
    report = check(corpus(), healthy, jobs=2)
    found = {(p.path, p.message) for p in report.errors}
    for path, reason in {
        "happy/anna_1.wav": "1 samples are NaN or infinite",
        "happy/anna_2.flac": "silent: all samples are zero",
        "happy/bert_1.ogg": "truncated",
        "happy/bert_2.opus": "truncated",
        "sad/anna_1.wav": "truncated",
        "sad/anna_2.flac": "",  # libsndfile may call it lost synchronisation
        "happy/cleo_2.aiff": "the file is empty",
        "happy/cleo_1.mp3": "cannot be decoded",
        "sad/cleo-1.mp3": "reads as far as 'sad/cleo'",
        "gloomy/cleo_2.aiff": "'gloomy' is not in the manifest's `labels`",
        "sad/dora_1.wav": "the same audio as happy/dora_1.wav, under another label",
        "sad/dora_4.wav": "50 ms is too short",
        "": "16 clips found, 12 expected",
    }.items():
        assert any(p == path and reason in message for p, message in found), (path, reason, found)
    notes = {(p.path, p.message) for p in report.notes}
    assert ("happy/dora_2.wav", "the same audio as happy/dora_1.wav") in notes
    assert any(path == "happy/dora_3.wav" and message.startswith("clipped") for path, message in notes)
    show_report(report)
    shown = capsys.readouterr().out
    assert all(path in shown for path, _ in found)


@pytest.mark.parametrize("suffix", FORMATS)
def test_truncation_is_noticed_in_every_container(tmp_path: Path, suffix: str) -> None:
    whole = speak(tmp_path / f"whole.{suffix}", seconds=2.0)
    assert listen(Job(whole)).faults == ()
    if suffix == "mp3":
        pytest.skip("a shorter MP3 without its count of frames is a whole MP3")
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    assert listen(Job(cut)).faults


def test_a_wrong_extension_and_a_stretch_are_judged(tmp_path: Path) -> None:
    flac = speak(tmp_path / "a.flac", seconds=2.0)
    disguised = flac.rename(tmp_path / "a.wav")
    assert listen(Job(disguised)).remarks == ("is FLAC in a file that calls itself .wav",)
    assert listen(Job(disguised, 0.5, 1.25)).duration == 0.75
    assert "is not in a file of 2.00 s" in listen(Job(disguised, 1.5, 2.5)).faults[0]


def test_speakers_in_two_splits_are_refused(tmp_path: Path) -> None:
    for i, part in enumerate(("train", "test")):
        speak(tmp_path / part / f"happy_anna_{i}.wav", seed=i)
    card = corpus(pattern=r"(?P<split>\w+)/(?P<label>[a-z]+)_(?P<speaker>[a-z]+)_\d", expect={})
    problems = [p for p in check(card, tmp_path, jobs=1).errors if p.field == "split"]
    assert "speaker anna is in 2 splits: test (test/happy_anna_1.wav), train" in problems[0].message


def test_releases_and_empty_folders(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    expect = {"clips": 99, "releases": {"small": {"clips": 12, "hours": 0.00333}}}
    assert check(corpus(expect=expect), healthy, jobs=1).release == "small"
    wrong = check(corpus(expect={"clips": 99, "hours": 5.0}), healthy, jobs=1)
    assert {p.message.split(",")[0] for p in wrong.errors} == {"12 clips found", "0.00333 hours found"}
    nested = tmp_path_factory.mktemp("nested")
    speak(nested / "a/b/happy/anna_1.wav")
    nothing = check(corpus(expect={}), nested, jobs=1)
    assert "1 audio file lies elsewhere under it: a/b/happy/anna_1.wav" in nothing.errors[0].message
    speak(nested / "a/b/happy/anna_2.wav")
    nothing = check(corpus(), nested, jobs=1)
    assert [(p.path, p.field) for p in nothing.errors] == [("", "audio")]  # that 12 clips are missing is no news
    assert "2 audio files lie elsewhere under it, such as a/b/happy/anna_1.wav" in nothing.errors[0].message


def test_labels_that_no_clip_has_are_one_note(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = {"happy": "happiness", "sad": "sadness", "W": "anger", "E": "disgust", "A": "fear"}
    report = check(corpus(labels=labels), healthy, jobs=1)
    assert [note.message for note in report.notes] == ["W, E and A are in the manifest, but no clip carries them"]
    show_report(report)
    shown = capsys.readouterr().out
    assert "  labels: W, E and A are in" in shown
    assert "x: ready, 1 note; counts as expected" in shown
    wrong = check(corpus(expect={"clips": 11}), healthy, jobs=1)
    show_report(wrong)
    assert capsys.readouterr().out.endswith("x: not ready, 1 error\n")  # of the whole, in no file


@pytest.mark.parametrize("name", ["ravdess", "emodb", "emovo"])
def test_the_real_corpora_are_ready(shared: Path, name: str) -> None:
    report = check(read_card(MANIFESTS / f"{name}.yaml"), shared / "corpora" / name, jobs=2)
    assert report.errors == []
    assert report.release == ("four_emotions" if name == "emodb" else "published")
    duplicates = [p.path for p in report.notes if p.field == "duplicate"]
    assert duplicates == (["Actor_07/03-01-03-01-02-02-07.opus"] if name == "ravdess" else [])
