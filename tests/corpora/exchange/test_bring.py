"""Other projects' lists and rows become corpora; what is wrong with them is named by file, line and field."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.corpora.card import read_card
from valenza.corpora.check import check
from valenza.corpora.exchange.bring import Wanted, bring
from valenza.errors import DataError, UsageError


def test_nemo_cuts_files_and_leaves_others_out(desk: Any) -> None:
    desk.write_audio("wav/a.wav", "wav/b.wav", "wav/not listed.wav", seconds=1.0)
    path = desk.write_lines(
        "list.jsonl",
        {"audio_filepath": "wav/a.wav", "offset": 0.25, "duration": 0.5, "label": "happy", "text": "ja", "speaker": 7},
        {"audio_filepath": "wav/a.wav", "offset": 0.75, "duration": 0.25, "label": "sad", "speaker": 7.0},
        {"audio_filepath": "./wav/../wav/b.wav", "duration": 1.0, "emotion": "angry", "label": "x", "speaker": 8},
    )
    brought = bring(path, "nemo", desk.manifests, Wanted(corpus="Mine"))[0]
    assert brought.corpus == "mine"
    found = desk.read_back(brought)
    assert {key: (clip.start, clip.end, clip.label, clip.speaker) for key, clip in found.items()} == {
        "a.wav@0.25": (0.25, 0.75, "happy", "7"),
        "a.wav@0.75": (0.75, 1.0, "sad", "7"),
        "b.wav": (None, None, "angry", "8"),
    }
    assert found["a.wav@0.25"].text == "ja"
    assert check(read_card(brought.manifest), brought.root, 1).errors == []


def test_nemo_files_of_a_folder_tell_splits(desk: Any) -> None:
    desk.write_audio(*(f"{n}.wav" for n in range(3)))
    for number, split in enumerate(("train_manifest", "dev", "my-test")):
        row = {"audio_filepath": f"{number}.wav", "label": "fear", "speaker": str(number)}
        desk.write_lines(f"{split}.json", row)
    found = desk.read_back(bring(desk.folder, "nemo", desk.manifests)[0])
    assert {key: clip.split for key, clip in found.items()} == {
        "0.wav": "train",
        "1.wav": "validation",
        "2.wav": "test",
    }


def test_absolute_paths_are_for_the_folder_that_the_user_names(desk: Any) -> None:
    desk.write_audio("elsewhere/a.wav", "elsewhere/b.wav")
    rows = [{"audio_filepath": str(desk.folder / "elsewhere" / f"{n}.wav"), "label": "sad"} for n in "ab"]
    path = desk.write_lines("lists/list.jsonl", *rows)
    with pytest.raises(DataError, match=r"list\.jsonl:1: audio_filepath: .* lies outside .*--audio"):
        bring(path, "nemo", desk.manifests)
    found = desk.read_back(bring(path, "nemo", desk.manifests, Wanted(audio=desk.folder / "elsewhere"))[0])
    assert {clip.speaker for clip in found.values()} == {"unknown"}


@pytest.mark.parametrize("written", ["../secret.wav", "wav/../../secret.wav", "link.wav", "linked/secret.wav", "{abs}"])
def test_paths_do_not_leave_the_folder(desk: Any, written: str) -> None:
    desk.write_audio("secret.wav")
    (desk.folder / "list").mkdir()
    (desk.folder / "list" / "link.wav").symlink_to(desk.folder / "secret.wav")
    (desk.folder / "list" / "linked").symlink_to(desk.folder)
    path = desk.write_lines(
        "list/list.jsonl", {"audio_filepath": written.format(abs=desk.folder / "secret.wav"), "label": "sad"}
    )
    before = desk.tree()
    with pytest.raises(DataError, match=r"list\.jsonl:1: audio_filepath: .* lies outside"):
        bring(path, "nemo", desk.manifests)
    assert desk.tree() == before


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
def test_what_is_wrong_is_named_and_nothing_is_written(desk: Any, rows: Any, message: str) -> None:
    desk.write_audio("a.wav", "b.wav")
    (desk.folder / "a.m4a").touch()
    path = desk.folder / "list.jsonl"
    path.write_text(rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows))
    before = desk.tree()
    with pytest.raises(DataError, match=message):
        bring(path, "nemo", desk.manifests)
    assert desk.tree() == before


def test_every_line_is_judged_before_anything_is_said(desk: Any) -> None:
    path = desk.write_lines("list.jsonl", *({"audio_filepath": f"{n}.wav", "label": "sad"} for n in range(30)))
    with pytest.raises(DataError) as told:
        bring(path, "nemo", desk.manifests)
    assert str(told.value).count("there is no") == 20
    assert "and 10 more" in str(told.value)


def test_what_is_there_is_not_overwritten(desk: Any) -> None:
    desk.write_audio("a.wav")
    path = desk.write_lines("list.jsonl", GOOD)
    bring(path, "nemo", desk.manifests)
    before = {p: p.read_bytes() for p in desk.folder.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="exists"):
        bring(path, "nemo", desk.manifests)
    assert {p: p.read_bytes() for p in desk.folder.rglob("*") if p.is_file()} == before


def test_unknown_words_wait_for_the_owner(desk: Any) -> None:
    desk.write_audio("a.wav", "b.wav")
    path = desk.write_lines("list.jsonl", GOOD, {**GOOD, "audio_filepath": "b.wav", "label": "zzyx"})
    brought = bring(path, "nemo", desk.manifests)[0]
    assert brought.unfilled == ["zzyx"]
    with pytest.raises(UsageError, match="zzyx"):
        read_card(brought.manifest)
    filled = brought.manifest.read_text(encoding="utf-8").replace("fill_in", "{anger: 0.5}")
    brought.manifest.write_text(filled, encoding="utf-8")
    assert set(desk.read_back(brought)) == {"a.wav", "b.wav"}


def test_columns_can_be_chosen_and_passed_over(desk: Any) -> None:
    desk.write_audio("a.wav")
    path = desk.write_lines(
        "list.jsonl", {"audio_filepath": "a.wav", "mood": "sad", "label": 3, "split": "later", "who": "x"}
    )
    wanted = Wanted(columns={"label": "mood", "speaker": "who", "split": ""})
    clip = desk.read_back(bring(path, "nemo", desk.manifests, wanted)[0])["a.wav"]
    assert (clip.label, clip.speaker, clip.split) == ("sad", "x", None)
    with pytest.raises(UsageError, match=r"lable.*did you mean 'label'"):
        bring(path, "nemo", desk.manifests, Wanted(columns={"lable": "mood"}))


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
def test_sources_that_are_something_else(desk: Any, form: Any, file: str, content: bytes, message: str) -> None:
    (desk.folder / "set").mkdir()
    (desk.folder / "set" / file).write_bytes(content)
    wanted = Wanted(out=desk.folder / "data") if form == "datasets" else Wanted()
    with pytest.raises(DataError, match=message):
        bring(desk.folder / "set", form, desk.folder / "m", wanted)
    assert desk.tree() == ["set", f"set/{file}"]


words = st.text(st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(words, words, words, st.dictionaries(words, st.floats(0, 1e6), max_size=3)), min_size=1, max_size=3
    )
)
def test_any_text_survives_the_table(desk_in: Any, said: list[tuple[str, str, str, dict[str, float]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        desk = desk_in(Path(folder))
        rows = []
        for number, (label, speaker, text, votes) in enumerate(said):
            (desk.folder / f"{number}.wav").touch()
            row = {"audio_filepath": f"{number}.wav", "label": label.strip() or "x", "speaker": speaker.strip() or "y"}
            kept = {native.strip(): count for native, count in votes.items() if native.strip()}
            rows.append(row | {"text": text, "votes": kept})
        brought = bring(desk.write_lines("list.jsonl", *rows), "nemo", desk.manifests)[0]
        manifest = brought.manifest.read_text(encoding="utf-8").replace(": fill_in", ": sadness")
        brought.manifest.write_text(manifest, encoding="utf-8")
        found = desk.read_back(brought)
    for row in rows:
        clip = found[row["audio_filepath"]]
        assert (clip.label, clip.speaker, clip.text or "") == (row["label"], row["speaker"], row["text"].strip())
        assert (clip.votes or {}) == {native: count for native, count in row["votes"].items() if count}
