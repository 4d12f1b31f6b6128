"""Other projects' lists and rows become corpora; what is wrong with them is named by file, line and field."""

import importlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.corpora.card import read_card
from valenza.corpora.check import check
from valenza.corpora.clip import Clip
from valenza.corpora.exchange.bring import Brought, Wanted, bring
from valenza.corpora.parse import clips
from valenza.errors import DataError, UsageError


def tone(number: int, seconds: float = 0.2) -> np.ndarray:
    return 0.4 * np.sin(np.arange(round(seconds * 16_000)) / (10 + number))


def write_audio(folder: Path, *names: str, seconds: float = 0.2) -> None:
    for number, file in enumerate(names):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / file, tone(number, seconds), 16_000)


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_back(brought: Brought) -> dict[str, Clip]:
    """The clips by file, which must all be there without a problem."""
    card = read_card(brought.manifest)
    parsed = clips(card, brought.root)
    assert not parsed.problems
    assert len(parsed.clips) == brought.clips == card.expect.clips
    return {clip.source + ("" if clip.start is None else f"@{clip.start:g}"): clip for clip in parsed.clips}


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    return tmp_path / "manifests"


def nemo(folder: Path, *rows: Mapping[str, Any], file: str = "list.jsonl") -> Path:
    return write_lines(folder / file, rows)


def test_nemo_cuts_files_and_leaves_others_out(tmp_path: Path, manifests: Path) -> None:
    write_audio(tmp_path, "wav/a.wav", "wav/b.wav", "wav/not listed.wav", seconds=1.0)
    path = nemo(
        tmp_path,
        {"audio_filepath": "wav/a.wav", "offset": 0.25, "duration": 0.5, "label": "happy", "text": "ja", "speaker": 7},
        {"audio_filepath": "wav/a.wav", "offset": 0.75, "duration": 0.25, "label": "sad", "speaker": 7.0},
        {"audio_filepath": "./wav/../wav/b.wav", "duration": 1.0, "emotion": "angry", "label": "x", "speaker": 8},
    )
    brought = bring(path, "nemo", manifests, Wanted(corpus="Mine"))[0]
    assert brought.corpus == "mine"
    found = read_back(brought)
    assert {key: (clip.start, clip.end, clip.label, clip.speaker) for key, clip in found.items()} == {
        "a.wav@0.25": (0.25, 0.75, "happy", "7"),
        "a.wav@0.75": (0.75, 1.0, "sad", "7"),
        "b.wav": (None, None, "angry", "8"),
    }
    assert found["a.wav@0.25"].text == "ja"
    assert check(read_card(brought.manifest), brought.root, 1).errors == []


def test_nemo_files_of_a_folder_tell_splits(tmp_path: Path, manifests: Path) -> None:
    write_audio(tmp_path, *(f"{n}.wav" for n in range(3)))
    for number, split in enumerate(("train_manifest", "dev", "my-test")):
        row = {"audio_filepath": f"{number}.wav", "label": "fear", "speaker": str(number)}
        nemo(tmp_path, row, file=f"{split}.json")
    found = read_back(bring(tmp_path, "nemo", manifests)[0])
    assert {key: clip.split for key, clip in found.items()} == {
        "0.wav": "train",
        "1.wav": "validation",
        "2.wav": "test",
    }


def test_absolute_paths_are_for_the_folder_that_the_user_names(tmp_path: Path, manifests: Path) -> None:
    write_audio(tmp_path / "elsewhere", "a.wav", "b.wav")
    rows = [{"audio_filepath": str(tmp_path / "elsewhere" / f"{n}.wav"), "label": "sad"} for n in "ab"]
    path = nemo(tmp_path / "lists", *rows)
    with pytest.raises(DataError, match=r"list\.jsonl:1: audio_filepath: .* lies outside .*--audio"):
        bring(path, "nemo", manifests)
    found = read_back(bring(path, "nemo", manifests, Wanted(audio=tmp_path / "elsewhere"))[0])
    assert {clip.speaker for clip in found.values()} == {"unknown"}


