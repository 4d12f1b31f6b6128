"""A first manifest reads names of many layouts, and needs little more than its labels."""

import itertools
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from valenza.corpora.card import read_card
from valenza.corpora.check import check
from valenza.corpora.parse import clips
from valenza.corpora.scaffold import identifier, scaffold
from valenza.errors import DataError, UsageError

MANIFESTS = Path(__file__).resolve().parents[2] / "datasets_manifests"
WORDS = ("angry", "happy", "neutral", "sad")
PEOPLE = ("anna", "ben", "cem", "dora")
Layout = Callable[[str, str, str], str]


def numbers(first: int, last: int, width: int = 2) -> list[str]:
    return [f"{i:0{width}d}" for i in range(first, last + 1)]


TESS = ("angry", "fear", "happy", "ps", "sad")
GENDERED = tuple(f"{g}{n}" for g in "FM" for n in numbers(1, 4))
LAYOUTS: dict[str, tuple[Layout, Sequence[str], Sequence[str], Sequence[str]]] = {
    # how label, speaker and the rest make a name; labels, speakers, rest
    "label folders": (lambda e, s, t: f"{e}/{s}_{t}", WORDS, PEOPLE, numbers(1, 6)),
    "speaker folders": (lambda e, s, t: f"{s}/{e}_{t}", WORDS, PEOPLE, numbers(1, 6)),
    "both folders": (lambda e, s, t: f"{s}/{e}/{t}", WORDS, PEOPLE, numbers(201, 206)),
    "split folders": (
        lambda e, s, t: f"{'test' if s == 'dora' else 'train'}/{e}/{s}_{t}",
        WORDS,
        PEOPLE,
        numbers(1, 6),
    ),
    "flat with dashes": (lambda e, s, t: f"spk{s}-{e}-{t}", WORDS, numbers(1, 5), numbers(1, 6, 3)),
    "speaker last": (lambda e, s, t: f"{t}_{e}_{s}", WORDS, PEOPLE, numbers(1, 15, 3)),
    "codes in front": (lambda e, s, t: f"P{s}_S{t}_E{e}_T1", "12345", numbers(1, 8), numbers(1, 9)),
    "CREMA-D": (
        lambda e, s, t: f"AudioWAV/{s}_{t}_{e}_XX",
        ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"),
        numbers(1001, 1012, 4),
        ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI"),
    ),
    "SAVEE": (
        lambda e, s, t: f"{s}_{e}{t}",
        ("a", "d", "f", "h", "n", "sa", "su"),
        ("DC", "JE", "JK", "KL"),
        numbers(1, 15),
    ),
    "TESS": (lambda e, s, t: f"{s}_{e}/{s}_{t}_{e}", TESS, ("OAF", "YAF"), ("back", "bar", "base", "bath")),
    "ESD": (lambda e, s, t: f"{s}/{e.title()}/{s}_{WORDS.index(e)}{t}", WORDS, numbers(1, 9, 4), numbers(1, 9, 5)),
    "JL": (
        lambda e, s, t: f"{s}_{e}_{t}",
        WORDS,
        ("female1", "female2", "male1", "male2"),
        ("1a_1", "1b_1", "2a_1", "2b_2", "10a_1"),
    ),
    "SUBESCO": (lambda e, s, t: f"{s[0]}_{s[1:]}_X_S_{t}_{e.upper()}_1", WORDS, GENDERED, "123456"),
    "AESDD": (
        lambda e, s, t: f"{e}/{e[0]}{t} ({s})",
        ("anger", "disgust", "fear", "happiness", "sadness"),
        "12345",
        numbers(1, 20),
    ),
    "ShEMO": (lambda e, s, t: f"{s}{e}{t}", "AHNSW", GENDERED, numbers(1, 9)),
    "emoUERJ": (lambda e, s, t: f"{s}{e}{t}", "hasn", ("m01", "m02", "m03", "w01", "w02", "w03"), numbers(1, 9)),
    "CaFE": (
        lambda e, s, t: f"{e}/Faible/{s}-{e[0]}-1-{t}",
        ("Colère", "Dégoût", "Joie", "Peur", "Tristesse"),
        numbers(1, 12),
        "123456",
    ),
    "labels of two words": (
        lambda e, s, t: f"{s}_{e}_{t}",
        ("very_happy", "sad", "angry", "neutral"),
        numbers(1, 6),
        numbers(1, 8),
    ),
}


def speak(root: Path, names: Sequence[str], suffix: str = "wav") -> Path:
    # the owner's ears are not needed here: names decide, so short noises do
    for i, name in enumerate(names):
        path = root / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(i).normal(0, 0.1, 2400), 16_000)
    return root


