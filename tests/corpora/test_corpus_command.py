"""What `valenza corpus` and `valenza shards` answer to folders and files that are not as they should be."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = """id: {id}
title: Noise
languages: [en]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_(?P<label>[a-z]+)'
labels: {{angry: {meaning}, sad: sadness}}
"""


def valenza(*words: object, code: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "valenza", *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
    assert "Traceback" not in ended.stderr
    return ended


@pytest.fixture
def noises(tmp_path: Path) -> Path:
    """A corpus of two clips beside its manifest and a NeMo list of it."""
    (tmp_path / "noise").mkdir()
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/noise.yaml").write_text(MANIFEST.format(id="noise", meaning="anger"))
    rng = np.random.default_rng(3)
    for name in ("s1_angry", "s2_sad"):
        soundfile.write(tmp_path / f"noise/{name}.wav", rng.normal(0, 0.1, 8000), 16_000)
    lines = [{"audio_filepath": f"noise/{n}.wav", "label": n[3:], "speaker": n[:2]} for n in ("s1_angry", "s2_sad")]
    (tmp_path / "list.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_the_list_tells_every_broken_manifest(noises: Path) -> None:
    for name in ("first", "second"):
        (noises / f"manifests/{name}.yaml").write_text(MANIFEST.format(id=name, meaning="angger"))
    told = valenza("corpus", "list", "--manifests", noises / "manifests", code=64).stderr
    for name in ("first", "second"):
        assert f"{name}.yaml:7: labels.angry: 'angger' is not one of" in told
    assert "noise.yaml" not in told
    there = valenza("corpus", "list", "--manifests", noises / "nowhere", code=64).stderr
    assert f"{noises / 'nowhere'}: cannot be listed" in there


@pytest.mark.parametrize("options", [(), ("--shortcuts", "--labels")])
def test_a_check_of_an_empty_or_missing_folder(noises: Path, options: tuple[str, ...]) -> None:
    (noises / "empty").mkdir()
    check = ("corpus", "check", noises / "manifests/noise.yaml", "--jobs", 2, *options)
    ended = valenza(*check, "--root", noises / "empty", code=65)
    assert "it holds no audio at all" in ended.stdout
    assert ended.stdout.count("noise: not ready, 1 error\n") == 1
    told = json.loads(valenza(*check, "--root", noises / "empty", "--json", code=65).stdout)
    assert told["clips"] == 0
    assert "nowhere: there is no such folder" in valenza(*check, "--root", noises / "nowhere", code=64).stderr


def test_files_that_cannot_be_written_are_named(noises: Path) -> None:
    taken = noises / "list.json"
    check = ("corpus", "check", noises / "manifests/noise.yaml", "--root", noises / "noise", "--jobs", 1)
    for page in (taken / "labels.html", noises / "noise"):
        assert f"{page}: cannot be written" in valenza(*check, "--labels-page", page, code=73).stderr
    bring = ("corpus", "import", taken, "--format", "nemo", "--id", "brought", "--manifests")
    assert f"{taken / 'brought.yaml'}: cannot be written" in valenza(*bring, taken, code=73).stderr
    assert not list((noises / "noise").glob("*.tsv"))  # what was written before is taken back
    new = ("corpus", "new", noises / "noise", "--manifests", taken)
    assert f"{taken / 'noise.yaml'}: cannot be written" in valenza(*new, code=73).stderr


def test_exports_and_shards_that_are_not_there(noises: Path) -> None:
    shards = noises / "shards"
    for words in (("info",), ("verify",)):
        assert "holds no shards" in valenza("shards", *words, "--shards", shards, code=74).stderr
    assert "no shards of 'noise'" in valenza(
        "shards", "export", "noise", "--to", "nemo", "--out", noises / "out", "--shards", shards, code=74
    ).stderr  # fmt: skip
    (noises / "noise/s1_angry.wav").rename(noises / "noise/odd.wav")
    card = noises / "manifests/noise.yaml"
    build = ("shards", "build", card, "--root", noises / "noise", "--shards", shards, "--jobs", 1)
    told = valenza(*build, code=65).stderr
    assert "noise: 1 problem; " in told
    assert "\nodd.wav: pattern: " in told
    (noises / "noise/odd.wav").rename(noises / "noise/s1_angry.wav")
    valenza(*build, code=0)
    export = ("shards", "export", "noise", "--to", "nemo", "--shards", shards, "--out")
    assert f"{noises} exists" in valenza(*export, noises, code=64).stderr
    assert "cannot be written" in valenza(*export, noises / "list.json" / "out", code=73).stderr