@pytest.mark.parametrize("written", ["../secret.wav", "wav/../../secret.wav", "link.wav", "linked/secret.wav", "{abs}"])
def test_paths_do_not_leave_the_folder(tmp_path: Path, manifests: Path, written: str) -> None:
    write_audio(tmp_path, "secret.wav")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "link.wav").symlink_to(tmp_path / "secret.wav")
    (tmp_path / "list" / "linked").symlink_to(tmp_path)
    path = nemo(tmp_path / "list", {"audio_filepath": written.format(abs=tmp_path / "secret.wav"), "label": "sad"})
    before = tree(tmp_path)
    with pytest.raises(DataError, match=r"list\.jsonl:1: audio_filepath: .* lies outside"):
        bring(path, "nemo", manifests)
    assert tree(tmp_path) == before


GOOD = {"audio_filepath": "a.wav", "label": "happy", "speaker": "x"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('{"audio_filepath": "a.wav"', r"list\.jsonl:1: line: is not JSON"),
        ("[1, 2]", r"list\.jsonl:1: line: expected one JSON object"),
        ([{"label": "happy"}], r":1: audio_filepath: is missing; the fields are label"),
        ([{**GOOD, "audio_filepath": "c.wav"}], r":1: audio_filepath: there is no 'c\.wav' under"),
        ([{**GOOD, "audio_filepath": 3}], r":1: audio_filepath: 3 is not a path"),
        ([{**GOOD, "audio_filepath": "a.m4a"}], r":1: audio_filepath: 'a\.m4a' is not a file that libsndfile reads"),
        ([{**GOOD, "audio_filepath": "a\ud800.wav"}], r":1: audio_filepath: .* is not a path"),
        ([GOOD, GOOD], r":2: file: a\.wav is there twice; first in .*:1"),
        ([GOOD, {**GOOD, "audio_filepath": "./a.wav"}], r":2: file: a\.wav is there twice"),
        ([{**GOOD, "label": ""}], r":1: label: none of emotion, label, .* is filled"),
        ([{**GOOD, "label": {"a": 1}}], r":1: label: expected one label, not dict"),
        ([GOOD, {"audio_filepath": "b.wav", "label": "sad"}], r":2: speaker: is missing; other clips have one"),
        ([{**GOOD, "lang": "de"}, {**GOOD, "audio_filepath": "b.wav"}], r":2: language: is missing; other clips"),
        ([{**GOOD, "offset": 1.0}], r":1: duration: with an offset"),
        ([{**GOOD, "start": -1}], r":1: start: -1 is not a number of seconds"),
        ([{**GOOD, "start": "soon"}], r":1: start: 'soon' is not a number of seconds"),
        ([{**GOOD, "split": "later"}], r":1: split: 'later' is not train, validation or test"),
        ([{**GOOD, "language": "Elvish tongue"}], r":1: language: 'Elvish tongue' is neither"),
        ([{**GOOD, "votes": {"happy": -1}}], r":1: votes: expected label → number"),
        ([{**GOOD, "votes": ["happy"]}], r":1: votes: expected label → number"),
        ([{**GOOD, "text": "\udc80"}], r":1: text: holds what is not Unicode"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(tmp_path: Path, rows: Any, message: str) -> None:
    write_audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.m4a").touch()
    path = tmp_path / "list.jsonl"
    path.write_text(rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows))
    before = tree(tmp_path)
    with pytest.raises(DataError, match=message):
        bring(path, "nemo", tmp_path / "manifests")
    assert tree(tmp_path) == before


def test_every_line_is_judged_before_anything_is_said(tmp_path: Path) -> None:
    path = nemo(tmp_path, *({"audio_filepath": f"{n}.wav", "label": "sad"} for n in range(30)))
    with pytest.raises(DataError) as told:
        bring(path, "nemo", tmp_path / "manifests")
    assert str(told.value).count("there is no") == 20
    assert "and 10 more" in str(told.value)


def test_what_is_there_is_not_overwritten(tmp_path: Path, manifests: Path) -> None:
    write_audio(tmp_path, "a.wav")
    path = nemo(tmp_path, GOOD)
    bring(path, "nemo", manifests)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="exists"):
        bring(path, "nemo", manifests)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_unknown_words_wait_for_the_owner(tmp_path: Path, manifests: Path) -> None:
    write_audio(tmp_path, "a.wav", "b.wav")
    path = nemo(tmp_path, GOOD, {**GOOD, "audio_filepath": "b.wav", "label": "zzyx"})
    brought = bring(path, "nemo", manifests)[0]
    assert brought.unfilled == ["zzyx"]
    with pytest.raises(UsageError, match="zzyx"):
        read_card(brought.manifest)
    filled = brought.manifest.read_text(encoding="utf-8").replace("fill_in", "{anger: 0.5}")
    brought.manifest.write_text(filled, encoding="utf-8")
    assert set(read_back(brought)) == {"a.wav", "b.wav"}


