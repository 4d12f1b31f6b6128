"""Planted shortcuts are named, a clean corpus is not accused, and real corpora give the figures that are known."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from typer.testing import CliRunner

from valenza.cli import app
from valenza.corpora.card import Card, read_card
from valenza.corpora.shortcuts.audit import Audit, Finding, audit
from valenza.corpora.shortcuts.show import show_audit
from valenza.errors import DataError

MANIFESTS = Path(__file__).resolve().parents[2] / "datasets_manifests"
RATE = 16_000
LABELS = ("angry", "happy", "sad")
MANIFEST = r"""id: planted
title: Noises
languages: [en]
licence: none
audio: "*.*"
pattern: '(?P<speaker>s\d)_(?P<label>[a-z]+)_\d+'
labels: {angry: anger, happy: happiness, sad: sadness, unused: null}
"""


@dataclass(frozen=True)
class Made:
    """How one clip is made; everything is drawn without regard to its label unless a test plants a difference."""

    label: str
    speaker: str
    seconds: float
    level: float
    lead: float
    trail: float
    floor: float
    rate: int = RATE
    narrow: bool = False


def corpus(folder: Path, plant: Callable[[Made, np.random.Generator], Made] = lambda made, _: made) -> Card:
    """Write 144 clips of six speakers and return their card."""
    rng = np.random.default_rng(11)
    (folder / "audio").mkdir()
    (folder / "planted.yaml").write_text(MANIFEST)
    for number in range(144):
        made = Made(
            LABELS[number % 3],
            f"s{number // 3 % 6}",
            *rng.uniform([0.4, -34, 0.05, 0.05, -85], [0.8, -22, 0.15, 0.15, -75]).tolist(),
        )
        made = plant(made, rng)
        soundfile.write(
            folder / f"audio/{made.speaker}_{made.label}_{number}.wav", sound(made, rng), made.rate, subtype="PCM_16"
        )
    return read_card(folder / "planted.yaml")


def sound(made: Made, rng: np.random.Generator) -> np.ndarray:
    """Noise that swells and fades, as loud as was said, between silences."""
    loud = rng.normal(0, 1, round(made.seconds * RATE))
    loud *= np.sin(np.pi * np.linspace(0, 1, len(loud))) ** 0.5
    loud *= rng.uniform(0.2, 1, 40).repeat(-(-len(loud) // 40))[: len(loud)]
    if made.narrow:
        loud = soxr.resample(soxr.resample(loud, RATE, 6000), 6000, RATE)
    loud *= 10 ** (made.level / 20) / np.sqrt(np.mean(loud**2))
    whole = np.concatenate([np.zeros(round(made.lead * RATE)), loud, np.zeros(round(made.trail * RATE))])
    whole += rng.normal(0, 10 ** (made.floor / 20), len(whole)) * (not made.narrow)
    return np.clip(soxr.resample(whole, RATE, made.rate), -1, 1)


def named(found: Audit) -> dict[str, Finding]:
    return {finding.name: finding for finding in found.findings}


def accused(found: Audit) -> set[str]:
    return {finding.name for finding in found.findings if finding.verdict != "ok"}


def sad(made: Made) -> bool:
    return made.label == "sad"


PLANTS: dict[str, Callable[[Made, np.random.Generator], Made]] = {
    "duration": lambda made, rng: replace(made, seconds=made.seconds + 0.4 * sad(made)),
    "level and peak": lambda made, rng: replace(made, level=made.level - 9 * sad(made)),
    "silence at either end": lambda made, rng: replace(made, trail=made.trail + 0.15 * sad(made)),
    "noise floor": lambda made, rng: replace(made, floor=made.floor + 15 * sad(made)),
    "bandwidth": lambda made, rng: replace(made, narrow=sad(made)),
    "file format": lambda made, rng: replace(made, rate=22_050 if sad(made) else RATE),
    "speaker (accuracy)": lambda made, rng: replace(
        made, speaker=f"s{LABELS.index(made.label) * 2 + rng.integers(2)}" if rng.random() < 0.9 else made.speaker
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_shortcut_is_named(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = audit(corpus(tmp_path, PLANTS[name]), tmp_path / "audio")
    assert named(found)[name].verdict == "warning", found.findings
    others = {
        "duration": {"duration and level"},
        "level and peak": {"duration and level"},
        "silence at either end": {"noise floor", "duration", "duration and level"},
        "bandwidth": {"noise floor", "silence at either end"},
        "file format": {"bandwidth"},
    }
    assert accused(found) <= {name} | others.get(name, set())
    show_audit(found)
    shown = capsys.readouterr().out
    # long sentences go on in further lines
    assert f"warning: {name}: {named(found)[name].sentence}" in " ".join(shown.split())


def test_a_clean_corpus_is_not_accused_and_an_audit_repeats_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = corpus(tmp_path)
    found = audit(card, tmp_path / "audio")
    assert accused(found) == set(), found.findings
    assert (found.clips, found.probed, found.speakers, found.chance) == (144, 144, 6, pytest.approx(1 / 3))
    show_audit(found)
    assert capsys.readouterr().out.endswith("planted: 0 warnings and 0 notices; the other 12 are ok\n")
    again = audit(card, tmp_path / "audio", jobs=2)
    assert json.dumps(again.as_dict()) == json.dumps(found.as_dict(), allow_nan=False)


def test_copies_under_other_labels_are_said_first_and_damage_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = corpus(tmp_path)
    audio = tmp_path / "audio"
    heard, _ = soundfile.read(audio / "s0_angry_0.wav")
    soundfile.write(audio / "s0_sad_900.ogg", 0.4 * heard, RATE, subtype="VORBIS")
    (audio / "s0_angry_901.wav").write_bytes((audio / "s0_angry_0.wav").read_bytes())
    (audio / "s0_angry_902.wav").write_bytes(b"no sound")
    found = audit(card, audio, skip={"s5_sad_17.wav"})
    assert found.unreadable == ("s0_angry_902.wav", "s5_sad_17.wav")
    assert named(found)["equal copies"].verdict == "notice"
    assert named(found)["altered copies"].verdict == "warning"
    assert named(found)["altered copies"].sentence.startswith("1 under another label")
    show_audit(found)
    shown = capsys.readouterr().out
    assert shown.index("s0_sad_900.ogg (correlation") < shown.index("s0_angry_901.wav (sample for sample)")


def test_a_corpus_of_one_label_or_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = corpus(tmp_path, lambda made, _: replace(made, label="unused"))
    found = audit(card, tmp_path / "audio")
    assert (found.probed, found.oracle, len(found.findings)) == (0, None, 3)
    show_audit(found)
    assert "fewer than two labels" in capsys.readouterr().out
    for path in (tmp_path / "audio").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no clip of planted can be read"):
        audit(card, tmp_path / "audio")
    for jobs in (1, 2):
        with pytest.raises(DataError, match="no clip of nobody can be read"):
            audit(card.model_copy(update={"id": "nobody", "audio": "*/*"}), tmp_path / "audio", jobs=jobs)


def test_clips_that_nobody_heard_anything_in_take_no_part(tmp_path: Path) -> None:
    card = corpus(tmp_path)
    unlabelled = card.model_copy(update={"labels": {}, "pattern": r"(?P<speaker>[^_]+)_.*"})
    found = audit(unlabelled, tmp_path / "audio")
    assert (found.clips, found.probed, found.oracle) == (144, 0, None)
    names = sorted(path.stem for path in (tmp_path / "audio").glob("*.wav"))
    rows = [f"{name},{int('angry' in name)},{int('happy' in name)},0" for name in names]
    (tmp_path / "audio" / "marks.csv").write_text("\n".join(["name,angry,happy,sad", *rows]))
    table = {"path": "marks.csv", "key": "name", "votes": {label: label for label in ("angry", "happy", "sad")}}
    written = card.model_dump() | {
        "pattern": r"(?P<speaker>[^_]+)_.*", "tables": [table], "ratings": 1, "audio": "*.wav"
    }  # fmt: skip
    marked = audit(Card.model_validate(written), tmp_path / "audio")
    angry_or_happy = sum("sad" not in name for name in names)
    assert 0 < angry_or_happy < len(names)
    # the sad ones were marked 0 throughout, which must not read as the first label of the alphabet
    assert (marked.clips, marked.probed) == (len(names), angry_or_happy)


def test_labels_that_leave_clips_out_are_not_probed_and_codes_are_explained(tmp_path: Path) -> None:
    card = corpus(tmp_path, PLANTS["level and peak"])
    third = card.model_copy(update={"labels": {**card.labels, "happy": "unknown"}})
    found = audit(third, tmp_path / "audio")
    assert (found.probed, found.chance) == (96, 0.5)
    for path in (tmp_path / "audio").iterdir():
        path.rename(path.with_name(path.name.replace("_sad_", "_07_")))
    labels = {"angry": "anger", "happy": "happiness", "07": "sadness"}
    coded = card.model_copy(update={"pattern": r"(?P<speaker>s\d)_(?P<label>[^_]+)_\d+", "labels": labels})
    level = named(audit(coded, tmp_path / "audio"))["level and peak"]
    assert level.sentence.startswith("07 (sadness) has -")
    assert "angry (" not in level.sentence


def test_one_speaker_is_enough_for_a_probe(tmp_path: Path) -> None:
    card = corpus(tmp_path, lambda made, rng: replace(PLANTS["duration"](made, rng), speaker="s0"))
    assert named(audit(card, tmp_path / "audio"))["duration"].verdict == "warning"


def test_the_command_tells_all_and_warnings_do_not_fail(tmp_path: Path) -> None:
    corpus(tmp_path, PLANTS["level and peak"])
    where = ["corpus", "check", str(tmp_path / "planted.yaml"), "--root", str(tmp_path / "audio"), "--jobs", "1"]
    ended = CliRunner().invoke(app, [*where, "--shortcuts", "--json"])
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)["shortcuts"]
    level = next(finding for finding in told["findings"] if finding["name"] == "level and peak")
    assert (level["verdict"], level["probed"]["p"], told["copies"]) == ("warning", 1 / 200, [])
    assert "shortcuts" not in json.loads(CliRunner().invoke(app, [*where, "--json"]).stdout)


def test_the_command_reports_on_a_corpus_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    corpus(tmp_path)
    for path in (tmp_path / "audio").iterdir():
        path.write_bytes(b"")
    where = ["corpus", "check", str(tmp_path / "planted.yaml"), "--root", str(tmp_path / "audio"), "--jobs", "1"]
    ended = CliRunner().invoke(app, [*where, "--shortcuts", "--labels"])
    assert ended.exit_code == 65
    assert "audio: the file is empty" in ended.output
    assert "cannot be told" in ended.output
    told = json.loads(CliRunner().invoke(app, [*where, "--shortcuts", "--json"]).stdout)
    assert told["shortcuts"] is None
    assert len(told["errors"]) >= 144


KNOWN = {"emodb": 0.49, "ravdess": 0.34, "turev": 0.34, "casia": 0.27, "emovo": 0.20}


@pytest.mark.parametrize("name", KNOWN)
def test_real_corpora_give_the_known_figures(shared: Path, name: str) -> None:
    card = read_card(MANIFESTS / f"{name}.yaml")
    if name == "ravdess":
        # nine of 24 actors, among them the one whose take is there twice
        card = card.model_copy(update={"audio": "Actor_0*/*"})
    found = audit(card, shared / "corpora" / name, jobs=2)
    both = named(found)["duration and level"].probed
    assert both is not None
    assert both.ua == pytest.approx(KNOWN[name], abs=0.05)
    assert named(found)["cut recordings"].verdict == named(found)["speaker (accuracy)"].verdict == "ok"
    pairs = {(copy.first, copy.second, copy.exact) for copy in found.copies}
    if name == "casia":
        assert pairs == {(f"liuchanhg/fear/{n}.opus", f"liuchanhg/sad/{n}.opus", False) for n in range(201, 251)}
        assert named(found)["altered copies"].verdict == "warning"
    else:
        ravdess = {("Actor_07/03-01-03-01-02-01-07.opus", "Actor_07/03-01-03-01-02-02-07.opus", True)}
        emovo = {("f3/tri-f3-n1.opus", "f3/tri-f3-n2.opus", False)}
        assert pairs == {"ravdess": ravdess, "emovo": emovo}.get(name, set())
