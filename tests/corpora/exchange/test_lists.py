"""EmoBox, audformat and AudioFolder become corpora: rows, folds, raters, splits."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from valenza.corpora.card import read_card
from valenza.corpora.exchange.bring import Wanted, bring
from valenza.errors import DataError, UsageError


@pytest.fixture
def emobox(desk: Any) -> Path:
    """Six clips whose rows are of EmoBox's two kinds and have no speaker, and two folds."""
    names = [f"0{s}a0{n}W" for s in (3, 8) for n in (1, 2, 3)]
    desk.write_audio(*(f"downloads/emodb/wav/{name}.wav" for name in names))
    rows = [
        {"key": f"emodb-{name}", "dataset": "emodb", "type": "raw", "sample_rate": 16000, "length": 0.2, "channel": 1}
        | (
            {"wav": f"downloads/emodb/wav/{name}.wav", "emo": "boredem", "task": "category"}
            if number % 2
            else {"audio": f"downloads/emodb/wav/{name}.wav", "label": "happy", "num_frame": 3200.0}
        )
        for number, name in enumerate(names)
    ]
    folder = desk.write_lines("data/emodb/emodb.jsonl", *rows).parent
    (folder / "label_map.json").write_text('{"boredem": "Boredom", "happy": "Happy"}')
    for fold, test in ((1, rows[:3]), (2, rows[3:])):
        desk.write_lines(f"data/emodb/fold_{fold}/emodb_test_fold_{fold}.jsonl", *test)
        train = [row for row in rows if row not in test]
        desk.write_lines(f"data/emodb/fold_{fold}/emodb_train_fold_{fold}.jsonl", *train)
    return folder


def test_emobox_rows_folds_and_label_map(desk: Any, emobox: Path) -> None:
    wanted = Wanted(fold=1, pattern="/(?P<speaker>[0-9]{2})[a-z][0-9]{2}W$")
    found = desk.read_back(bring(emobox, "emobox", desk.manifests, wanted)[0])
    assert {key: (clip.speaker, clip.split) for key, clip in found.items()} == {
        f"0{s}a0{n}W.wav": (f"0{s}", "test" if s == 3 else "train") for s in (3, 8) for n in (1, 2, 3)
    }
    assert sorted(read_card(desk.manifests / "emodb.yaml").labels) == ["boredem", "happy"]


def test_emobox_without_a_fold_has_no_splits(desk: Any, emobox: Path) -> None:
    brought = bring(emobox / "emodb.jsonl", "emobox", desk.manifests)[0]
    assert brought.notes == ["2 folds; --fold N takes the splits of one"]
    assert {clip.split for clip in desk.read_back(brought).values()} == {None}
    with pytest.raises(UsageError, match="has no fold 3; it has 1, 2"):
        bring(emobox, "emobox", desk.manifests, Wanted(fold=3))


def test_emobox_keys_must_agree(desk: Any, emobox: Path) -> None:
    path = emobox / "fold_1" / "emodb_test_fold_1.jsonl"
    path.write_text(
        path.read_text() + (emobox / "fold_2" / "emodb_test_fold_2.jsonl").read_text() + '{"key": "lost"}\n'
    )
    with pytest.raises(DataError) as told:
        bring(emobox, "emobox", desk.folder / "m", Wanted(fold=1))
    assert "'emodb-08a01W' is in test too" in str(told.value)
    assert "'lost' is not in emodb.jsonl" in str(told.value)