def test_columns_can_be_chosen_and_passed_over(tmp_path: Path, manifests: Path) -> None:
    write_audio(tmp_path, "a.wav")
    path = nemo(tmp_path, {"audio_filepath": "a.wav", "mood": "sad", "label": 3, "split": "later", "who": "x"})
    wanted = Wanted(columns={"label": "mood", "speaker": "who", "split": ""})
    clip = read_back(bring(path, "nemo", manifests, wanted)[0])["a.wav"]
    assert (clip.label, clip.speaker, clip.split) == ("sad", "x", None)
    with pytest.raises(UsageError, match=r"lable.*did you mean 'label'"):
        bring(path, "nemo", manifests, Wanted(columns={"lable": "mood"}))


@pytest.fixture
def emobox(tmp_path: Path) -> Path:
    """Six clips whose rows are of EmoBox's two kinds and have no speaker, and two folds."""
    names = [f"0{s}a0{n}W" for s in (3, 8) for n in (1, 2, 3)]
    write_audio(tmp_path / "downloads/emodb/wav", *(f"{name}.wav" for name in names))
    rows = [
        {"key": f"emodb-{name}", "dataset": "emodb", "type": "raw", "sample_rate": 16000, "length": 0.2, "channel": 1}
        | (
            {"wav": f"downloads/emodb/wav/{name}.wav", "emo": "boredem", "task": "category"}
            if number % 2
            else {"audio": f"downloads/emodb/wav/{name}.wav", "label": "happy", "num_frame": 3200.0}
        )
        for number, name in enumerate(names)
    ]
    folder = tmp_path / "data" / "emodb"
    write_lines(folder / "emodb.jsonl", rows)
    (folder / "label_map.json").write_text('{"boredem": "Boredom", "happy": "Happy"}')
    for fold, test in ((1, rows[:3]), (2, rows[3:])):
        write_lines(folder / f"fold_{fold}" / f"emodb_test_fold_{fold}.jsonl", test)
        train = [row for row in rows if row not in test]
        write_lines(folder / f"fold_{fold}" / f"emodb_train_fold_{fold}.jsonl", train)
    return folder


def test_emobox_rows_folds_and_label_map(emobox: Path, manifests: Path) -> None:
    wanted = Wanted(fold=1, pattern="/(?P<speaker>[0-9]{2})[a-z][0-9]{2}W$")
    found = read_back(bring(emobox, "emobox", manifests, wanted)[0])
    assert {key: (clip.speaker, clip.split) for key, clip in found.items()} == {
        f"0{s}a0{n}W.wav": (f"0{s}", "test" if s == 3 else "train") for s in (3, 8) for n in (1, 2, 3)
    }
    assert sorted(read_card(manifests / "emodb.yaml").labels) == ["boredem", "happy"]


