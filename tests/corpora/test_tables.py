"""Tables join to clips on columns or templates of them, from one file or many, and tell what they cannot."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile

from valenza.corpora.card import Card, Format, Table
from valenza.corpora.check import check
from valenza.corpora.parse import Parsed, clips
from valenza.corpora.readers import READERS
from valenza.errors import DataError, UsageError
from valenza.mixture.admission import problems


def card(*tables: dict[str, Any], **changes: Any) -> Card:
    base: dict[str, Any] = {
        "id": "x",
        "title": "x",
        "languages": ["en"],
        "licence": "x",
        "audio": "*/*",
        "pattern": r"(?P<part>[a-z]+)/(?P<turn>\d+)",
        "speaker": "{part}",
        "labels": {"happy": "happiness", "sad": "sadness"},
        "tables": list(tables),
    }
    return Card.model_validate({**base, **changes})


def make(root: Path, **files: str) -> Path:
    for name in ("a/1.wav", "a/2.wav", "b/1.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return root


def said(parsed: Parsed) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in parsed.problems]


A_GLOB = {
    "path": "say_*.csv",
    "key": "{file}/{turn}",
    "match": "say_{part}/{turn}",
    "columns": {"label": "emotion", "speaker": "{who}{nr}", "recording": "{file}"},
}


def test_every_format_has_one_reader() -> None:
    assert {*READERS, "auto"} == set(get_args(Format))


def test_several_files_are_one_table_joined_on_a_template(tmp_path: Path) -> None:
    rows = "turn,emotion,who,nr\n1,sad,F,1\n2,happy,M,2\n"
    root = make(tmp_path, say_a__csv=rows, say_b__csv="nr,turn,emotion,who\n7,1,happy,F\n", _say_c__csv="not a table")
    (root / "._say_a.csv").write_bytes(b"\0\5\26\7")
    parsed = clips(card(A_GLOB), root)
    assert parsed.problems == []
    assert [(c.source, c.label, c.speaker, c.recording) for c in parsed.clips] == [
        ("a/1.wav", "sad", "F1", "say_a"),
        ("a/2.wav", "happy", "M2", "say_a"),
        ("b/1.wav", "happy", "F7", "say_b"),
    ]


def test_each_file_is_named_with_its_own_faults(tmp_path: Path) -> None:
    rows = "turn,emotion,who,nr\n1,sad,F,1\n1,sad,F,1\n2,happy,M,2\n"
    root = make(tmp_path, say_a__csv=rows, say_b__csv="turn,emotion,who,number\n1,happy,F,7\n")
    with pytest.raises(DataError, match=r"say_b.csv:1: has no column 'nr'"):
        clips(card(A_GLOB), root)
    (root / "say_b.csv").write_text("turn,emotion,who,nr\n")
    messages = dict(said(clips(card(A_GLOB), root)))
    assert messages["a/1.wav"].endswith("rows with {file}/{turn} = 'say_a/1' (lines 2, 3)")
    assert messages["b/1.wav"] == "say_*.csv has no row with {file}/{turn} = 'say_b/1'"
    (root / "say_copy.csv").write_text(rows)
    shared = {**A_GLOB, "key": "{turn}", "match": "{turn}"}
    assert "(say_a.csv:4, say_copy.csv:4)" in dict(said(clips(card(shared), root)))["a/2.wav"]


def test_a_table_may_select_or_be_missing(tmp_path: Path) -> None:
    root = make(tmp_path, say_a__csv="turn,emotion,who,nr\n1,sad,F,1\n")
    parsed = clips(card({**A_GLOB, "selects": True}), root)
    assert ([c.source for c in parsed.clips], parsed.problems, parsed.ignored) == (["a/1.wav"], [], 2)
    (root / "say_a.csv").unlink()
    with pytest.raises(DataError, match="joins this table"):
        clips(card({**A_GLOB, "selects": True}), root)
    labelled = card({**A_GLOB, "optional": True}, label="happy")
    assert len(clips(labelled, root).clips) == 3
    for path in root.glob("*/*.wav"):
        soundfile.write(path, np.random.default_rng(len(str(path))).uniform(-0.1, 0.1, 4000), 16_000)
    notes = [(p.path, p.message) for p in check(labelled, root, jobs=1).notes]
    assert ("say_*.csv", "is not there; the manifest can do without it") in notes


@pytest.mark.parametrize("change", [{"key": "{turn"}, {"columns": {"label": "emotion}"}}])
def test_a_template_without_its_other_brace_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a brace that is not part"):
        Table.model_validate({"path": "t.csv", "key": "k", **change})


def test_a_table_cannot_select_what_it_keeps() -> None:
    with pytest.raises(ValueError, match="so nothing is selected"):
        Table.model_validate({"path": "t.csv", "key": "k", "optional": True, "selects": True})


def test_marks_keep_their_zeros_and_counts_do_not(tmp_path: Path) -> None:
    root = make(tmp_path, say_a__csv="turn,h,s\n1,0,2\n2,0,0\n", say_b__csv="turn,h,s\n1,,1\n")
    table = {**A_GLOB, "columns": {}, "votes": {"happy": "h", "sad": "s"}}
    counted = clips(card(table), root)
    assert [c.votes for c in counted.clips] == [{"sad": 2.0}, {"sad": 1.0}]
    assert said(counted) == [("a/2.wav", "neither the name nor a table gives one")]
    marked = clips(card(table, ratings=3), root)
    assert marked.problems == []
    assert [c.votes for c in marked.clips] == [{"happy": 0.0, "sad": 2.0}, {"happy": 0.0, "sad": 0.0}, {"sad": 1.0}]


def test_a_readers_bad_lines_are_problems_of_the_table_or_of_the_clip(tmp_path: Path) -> None:
    root = make(tmp_path, evaluation__txt="")
    lines = ["[0.1 - 1.0]\tSes1\tneu\t[1, 1, 1]", "C-E1:\tNeutrl;\t()", "[0.1 - 1.0]\tSes2 neu", "C-E1:\tAnger;\t()"]
    (root / "evaluation.txt").write_text("\n".join(lines))
    table = {
        "path": "evaluation.txt",
        "format": "iemocap",
        "key": "turn",
        "match": "Ses{turn}",
        "votes": {"happy": "Happiness"},
    }
    messages = said(clips(card(table), root))
    assert (
        "evaluation.txt",
        "line 3: '[0.1 - 1.0]\\tSes2 neu' begins a turn, but is not `[start - end] turn code [v, a, d]`",
    ) in messages
    assert any(
        path == "a/1.wav" and m.startswith("evaluation.txt:1: line 2: the rater's word 'Neutrl'")
        for path, m in messages
    )
    (root / "evaluation.txt").write_bytes(b"[0.1 - 1.0]\tSes1\tneu\t[1]\nC-E1:\tNeutral;\t(\xe9)\n")
    with pytest.raises(DataError, match=r"evaluation.txt: is not utf-8"):
        clips(card(table), root)


def test_speech_without_labels_is_stored_but_not_trained_on(tmp_path: Path) -> None:
    root = make(tmp_path / "x")
    unlabelled = card(labels={})
    parsed = clips(unlabelled, root)
    assert (len(parsed.clips), parsed.problems, unlabelled.classes) == (3, [], ())
    shards = tmp_path / "shards"
    for name, labels in (("x", {}), ("y", {"happy": "happiness"})):
        (shards / name).mkdir(parents=True)
        manifest = card(id=name, labels=labels, label="happy", languages=["en"]).model_dump(
            mode="json", exclude_defaults=True
        )
        (shards / name / "card.yaml").write_text(json.dumps(manifest))
    recipe = {"data": {"shards": str(shards), "train": {"x": 1, "y": 1}, "zero_shot": ["x"], "claim": "cross_corpus"}}
    found = dict(problems(recipe))
    assert found.keys() == {("data", "train", "x"), ("data", "zero_shot", 0)}
    assert "nobody labelled x" in found["data", "train", "x"]
    assert not list(problems({"stage": "teacher", "data": {**recipe["data"], "zero_shot": []}})), "a teacher labels it"


def test_a_manifest_must_say_whether_there_are_labels() -> None:
    with pytest.raises(ValueError, match="labels"):
        Card.model_validate(
            {"id": "x", "title": "x", "languages": ["en"], "licence": "x", "audio": "*", "pattern": "(?P<speaker>.)"}
        )


def test_films_beside_their_converted_sound_are_passed_over(tmp_path: Path) -> None:
    root = make(tmp_path)
    for name in ("a/1.mp4", "a/2.avi", "b/9.mp4"):
        (root / name).touch()
    parsed = clips(card(label="happy"), root)
    assert said(parsed) == [("b/9.mp4", "libsndfile does not read .mp4; convert it")]
    assert parsed.not_audio == {"mp4": 2, "avi": 1}


def test_a_missing_library_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    root = make(tmp_path, labels__csd="")
    with pytest.raises(UsageError, match="install h5py"):
        clips(card({"path": "labels.csd", "format": "mosei", "key": "video"}, label="happy"), root)
