"""What is exported comes back as the same clips, and the projects it is for can read it."""

import csv
import importlib
import io
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from valenza.corpora.card import read_card
from valenza.corpora.check import check
from valenza.corpora.clip import Clip
from valenza.corpora.exchange.bring import Brought, Wanted, bring
from valenza.corpora.parse import clips
from valenza.errors import ShardError, UsageError
from valenza.shards.audio import load
from valenza.shards.export.clips import StoredCorpus, stored
from valenza.shards.export.croissant import describe
from valenza.shards.export.hand_over import export
from valenza.shards.write import build

FORMATS = ("nemo", "emobox", "audformat", "audiofolder", "datasets", "cameo")
CARD = """id: {id}
title: "Tones: of {id}"
languages: [de, it]
licence: CC BY-NC 4.0
homepage: https://example.org/{id}
citation: Müller 2020, „Töne“
audio: "**/*.wav"
pattern: '.+'
tables:
  - path: facts.tsv
    key: file
    match: '{{path}}'
    columns: {columns}
    votes: {{happy: v1, sad: v2, angry: v3}}
labels: {{happy: happiness, sad: sadness, angry: anger, calm: {{neutral: 0.9, happiness: 0.1}}}}
"""
FACTS = ("label", "speaker", "gender", "language", "text", "recording", "intensity", "split")
LABELS = ("happy", "sad", "angry", "calm")
SPLITS = ("train", "train", "train", "validation", "test", "test")