def test_emobox_without_a_fold_has_no_splits(emobox: Path, manifests: Path) -> None:
    brought = bring(emobox / "emodb.jsonl", "emobox", manifests)[0]
    assert brought.notes == ["2 folds; --fold N takes the splits of one"]
    assert {clip.split for clip in read_back(brought).values()} == {None}
    with pytest.raises(UsageError, match="has no fold 3; it has 1, 2"):
        bring(emobox, "emobox", manifests, Wanted(fold=3))


def test_emobox_keys_must_agree(emobox: Path, tmp_path: Path) -> None:
    path = emobox / "fold_1" / "emodb_test_fold_1.jsonl"
    path.write_text(
        path.read_text() + (emobox / "fold_2" / "emodb_test_fold_2.jsonl").read_text() + '{"key": "lost"}\n'
    )
    with pytest.raises(DataError) as told:
        bring(emobox, "emobox", tmp_path / "m", Wanted(fold=1))
    assert "'emodb-08a01W' is in test too" in str(told.value)
    assert "'lost' is not in emodb.jsonl" in str(told.value)


def test_audformat_raters_are_votes_and_schemes_describe_speakers(tmp_path: Path, manifests: Path) -> None:
    write_audio(tmp_path / "db/audio", "a.wav", "b.wav", "c.wav", seconds=2.0)
    (tmp_path / "db" / "db.yaml").write_text(
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
    (tmp_path / "db" / "db.files.csv").write_text("file,speaker\naudio/a.wav,03\naudio/b.wav,08\naudio/c.wav,08\n")
    (tmp_path / "db" / "db.raw.csv").write_text(
        "file,start,end,one,two,guess\n"
        "audio/a.wav,0 days 00:00:00.250000,0 days 00:00:01.500000,W,F,F\n"
        "audio/a.wav,0 days 00:00:01.500000,,W,W,F\n"
        "audio/b.wav,0 days,,F,,W\n"
        "audio/c.wav,0 days,,F,F,W\n"
    )
    brought = bring(tmp_path / "db", "audformat", manifests)[0]
    found = read_back(brought)
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


def test_audformat_pickles_are_not_opened(tmp_path: Path, manifests: Path) -> None:
    (tmp_path / "db.yaml").write_text("name: x\ntables: {emotion: {type: filewise, columns: {emotion: {}}}}\n")
    (tmp_path / "db.emotion.pkl").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(DataError, match="storage_format='csv'"):
        bring(tmp_path, "audformat", manifests)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_audformat_databases_that_audformat_writes(tmp_path: Path, manifests: Path) -> None:
    library = importlib.import_module("audformat")
    write_audio(tmp_path / "db", "x/a.wav", "x/b.wav")
    database = library.Database("small", languages=["pl"], license="CC0-1.0")
    database.schemes["emotion"] = library.Scheme(labels=["joy", "fear"])
    database["emotion"] = library.Table(library.filewise_index(["x/a.wav", "x/b.wav"]))
    database["emotion"]["emotion"] = library.Column(scheme_id="emotion")
    database["emotion"]["emotion"].set(["joy", "fear"])
    for storage in ("csv", "parquet"):
        database.save(str(tmp_path / "db"), storage_format=storage)
        brought = bring(tmp_path / "db", "audformat", manifests, Wanted(corpus=storage))[0]
        assert {k: (c.label, c.language) for k, c in read_back(brought).items()} == {
            "a.wav": ("joy", "pl"),
            "b.wav": ("fear", "pl"),
        }
        (tmp_path / "db" / "db.emotion.csv").unlink(missing_ok=True)


def test_audiofolder_csv_in_split_folders(tmp_path: Path, manifests: Path) -> None:
    write_audio(tmp_path / "set", "train/one/a.wav", "test/b.wav")
    (tmp_path / "set/train/metadata.csv").write_text('file_name,label,transcription\none/a.wav,angry,"a, b"\n')
    (tmp_path / "set/test/metadata.csv").write_text("﻿file_name,label,transcription\nb.wav,happy,\n", encoding="utf-8")
    found = read_back(bring(tmp_path / "set", "audiofolder", manifests)[0])
    assert {key: (clip.label, clip.split, clip.text) for key, clip in found.items()} == {
        "train/one/a.wav": ("angry", "train", "a, b"),
        "test/b.wav": ("happy", "test", None),
    }


def test_audiofolder_lines_of_another_length(tmp_path: Path, manifests: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,label\na.wav,angry,too much\n,sad\n")
    with pytest.raises(DataError, match=r"metadata\.csv:2: line: has 3 cells under 2 columns") as told:
        bring(tmp_path, "audiofolder", manifests)
    assert "metadata.csv:3: file_name: is missing; the columns are file_name, label" in str(told.value)


@pytest.mark.parametrize(
    ("form", "file", "content", "message"),
    [
        ("nemo", "list.jsonl", b'{"label": "\xff"}', r"list\.jsonl: is not UTF-8"),
        ("nemo", "notes.txt", b"", r"holds no \.json or \.jsonl"),
        ("emobox", "other.jsonl", b"", r"set\.jsonl: there is no such list"),
        ("audiofolder", "a.wav", b"", r"holds no metadata\.csv"),
        ("audiofolder", "metadata.parquet", b"PAR1", r"metadata\.parquet: cannot be read"),
        ("audformat", "db.csv", b"", r"db\.yaml: there is no such header"),
        ("audformat", "db.yaml", b"{", r"db\.yaml: is not YAML"),
        ("audformat", "db.yaml", b"name: x", r"db\.yaml: tables: is missing"),
        ("audformat", "db.yaml", b"tables: {../../x: {}}", r"'\.\./\.\./x' is no name of a table"),
        ("datasets", "x.txt", b"", r"holds no \.parquet or \.arrow"),
        ("datasets", "x.parquet", b"PAR1", r"x\.parquet: cannot be read"),
        ("datasets", "x.arrow", b"ARROW1", r"x\.arrow: cannot be read"),
    ],
)
def test_sources_that_are_something_else(tmp_path: Path, form: Any, file: str, content: bytes, message: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / file).write_bytes(content)
    wanted = Wanted(out=tmp_path / "data") if form == "datasets" else Wanted()
    with pytest.raises(DataError, match=message):
        bring(tmp_path / "set", form, tmp_path / "m", wanted)
    assert tree(tmp_path) == ["set", f"set/{file}"]


words = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(words, words, words, st.dictionaries(words, st.floats(0, 1e6), max_size=3)), min_size=1, max_size=3
    )
)
def test_any_text_survives_the_table(said: list[tuple[str, str, str, dict[str, float]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = []
        for number, (label, speaker, text, votes) in enumerate(said):
            (root / f"{number}.wav").touch()
            row = {"audio_filepath": f"{number}.wav", "label": label.strip() or "x", "speaker": speaker.strip() or "y"}
            kept = {native.strip(): count for native, count in votes.items() if native.strip()}
            rows.append(row | {"text": text, "votes": kept})
        brought = bring(write_lines(root / "list.jsonl", rows), "nemo", root / "manifests")[0]
        manifest = brought.manifest.read_text(encoding="utf-8").replace(": fill_in", ": sadness")
        brought.manifest.write_text(manifest, encoding="utf-8")
        found = read_back(brought)
    for row in rows:
        clip = found[row["audio_filepath"]]
        assert (clip.label, clip.speaker, clip.text or "") == (row["label"], row["speaker"], row["text"].strip())
        assert (clip.votes or {}) == {native: count for native, count in row["votes"].items() if count}
