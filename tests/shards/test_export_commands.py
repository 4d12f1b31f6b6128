"""The commands of the exchange, run as a user runs them."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from valenza.errors import BAD_DATA, USAGE


def test_export_import_check_build(corner: Any, tmp_path: Path) -> None:
    out = tmp_path / "emobox"
    ended = corner.run(
        "shards", "export", "english", "german", "--to", "emobox", "--out", out, "--shards", corner.shards, "--json"
    )
    assert ended.code == 0, ended.err
    assert ended.json["clips"] == {"english": 24, "german": 24}
    manifests = tmp_path / "manifests"
    ended = corner.run(
        "corpus",
        "import",
        out / "data" / "english",
        "--format",
        "emobox",
        "--manifests",
        manifests,
        "--fold",
        1,
        "--json",
    )
    assert ended.code == 0, ended.err
    (brought,) = ended.json["corpora"]
    assert (brought["clips"], brought["speakers"], brought["unfilled"]) == (24, 6, [])
    checked = corner.run("corpus", "check", brought["manifest"], "--root", brought["root"], "--jobs", 1, "--json")
    assert checked.code == 0, checked.out
    assert sorted(checked.json["splits"]) == ["test", "train"]
    words = (
        "shards",
        "build",
        brought["manifest"],
        "--root",
        brought["root"],
        "--shards",
        tmp_path / "again",
        "--jobs",
        1,
    )
    assert corner.run(*words).code == 0
    first, second = (
        {json.dumps(row, sort_keys=True) for row in rows(folder / "english")}
        for folder in (corner.shards, tmp_path / "again")
    )
    assert first == second


def rows(folder: Path) -> list[dict[str, Any]]:
    columns = ["id", "samples", "label", "speaker", "gender", "language", "recording"]
    return pq.read_table(folder / "index.parquet", columns=columns).to_pylist()


def test_mistakes_are_told_in_one_line_each(corner: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "list.jsonl"
    manifest.write_text('{"audio_filepath": "../../etc/x.wav", "label": "happy"}\nno json\n')
    ended = corner.run("corpus", "import", manifest, "--format", "nemo", "--manifests", tmp_path / "manifests")
    assert ended.code == BAD_DATA
    assert f"{manifest}:1: audio_filepath: '../../etc/x.wav' lies outside" in ended.err
    assert f"{manifest}:2: line: is not JSON" in ended.err
    assert sorted(tmp_path.iterdir()) == [manifest]
    assert corner.run("corpus", "import", manifest, "--format", "lhotse").code == USAGE
    assert corner.run("corpus", "import", manifest, "--format", "datasets", "--column", "label").code == USAGE
    assert (
        corner.run("shards", "export", "english", "--to", "nemo", "--out", tmp_path, "--shards", corner.shards).code
        == USAGE
    )