def described(root: Path, folder: Path, name: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(scaffold(root, name), encoding="utf-8")
    return path


def fill(path: Path, meanings: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for native, meaning in meanings.items():
        text = re.sub(rf'(?m)^(  "?{re.escape(native)}"?): fill_in', rf"\1: {meaning}", text)
    path.write_text(text.replace(": fill_in", ": other"), encoding="utf-8")


def partition(values: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    return [first.setdefault(value, len(first)) for value in values]


@pytest.mark.parametrize("name", LAYOUTS)
def test_labels_and_speakers_are_found(tmp_path: Path, name: str) -> None:
    layout, labels, speakers, rest = LAYOUTS[name]
    truth = {layout(e, s, t): (e, s) for e, s, t in itertools.product(labels, speakers, rest)}
    root = tmp_path / "somebody's corpus"
    for file in truth:
        path = root / f"{file}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path = described(root, tmp_path, "c")
    fill(path, {})
    parsed = clips(read_card(path), root)
    assert parsed.problems == []
    assert len(parsed.clips) == len(truth)
    expected = [truth[clip.source.removesuffix(".wav")] for clip in parsed.clips]
    assert partition([str(clip.label) for clip in parsed.clips]) == partition([label for label, _ in expected])
    assert partition([clip.speaker for clip in parsed.clips]) == partition([speaker for _, speaker in expected])


@pytest.mark.parametrize("corpus", ["ravdess", "emovo", "casia", "turev", "emodb"])
def test_the_real_corpora_are_read_as_their_manifests_read_them(shared: Path, tmp_path: Path, corpus: str) -> None:
    root = shared / "corpora" / corpus
    path = described(root, tmp_path, "renamed")
    fill(path, {})
    found, right = clips(read_card(path), root), clips(read_card(MANIFESTS / f"{corpus}.yaml"), root)
    assert found.problems == []
    assert [c.source for c in found.clips] == [c.source for c in right.clips]
    assert [(c.label, c.speaker) for c in found.clips] == [
        (c.label, c.speaker.removeprefix("Actor_")) for c in right.clips
    ]


def test_a_new_owner_fills_in_the_labels_and_is_done(shared: Path, tmp_path: Path) -> None:
    root = tmp_path / "our voices"
    shutil.copytree(shared / "corpora" / "emodb", root)
    name = identifier(root)
    assert name == "our_voices"
    path = described(root, tmp_path, name)
    with pytest.raises(UsageError) as refusal:
        read_card(path)
    lines = str(refusal.value).splitlines()
    assert len(lines) == 4
    assert all(re.search(r"yaml:\d+: labels\.[WFTN]: 'fill_in' is not one of happiness, ", line) for line in lines)
    fill(path, {"W": "anger", "F": "happiness", "T": "sadness", "N": "neutral"})
    report = check(read_card(path), root, jobs=2)
    assert (report.errors, report.clips, report.speakers) == ([], 339, 10)
    assert {label.native: label.clips for label in report.labels} == {"F": 71, "N": 79, "T": 62, "W": 127}


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_known_words_need_no_filling_in(tmp_path: Path, suffix: str) -> None:
    names = [
        f"{s}/{e}-{t}"
        for s in ("Sprecher1", "Sprecher2", "Sprecher3")
        for e in ("Wut", "Freude", "Trauer", "Ruhe")
        for t in range(1, 5)
    ]
    root = speak(tmp_path / "de", [n.replace("Ruhe", "neutral") for n in names], suffix)
    card = read_card(described(root, tmp_path, "de"))
    assert card.labels == {"Wut": "anger", "Freude": "happiness", "Trauer": "sadness", "neutral": "neutral"}
    assert check(card, root, jobs=1).errors == []


def test_folders_of_labels_without_speakers(tmp_path: Path) -> None:
    root = speak(tmp_path / "plain", [f"{e}/{t}" for e in WORDS for t in numbers(1, 15, 3)])
    card = read_card(described(root, tmp_path, "plain"))
    parsed = clips(card, root)
    assert {c.speaker for c in parsed.clips} == {"unknown"}
    assert {c.label for c in parsed.clips} == set(WORDS)


def test_nothing_in_the_names_and_nothing_at_all(tmp_path: Path) -> None:
    root = speak(tmp_path / "flat", [f"x{i:04d}" for i in range(8)])
    (root / "labels.csv").write_text("file,emotion\n")
    path = described(root, tmp_path, "flat")
    assert "This folder has labels.csv." in path.read_text(encoding="utf-8")
    with pytest.raises(UsageError, match=r"labels\.unlabelled: 'fill_in' is not one of"):
        read_card(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no audio"):
        scaffold(tmp_path / "empty", "empty")
