"""File names and tables become clips; whatever does not is named with the reason."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from valenza.corpora.card import Card, read_card
from valenza.corpora.parse import Parsed, clips
from valenza.errors import DataError

MANIFESTS = Path(__file__).resolve().parents[2] / "datasets_manifests"
PUBLISHED = {
    "ravdess": (1440, 24, 8),
    "emovo": (588, 6, 7),
    "casia": (1200, 4, 6),
    "turev": (1735, 6, 4),
    "emodb": (339, 10, 4),
}


def card(**changes: object) -> Card:
    base: dict[str, object] = {
        "id": "x",
        "title": "x",
        "languages": ["en", "fr"],
        "licence": "x",
        "audio": "*/*",
        "pattern": r"(?P<label>\w+)/(?P<speaker>[a-z]+)_\d+",
        "labels": {"happy": "happiness", "sad": "sadness"},
    }
    return Card.model_validate({**base, **changes})


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def said(parsed: Parsed) -> list[tuple[str, str, str]]:
    return [(p.path, p.field, p.message) for p in parsed.problems]


@pytest.mark.parametrize("corpus", PUBLISHED)
def test_the_real_corpora_parse_whole(shared: Path, corpus: str) -> None:
    parsed = clips(read_card(MANIFESTS / f"{corpus}.yaml"), shared / "corpora" / corpus)
    assert parsed.problems == []
    found = (len(parsed.clips), len({c.speaker for c in parsed.clips}), len({c.label for c in parsed.clips}))
    assert found == PUBLISHED[corpus]
    assert len({c.id for c in parsed.clips}) == len(parsed.clips)
    assert all(re.fullmatch(rf"{corpus}-[A-Za-z0-9_-]+", c.id) for c in parsed.clips)


def test_ravdess_reads_strength_and_gender(shared: Path) -> None:
    parsed = clips(read_card(MANIFESTS / "ravdess.yaml"), shared / "corpora" / "ravdess")
    strengths = [c.intensity for c in parsed.clips]
    assert (strengths.count(None), strengths.count("01"), strengths.count("02")) == (96, 672, 672)
    assert sum(c.gender == "F" for c in parsed.clips) == 720


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "happy/anna_1.wav", "hapy/anna_2.wav", "sad/anna1.wav", "sad/anna_3.m4a")
    make(root, "sad/notes.txt", "sad/._anna_4.wav", ".git/anna_5.wav")
    make(tmp_path, "elsewhere.wav")
    (root / "sad" / "bert_6.wav").symlink_to(tmp_path / "elsewhere.wav")
    (root / "sad" / "bert_7.wav").symlink_to("nowhere.wav")
    parsed = clips(card(), root)
    problems = {path: (field, message) for path, field, message in said(parsed)}
    assert problems["hapy/anna_2.wav"] == ("label", "'hapy' is not in the manifest's `labels`; did you mean 'happy'?")
    assert problems["sad/anna1.wav"][0] == "pattern"
    assert "reads as far as 'sad/anna'" in problems["sad/anna1.wav"][1]
    assert "convert" in problems["sad/anna_3.m4a"][1]
    assert "link out of" in problems["sad/bert_6.wav"][1]
    assert problems["sad/bert_7.wav"][0] == "audio"
    assert [c.source for c in parsed.clips] == ["happy/anna_1.wav", "hapy/anna_2.wav"]
    assert parsed.not_audio == {"txt": 1, "m4a": 1}


def test_ids_stay_unique_and_short(tmp_path: Path) -> None:
    long = "a" * 150
    root = make(
        tmp_path, "happy/a_1.wav", "happy/a_1.flac", "happy/快乐_1.wav", "happy/悲伤_1.wav", f"sad/{long}_1.wav"
    )
    parsed = clips(card(pattern=r"(?P<label>\w+)/(?P<speaker>\w+)_\d+"), root)
    ids = [c.id for c in parsed.clips]
    assert len(set(ids)) == len(ids) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,128}", i) for i in ids)
    assert ids == [c.id for c in clips(card(pattern=r"(?P<label>\w+)/(?P<speaker>\w+)_\d+"), root).clips]


def test_templates_genders_and_splits(tmp_path: Path) -> None:
    root = make(tmp_path, "happy/anna_1.wav", "sad/bert_2.wav", "sad/x_3.wav")
    parsed = clips(
        card(gender="{speaker}", genders={"anna": "F", "bert": "M"}, splits={"test": ("bert",)}, text="{stem}!"), root
    )
    assert [(c.gender, c.split, c.text) for c in parsed.clips[:2]] == [
        ("F", "train", "anna_1!"),
        ("M", "test", "bert_2!"),
    ]
    assert said(parsed) == [("sad/x_3.wav", "gender", "'x' is not F, M or O; say what it means in `genders`")]


def test_ignored_files_are_counted(tmp_path: Path) -> None:
    parsed = clips(card(ignore=("sad/*",)), make(tmp_path, "happy/anna_1.wav", "sad/broken.wav"))
    assert (len(parsed.clips), parsed.ignored, parsed.problems) == (1, 1, [])


def test_a_table_in_an_old_encoding_gives_votes(tmp_path: Path) -> None:
    root = make(tmp_path, "happy/anna_1.wav", "sad/anna_2.wav", "sad/anna_3.wav")
    text = "Nr.\tDatei \tfröhlich\ttraurig\tArt\n"
    text += "1\tanna_1.wav\t0,75 \t0,25\ta\n2\tanna_2.wav\t\t1,0\ta\n3\tanna_2.wav\t9\t9\tb\n"
    (root / "votes.txt").write_bytes(text.encode("cp1252"))
    table = {
        "path": "votes.txt",
        "key": "Datei",
        "match": "{name}",
        "encoding": "cp1252",
        "decimal": ",",
        "where": {"Art": "a"},
        "votes": {"happy": "fröhlich", "sad": "traurig"},
    }
    parsed = clips(card(tables=[table]), root)
    assert [c.votes for c in parsed.clips] == [{"happy": 0.75, "sad": 0.25}, {"sad": 1.0}]
    assert said(parsed) == [("sad/anna_3.wav", "tables", "votes.txt has no row with Datei = 'anna_3.wav'")]
    assert len(clips(card(tables=[{**table, "optional": True}]), root).clips) == 3
    with pytest.raises(DataError, match="is not utf-8"):
        clips(card(tables=[{**table, "encoding": "utf-8"}]), root)
    with pytest.raises(DataError, match=r"votes.txt:1: has no column 'Dat'; did you mean 'Datei'|no column 'Dat'"):
        clips(card(tables=[{**table, "key": "Dat"}]), root)
    duplicate = said(clips(card(tables=[{**table, "where": {}}]), root))
    assert ("sad/anna_2.wav", "tables", "votes.txt has 2 rows with Datei = 'anna_2.wav' (lines 3, 4)") in duplicate


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_cuts_long_recordings(tmp_path: Path, suffix: str) -> None:
    root = make(tmp_path, "show/a.wav")
    rows = [
        {"file": "a", "from": i * 2.5, "to": i * 2.5 + 2, "who": f"s{i}", "emo": "sad", "part": "dev"} for i in range(3)
    ]
    path = root / f"segments.{suffix}"
    if suffix == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    columns = {"start": "from", "end": "to", "speaker": "who", "label": "emo", "split": "part"}
    parsed = clips(card(pattern="show/.*", tables=[{"path": path.name, "key": "file", "columns": columns}]), root)
    assert parsed.problems == []
    assert [(c.start, c.end, c.speaker, c.label, c.split) for c in parsed.clips] == [
        (0.0, 2.0, "s0", "sad", "validation"),
        (2.5, 4.5, "s1", "sad", "validation"),
        (5.0, 7.0, "s2", "sad", "validation"),
    ]
    assert {c.recording for c in parsed.clips} == {"show/a.wav"}
    assert np.unique([c.id for c in parsed.clips]).size == 3


def test_a_missing_root_or_table_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        clips(card(), tmp_path / "nowhere")
    with pytest.raises(DataError, match="joins this table"):
        clips(card(tables=[{"path": "t.csv", "key": "k"}]), make(tmp_path, "happy/a_1.wav"))