def test_audformat_raters_are_votes_and_schemes_describe_speakers(desk: Any) -> None:
    desk.write_audio("db/audio/a.wav", "db/audio/b.wav", "db/audio/c.wav", seconds=2.0)
    (desk.folder / "db" / "db.yaml").write_text(
        "name: small\nlicense: CC0-1.0\nlanguages: [deu]\nsource: somewhere\nusage: other\n"
        "raters: {r1: {type: human}, r2: {type: human}, net: {type: machine}}\n"
        "schemes:\n"
        "  emotion: {dtype: str, labels: {W: anger, F: joy}}\n"
        "  speaker: {dtype: str, labels: {'03': {gender: male}, '08': {gender: female, language: eng}}}\n"
        "splits: {dev: {type: dev}}\n"
        "tables:\n"
        "  files: {type: filewise, columns: {speaker: {scheme_id: speaker}}}\n"
        "  raw:\n    type: segmented\n    split_id: dev\n    columns:\n"
        "      one: {scheme_id: emotion, rater_id: r1}\n      two: {scheme_id: emotion, rater_id: r2}\n"
        "      guess: {scheme_id: emotion, rater_id: net}\n"
    )
    (desk.folder / "db" / "db.files.csv").write_text("file,speaker\naudio/a.wav,03\naudio/b.wav,08\naudio/c.wav,08\n")
    (desk.folder / "db" / "db.raw.csv").write_text(
        "file,start,end,one,two,guess\n"
        "audio/a.wav,0 days 00:00:00.250000,0 days 00:00:01.500000,W,F,F\n"
        "audio/a.wav,0 days 00:00:01.500000,,W,W,F\n"
        "audio/b.wav,0 days,,F,,W\n"
        "audio/c.wav,0 days,,F,F,W\n"
    )
    brought = bring(desk.folder / "db", "audformat", desk.manifests)[0]
    found = desk.read_back(brought)
    assert {k: (c.start, c.end, c.votes, c.label, c.speaker, c.gender, c.split) for k, c in found.items()} == {
        "a.wav@0.25": (0.25, 1.5, {"W": 1.0, "F": 1.0}, None, "03", "M", "validation"),
        "a.wav@1.5": (1.5, None, {"W": 2.0}, None, "03", "M", "validation"),
        "b.wav": (None, None, None, "F", "08", "F", "validation"),
        "c.wav": (None, None, {"F": 2.0}, None, "08", "F", "validation"),
    }
    card = read_card(brought.manifest)
    assert card.licence == "CC0-1.0"
    assert card.languages == ("de", "en")
    assert [clip.language for clip in found.values()] == ["de", "de", "en", "en"]
    assert brought.unfilled == []


def test_audformat_pickles_are_not_opened(desk: Any) -> None:
    (desk.folder / "db.yaml").write_text("name: x\ntables: {emotion: {type: filewise, columns: {emotion: {}}}}\n")
    (desk.folder / "db.emotion.pkl").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(DataError, match="storage_format='csv'"):
        bring(desk.folder, "audformat", desk.manifests)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_audformat_databases_that_audformat_writes(desk: Any) -> None:
    library = importlib.import_module("audformat")
    desk.write_audio("db/x/a.wav", "db/x/b.wav")
    database = library.Database("small", languages=["pl"], license="CC0-1.0")
    database.schemes["emotion"] = library.Scheme(labels=["joy", "fear"])
    database["emotion"] = library.Table(library.filewise_index(["x/a.wav", "x/b.wav"]))
    database["emotion"]["emotion"] = library.Column(scheme_id="emotion")
    database["emotion"]["emotion"].set(["joy", "fear"])
    for storage in ("csv", "parquet"):
        database.save(str(desk.folder / "db"), storage_format=storage)
        brought = bring(desk.folder / "db", "audformat", desk.manifests, Wanted(corpus=storage))[0]
        assert {k: (c.label, c.language) for k, c in desk.read_back(brought).items()} == {
            "a.wav": ("joy", "pl"),
            "b.wav": ("fear", "pl"),
        }
        (desk.folder / "db" / "db.emotion.csv").unlink(missing_ok=True)


def test_audiofolder_csv_in_split_folders(desk: Any) -> None:
    desk.write_audio("set/train/one/a.wav", "set/test/b.wav")
    (desk.folder / "set/train/metadata.csv").write_text('file_name,label,transcription\none/a.wav,angry,"a, b"\n')
    (desk.folder / "set/test/metadata.csv").write_text(
        "﻿file_name,label,transcription\nb.wav,happy,\n", encoding="utf-8"
    )
    found = desk.read_back(bring(desk.folder / "set", "audiofolder", desk.manifests)[0])
    assert {key: (clip.label, clip.split, clip.text) for key, clip in found.items()} == {
        "train/one/a.wav": ("angry", "train", "a, b"),
        "test/b.wav": ("happy", "test", None),
    }


def test_audiofolder_lines_of_another_length(desk: Any) -> None:
    (desk.folder / "metadata.csv").write_text("file_name,label\na.wav,angry,too much\n,sad\n")
    with pytest.raises(DataError, match=r"metadata\.csv:2: line: has 3 cells under 2 columns") as told:
        bring(desk.folder, "audiofolder", desk.manifests)
    assert "metadata.csv:3: file_name: is missing; the columns are file_name, label" in str(told.value)