def write_corpus(root: Path, *, splits: bool) -> None:
    """24 clips of 6 speakers: folders and spaces in names, votes here and there, text with all that breaks tables."""
    rng = np.random.default_rng(3)
    rows: list[dict[str, Any]] = []
    for number in range(24):
        person, label = number % 6, LABELS[number // 6]
        file = f"Sprecher {person}/{label}-{number:02d}.a"
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        samples = 0.3 * np.sin(np.arange(3000 + 40 * number) / (9 + number)) + 0.01 * rng.standard_normal(
            3000 + 40 * number
        )
        soundfile.write(root / f"{file}.wav", samples, 16_000)
        voted = {"v1": 2.5, "v2": 1 / 3} if number % 4 == 0 else {"v3": 3} if number % 8 == 3 else {}
        row = {
            "file": file,
            "label": "" if number % 8 == 0 else label,
            "speaker": f"0{person}",
            "gender": "FMO"[person % 3] if person else "",
            "language": "it" if person == 5 else "de",
            "text": ("", "Grüße, „Welt“", 'sagt "nein"; \tdann\nnichts', "NA", "007")[number % 5],
            "recording": f"take {person} {number % 4}",
            "intensity": ("", "strong")[number % 2],
            "split": SPLITS[person] if splits else "",
        }
        rows.append(row | {"v1": "", "v2": "", "v3": ""} | voted)
    with (root / "facts.tsv").open("w", encoding="utf-8", newline="") as out:
        lines = csv.DictWriter(out, list(rows[0]), delimiter="\t")
        lines.writeheader()
        lines.writerows(rows)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two corpora that differ in having splits."""
    place = tmp_path_factory.mktemp("exchange")
    for name, splits in (("parted", True), ("whole-one", False)):
        write_corpus(place / "raw" / name, splits=splits)
        columns = "{" + ", ".join(f"{fact}: {fact}" for fact in FACTS) + "}"
        (place / f"{name}.yaml").write_text(CARD.format(id=name, columns=columns), encoding="utf-8")
        card = read_card(place / f"{name}.yaml")
        parsed = clips(card, place / "raw" / name)
        assert len(parsed.clips) == 24
        assert not parsed.problems
        build(card, place / f"{name}.yaml", parsed.clips, place / "shards")
    return place / "shards"


Bring = Callable[..., Brought]


@pytest.fixture
def bring_back(shards: Path, tmp_path: Path) -> Bring:
    """Export one corpus and import it again; the manifest gets what its owner would have to fill in."""

    def there_and_back(corpus: str, form: Any, **wanted: Any) -> Brought:
        export(shards, [corpus], form, tmp_path / "out")
        source = tmp_path / "out" / (f"data/{corpus}" if form == "emobox" else corpus)
        if form in {"datasets", "cameo"}:
            wanted["out"] = tmp_path / "data"
        if form != "cameo":
            wanted["corpus"] = corpus
        return bring(source, form, tmp_path / "manifests", Wanted(**wanted))[0]

    return there_and_back


def same_clips(corpus: StoredCorpus, found: list[Clip]) -> Iterator[tuple[Any, Clip]]:
    by_name = {clip.audio.stem: clip for clip in found}
    assert sorted(by_name) == sorted(clip.name for clip in corpus.clips)
    return ((clip, by_name[clip.name]) for clip in corpus.clips)


@pytest.mark.parametrize(("corpus", "form"), list(itertools.product(("parted", "whole-one"), FORMATS)))
def test_export_and_import_are_each_others_inverse(shards: Path, bring_back: Bring, corpus: str, form: str) -> None:
    brought = bring_back(corpus, form)
    card = read_card(brought.manifest)
    parsed = clips(card, brought.root)
    assert not parsed.problems
    assert card.languages == ("de", "it")
    assert brought.unfilled == []
    before = stored(shards, corpus)
    for was, now in same_clips(before, parsed.clips):
        assert (now.label, now.speaker, now.language) == (was.label, was.speaker, was.language)
        assert now.gender == (was.gender[0].upper() if was.gender else None)
        assert now.text == was.text
        if form != "cameo":
            assert (now.votes or {}) == was.votes
            assert (now.recording, now.intensity) == (was.recording, was.intensity)
            assert now.split == was.split
        assert np.array_equal(load(now), before.reader.audio(was.row))
    if corpus == "parted":  # once for each format, since it starts a process
        report = check(card, brought.root, 1)
        assert report.errors == []
        assert (report.clips, report.speakers) == (24, 6)


@pytest.mark.parametrize("form", ["nemo", "emobox", "audformat"])
def test_ids_survive_where_files_lie_in_one_folder(shards: Path, bring_back: Bring, form: str) -> None:
    brought = bring_back("whole-one", form)
    ids = {clip.id for clip in clips(read_card(brought.manifest), brought.root).clips}
    assert ids == set(pq.read_table(shards / "whole-one" / "index.parquet")["id"].to_pylist())


def test_an_imported_corpus_builds_shards(bring_back: Bring, tmp_path: Path) -> None:
    brought = bring_back("parted", "audiofolder")
    card = read_card(brought.manifest)
    report = build(card, brought.manifest, clips(card, brought.root).clips, tmp_path / "again")
    assert report.description.clips == 24


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_emobox_folds_keep_speakers_apart(shards: Path, bring_back: Bring, tmp_path: Path) -> None:
    export(shards, ["whole-one"], "emobox", tmp_path / "folds")
    data = tmp_path / "folds" / "data" / "whole-one"
    everyone = {line["key"] for line in lines(data / "whole-one.jsonl")}
    tested: list[str] = []
    for number in range(1, 6):
        fold = {s: lines(data / f"fold_{number}" / f"whole-one_{s}_fold_{number}.jsonl") for s in ("train", "test")}
        heard = {split: {line["speaker"] for line in rows} for split, rows in fold.items()}
        assert heard["train"].isdisjoint(heard["test"])
        assert {line["key"] for rows in fold.values() for line in rows} == everyone
        tested += [line["key"] for line in fold["test"]]
    assert sorted(tested) == sorted(everyone)
    assert json.loads((data / "label_map.json").read_text())["calm"] == "Neutral"
    parsed = clips(read_card(bring_back("whole-one", "emobox", fold=2).manifest), tmp_path / "out/downloads/whole-one")
    held = {line["key"] for line in lines(data / "fold_2" / "whole-one_test_fold_2.jsonl")}
    assert {clip.id for clip in parsed.clips if clip.split == "test"} == held


def test_official_splits_are_emobox_fold_1(shards: Path, tmp_path: Path) -> None:
    export(shards, ["parted"], "emobox", tmp_path / "out")
    data = tmp_path / "out" / "data" / "parted"
    assert sorted(p.name for p in data.glob("fold_*/*")) == [
        f"parted_{s}_fold_1.jsonl" for s in ("test", "train", "valid")
    ]
    assert {line["speaker"] for line in lines(data / "fold_1" / "parted_valid_fold_1.jsonl")} == {"03"}


@pytest.mark.parametrize("form", ["datasets", "cameo"])
def test_hugging_face_datasets_reads_the_rows(shards: Path, tmp_path: Path, form: Any) -> None:
    library = importlib.import_module("datasets")
    library.disable_progress_bars()
    export(shards, ["parted"], form, tmp_path / "out")
    found = library.load_dataset(str(tmp_path / "out" / "parted"), cache_dir=str(tmp_path / "cache"))
    corpus = stored(shards, "parted")
    assert {split: len(found[split]) for split in found} == (
        {"parted": 24} if form == "cameo" else {"train": 12, "validation": 4, "test": 8}
    )
    by_name = {clip.name: clip for clip in corpus.clips}
    for rows in found.values():
        assert rows.features["audio"] == library.Audio(sampling_rate=16_000)
        for row in rows.cast_column("audio", library.Audio(decode=False)):
            clip = by_name[Path(row["audio"]["path"]).stem]
            assert row["audio"]["bytes"] == corpus.reader.flac(clip.row)
            assert row["emotion"] == clip.label
            assert row["speaker_id" if form == "cameo" else "speaker"] == clip.speaker
            if form == "datasets":
                assert {k: v for k, v in (row["votes"] or {}).items() if v is not None} == clip.votes
                assert row["text"] == clip.text


def test_hugging_face_audiofolder_reads_it(shards: Path, tmp_path: Path) -> None:
    """Asks the builder for its examples, since making a table of them wants `torchcodec`, which wants FFmpeg."""
    library = importlib.import_module("datasets")
    export(shards, ["parted"], "audiofolder", tmp_path / "out")
    builder = library.load_dataset_builder(str(tmp_path / "out" / "parted"), cache_dir=str(tmp_path / "cache"))
    corpus = stored(shards, "parted")
    by_name = {clip.name: clip for clip in corpus.clips}
    seen = []
    for split in builder._split_generators(library.DownloadManager()):
        for _, row in builder._generate_examples(**split.gen_kwargs):
            clip = by_name[Path(row["audio"]).stem]
            seen.append(clip.name)
            assert split.name == clip.split
            assert Path(row["audio"]).read_bytes() == corpus.reader.flac(clip.row)
            assert (row["emotion"], row["speaker"], row["text"] or None) == (clip.label, clip.speaker, clip.text)
            assert {native: count for native, count in row["votes"].items() if count} == clip.votes
    assert sorted(seen) == sorted(by_name)


def test_what_datasets_saves_to_disk_is_imported(shards: Path, tmp_path: Path) -> None:
    library = importlib.import_module("datasets")
    library.disable_progress_bars()
    export(shards, ["parted"], "datasets", tmp_path / "out")
    library.load_dataset(str(tmp_path / "out" / "parted"), cache_dir=str(tmp_path / "c")).save_to_disk(
        tmp_path / "saved"
    )
    wanted = Wanted(corpus="saved", out=tmp_path / "data")
    brought = bring(tmp_path / "saved", "datasets", tmp_path / "manifests", wanted)[0]
    parsed = clips(read_card(brought.manifest), brought.root)
    assert not parsed.problems
    for was, now in same_clips(stored(shards, "parted"), parsed.clips):
        assert (now.label, now.votes or {}, now.split) == (was.label, was.votes, was.split)


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_audformat_reads_it(shards: Path, tmp_path: Path) -> None:
    library = importlib.import_module("audformat")
    export(shards, ["parted"], "audformat", tmp_path / "out")
    database = library.Database.load(str(tmp_path / "out" / "parted"))
    assert database.languages == ["deu", "ita"]
    assert database.license == "CC BY-NC 4.0"
    assert sorted(database.splits) == ["dev", "test", "train"]
    frame = database.get("emotion", additional_schemes=["speaker"])
    clips_by_file = {f"audio/{clip.name}.flac": clip for clip in stored(shards, "parted").clips}
    assert sorted(frame.index.get_level_values(0)) == sorted(clips_by_file)
    for file, row in frame.iterrows():
        clip = clips_by_file[file if isinstance(file, str) else file[0]]
        assert (row["emotion"], row["speaker"]) == (clip.label, clip.speaker)
    votes = database["emotion.test"].get()
    for file, row in votes.iterrows():
        given = {n: row[f"votes.{n}"] for n in ("happy", "sad", "angry") if row[f"votes.{n}"] == row[f"votes.{n}"]}
        assert given == clips_by_file[file].votes


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated", "ignore:The inplace keyword")
def test_croissant_is_valid_and_gives_the_index(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = importlib.import_module("mlcroissant")
    monkeypatch.setenv("CROISSANT_CACHE", str(tmp_path / "cache"))
    export(shards, ["parted", "whole-one"], "croissant", tmp_path / "out")
    folder = tmp_path / "out" / "parted"
    with caplog.at_level(logging.WARNING):
        dataset = library.Dataset(str(folder / "croissant.json"))
        records = list(dataset.records("clips"))
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
    said = dataset.metadata
    assert (said.name, said.license, said.cite_as) == ("parted", ["CC BY-NC 4.0"], "Müller 2020, „Töne“")
    assert said.in_language == ["de", "it"]
    index = pq.read_table(shards / "parted" / "index.parquet").to_pylist()
    assert len(records) == len(index)
    for record, row in zip(records, index, strict=True):
        for name, value in row.items():
            if name not in {"votes", "frames"}:
                got = record[f"clips/{name}"]
                assert (got.decode() if isinstance(got, bytes) else got) == value
    for shard in (folder / "parted-000000.tar", folder / "index.parquet"):
        assert shard.read_bytes() == (shards / "parted" / shard.name).read_bytes()


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")
def test_croissant_needs_neither_homepage_nor_citation(shards: Path, tmp_path: Path) -> None:
    library = importlib.import_module("mlcroissant")
    corpus = stored(shards, "parted")
    bare = replace(corpus, card=corpus.card.model_copy(update={"homepage": "", "citation": ""}))
    (tmp_path / "croissant.json").write_text(json.dumps(describe(bare)))
    issues = library.Dataset(str(tmp_path / "croissant.json")).metadata.ctx.issues
    assert (set(issues.errors), set(issues.warnings)) == (set(), set())


def test_a_damaged_clip_leaves_nothing_behind(shards: Path, tmp_path: Path) -> None:
    copy = tmp_path / "shards" / "parted"
    copy.mkdir(parents=True)
    for path in (shards / "parted").iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    tar = bytearray((copy / "parted-000000.tar").read_bytes())
    row = pq.read_table(copy / "index.parquet").slice(20, 1).to_pylist()[0]
    tar[row["offset"] + 60] ^= 1
    (copy / "parted-000000.tar").write_bytes(tar)
    with pytest.raises(ShardError, match=row["id"]):
        export(tmp_path / "shards", ["parted"], "nemo", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["shards"]


def test_nothing_is_overwritten(shards: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        export(shards, ["parted"], "nemo", tmp_path / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "mine"]


def test_flac_in_rows_is_what_soundfile_reads(shards: Path, tmp_path: Path) -> None:
    export(shards, ["parted"], "cameo", tmp_path / "out")
    rows = pq.read_table(next((tmp_path / "out").rglob("*.parquet"))).to_pylist()
    assert {row["language"] for row in rows} == {"German", "Italian"}
    for row in rows:
        with soundfile.SoundFile(io.BytesIO(row["audio"]["bytes"])) as file:
            assert (file.samplerate, file.channels, file.format) == (16_000, 1, "FLAC")
