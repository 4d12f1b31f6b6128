"""Datasets whose rows hold their audio become corpora, whose files are written once."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from valenza.corpora.card import read_card
from valenza.corpora.check import check
from valenza.corpora.exchange.bring import Wanted, bring
from valenza.corpora.exchange.languages import code, name
from valenza.errors import DataError, UsageError


def encoded(number: int, form: str = "WAV") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, 0.4 * np.sin(np.arange(3200) / (10 + number)), 16_000, format=form)
    return out.getvalue()


def write_rows(path: Path, rows: list[dict[str, Any]], features: Mapping[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_datasets_rows_are_written_out_once(desk: Any) -> None:
    features = {"audio": {"_type": "Audio"}, "label": {"_type": "ClassLabel", "names": ["happy", "sad"]}}
    rows = [
        {"audio": {"bytes": encoded(n, form), "path": "/home/x/../audio.wav"}, "label": n % 2, "speaker_id": 4 + n}
        for n, form in enumerate(("WAV", "FLAC", "OGG"))
    ]
    for split, part in (("train", rows[:2]), ("test", rows[2:])):
        write_rows(desk.folder / "set" / "data" / f"{split}-00000-of-00001.parquet", part, features)
    brought = bring(desk.folder / "set", "datasets", desk.manifests, Wanted(out=desk.folder / "data"))[0]
    found = desk.read_back(brought)
    assert {key: (clip.label, clip.speaker, clip.split) for key, clip in found.items()} == {
        "audio.ogg": ("happy", "6", "test"),
        "audio.2.wav": ("happy", "4", "train"),
        "audio.3.flac": ("sad", "5", "train"),
    }
    assert (brought.root / "audio.2.wav").read_bytes() == rows[0]["audio"]["bytes"]
    below = [name for name in desk.tree() if name.startswith("data/")]
    assert below == ["data/set", *sorted(f"data/set/{name}" for name in [*found, "set.tsv"])]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio": {"bytes": None, "path": "a.wav"}, "label": "sad"}, r"row 2: audio: holds no bytes"),
        ({"audio": {"bytes": b"RIFFnonsense", "path": "a.wav"}, "label": "sad"}, r"row 2: audio: cannot be read"),
        ({"audio": {"bytes": b"", "path": ""}, "label": "sad"}, r"row 2: audio: holds no bytes"),
        ({"audio": {"bytes": encoded(1), "path": "b.wav"}, "label": None}, r"row 2: label: none of"),
    ],
)
def test_rows_that_are_wrong_leave_no_audio_behind(desk: Any, row: dict[str, Any], message: str) -> None:
    good = {"audio": {"bytes": encoded(0), "path": "g.wav"}, "label": "sad"}
    path = write_rows(desk.folder / "x.parquet", [good, row])
    with pytest.raises(DataError, match=message):
        bring(path, "datasets", desk.folder / "m", Wanted(out=desk.folder / "data"))
    assert desk.tree() == ["x.parquet"]
    with pytest.raises(UsageError, match="--out says under which data root"):
        bring(path, "datasets", desk.folder / "m")


def cameo_row(number: int, dataset: str, language: str) -> dict[str, Any]:
    return {
        "file_id": f"{dataset}_{number}.flac",
        "audio": {"bytes": encoded(number, "FLAC"), "path": f"{number}.flac"},
        "emotion": ("anger", "sadness")[number % 2],
        "transcription": "Słowo",
        "speaker_id": f"{dataset}_{number // 2}",
        "gender": ("female", "male")[number % 2],
        "age": None,
        "dataset": dataset,
        "language": language,
        "license": f"licence of {dataset}",
    }


def test_cameo_becomes_a_corpus_for_each_dataset(desk: Any) -> None:
    languages = {"nEMO": "Polish", "CREMA-D": "English"}
    rows = [cameo_row(n, dataset, spoken) for dataset, spoken in languages.items() for n in range(4)]
    write_rows(desk.folder / "cameo" / "data" / "nemo-00000-of-00001.parquet", rows)
    brought = bring(desk.folder / "cameo", "cameo", desk.manifests, Wanted(out=desk.folder / "data"))
    assert [one.corpus for one in brought] == ["nemo", "crema-d"]
    for one, (dataset, spoken) in zip(brought, languages.items(), strict=True):
        assert len(desk.read_back(one)) == 4
        card = read_card(one.manifest)
        assert card.licence == f"licence of {dataset}"
        assert card.languages == (code(spoken),)
        assert check(card, one.root, 1).errors == []


def test_cameo_rows_must_be_whole(desk: Any) -> None:
    rows = [
        cameo_row(0, "nEMO", "Polish"),
        cameo_row(0, "nEMO", "Polish"),
        cameo_row(1, "nEMO", "Polish") | {"license": ""},
    ]
    path = write_rows(desk.folder / "x.parquet", rows)
    with pytest.raises(DataError) as told:
        bring(path, "cameo", desk.manifests, Wanted(out=desk.folder / "data"))
    assert f"{path}: row 2: file_id: 'nEMO_0' is there twice" in str(told.value)
    assert f"{path}: row 3: license: is missing" in str(told.value)


def test_one_corpus_that_cannot_be_written_undoes_the_others(desk: Any) -> None:
    path = write_rows(desk.folder / "x.parquet", [cameo_row(0, "one", "Polish"), cameo_row(0, "two", "Polish")])
    (desk.folder / "data" / "two").mkdir(parents=True)
    with pytest.raises(UsageError, match="two exists"):
        bring(path, "cameo", desk.manifests, Wanted(out=desk.folder / "data"))
    assert desk.tree() == ["data", "data/two", "x.parquet"]


def test_languages_are_read_as_codes_or_names() -> None:
    assert [code(said) for said in ("Polish", "deu", "de", "zh-CN", "Persian", "yue")] == [
        "pl",
        "de",
        "de",
        "zh-CN",
        "fa",
        "yue",
    ]
    assert code("Klingonish") is None
    assert (name("pl"), name("zh-CN"), name("und")) == ("Polish", "Chinese", "und")
