"""A trained run learns a new corpus from a few clips, or ratings that it never knew, by the command line."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file

from valenza.config import load
from valenza.errors import UsageError
from valenza.recipe import Recipe

RATE = 16_000
FEW = """stage: adapt
seed: 3
data: {{shards: {shards}, train: {{german: 1}}, window_seconds: 6}}
adapt: {{from: {run}, per_class: {k}, freeze: [conv, positions]}}
training: {{steps: 6, windows_per_step: 2, peak_lr: 1e-3, validate_every: 6, checkpoint_every: 3}}
"""
NATIVE = ("awe", "calmness", "craving")
RATED = """id: rated
title: Ratings of tones
languages: [sv]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_(?P<label>[a-z]+)_\\d'
labels: {awe: surprise, calmness: neutral, craving: other}
ratings: 10
tables: [{path: marks.csv, key: file, votes: {awe: awe, calmness: calm, craving: craving}}]
"""
REGRESSION = """stage: adapt
seed: 3
data: {{shards: {shards}, train: {{rated: 1}}, window_seconds: 6, validation: 0.4}}
adapt: {{from: {run}, outputs: [awe, calmness, craving], loss: regression}}
objective: {{level: clip}}
training: {{steps: 60, windows_per_step: 4, peak_lr: 3e-3, head_lr: 3e-2, validate_every: 30, checkpoint_every: 30}}
"""


def rate(root: Path) -> None:
    """Write one-second tones, the pitch of which tells the marks that listeners gave, from 0 to 10."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(5)
    time = np.arange(RATE) / RATE
    rows = []
    for speaker in range(6):
        for number in range(8):
            awe, calm = number / 7, (7 - number) / 7
            pitch = 110 * 1.25**number * (1 + 0.03 * speaker)
            tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5))
            name = f"s{speaker}_{'awe' if awe > 0.5 else 'calmness'}_{number}"
            samples = 0.1 * tone + 0.01 * rng.standard_normal(RATE)
            soundfile.write(root / f"{name}.wav", samples.clip(-1, 1), RATE)
            rows.append([name, 10 * awe, 10 * calm, 10 * float(rng.random())])
    with (root / "marks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "awe", "calm", "craving"], *rows])


@pytest.fixture(scope="module")
def source(corner: Any) -> Path:
    folder: Path = corner.folder / "runs" / "source"
    ended = corner.run("train", corner.recipe, "heads.projection=12", "--out", folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="module")
def few(corner: Any, source: Path) -> Path:
    recipe: Path = corner.folder / "few.yaml"
    recipe.write_text(FEW.format(shards=corner.shards, run=source, k=2))
    return recipe


@pytest.fixture(scope="module")
def adapted(corner: Any, few: Path) -> Path:
    folder: Path = corner.folder / "runs" / "few"
    ended = corner.run("train", few, "--out", folder)
    assert ended.code == 0, ended.err
    assert "starting from" in ended.err
    return folder


def test_a_few_clips_of_each_class_and_the_other_speakers(corner: Any, few: Path) -> None:
    derived = corner.run("check", few, "--json").json["derived"]
    # 4 classes, 2 clips each, of 3 of the 6 speakers; the other 3 are scored with their 4 clips each.
    assert derived["clips"] == {"train": 8, "validation": 0, "test": 12}
    assert derived["label_mixture"]["anger"] == pytest.approx(0.25)
    more = corner.run("check", few, "adapt.per_class=3", "--json").json["derived"]
    assert more["clips"] == {"train": 12, "validation": 0, "test": 12}


def test_an_adapted_run_is_a_run(corner: Any, adapted: Path, source: Path) -> None:
    assert len(corner.losses(adapted)) == 6
    weights = load_file(adapted / "checkpoints/step-00000006/model.safetensors")
    before = load_file(source / "checkpoints/step-00000012/model.safetensors")
    assert weights.keys() == before.keys()
    still = {name for name in weights if (weights[name] == before[name]).all()}
    never = ("encoder.encoder.conv", "encoder.encoder.embed_positions", "layer_reader.")
    assert still == {name for name in weights if name.startswith(never)}


def test_it_begins_where_the_run_ended(corner: Any, few: Path, source: Path, tmp_path: Path) -> None:
    ended = corner.run("train", few, "training.peak_lr=1e-12", "--out", tmp_path / "still")
    assert ended.code == 0, ended.err
    now = load_file(tmp_path / "still/checkpoints/step-00000006/model.safetensors")
    before = load_file(source / "checkpoints/step-00000012/model.safetensors")
    for name, value in before.items():
        assert np.allclose(now[name].numpy(), value.numpy(), atol=1e-8), name


def test_it_is_scored_on_the_speakers_that_it_did_not_learn(corner: Any, adapted: Path) -> None:
    ended = corner.run("evaluate", adapted, "--json")
    assert ended.code == 0, ended.err
    german = ended.json["corpora"]["german"]
    assert (german["zero_shot"], german["clips"], german["speakers"]) == (False, 12, 3)
    assert set(german["per_class_f1"]) == {"happiness", "sadness", "anger", "neutral"}
    files = sorted((corner.folder / "data" / "german").glob("*.wav"))[:2]
    assert corner.run("predict", adapted, *files).code == 0


def test_resuming_changes_nothing(corner: Any, adapted: Path, few: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(adapted, tmp_path / "again")
    shutil.rmtree(tmp_path / "again/checkpoints/step-00000006")
    ended = corner.run("train", few, "--out", tmp_path / "again")
    assert ended.code == 0, ended.err
    assert "resuming after step 3" in ended.err
    last = Path("checkpoints/step-00000006/model.safetensors")
    assert (tmp_path / "again" / last).read_bytes() == (adapted / last).read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["adapt.from=nowhere"], "not a run folder"),
        (["data.train={english: 1}"], "learned it already"),
        (["adapt.loss=regression"], "name them in `outputs`"),
        (["data.zero_shot=[italian]"], "scored on the other speakers"),
        (["stage=utterance"], "go together"),
        (["adapt.per_class=0"], "adapt.per_class"),
    ],
)
def test_what_cannot_be_meant_is_refused(few: Path, words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load(Recipe, few, words)


def test_what_the_run_before_the_run_has_learned_is_refused_too(adapted: Path, few: Path) -> None:
    """`adapted` has learned German, and began with a run that had learned English and Italian."""
    again = f"adapt.from={adapted}"
    for corpus in ("german", "english", "italian"):
        with pytest.raises(UsageError, match="learned it already"):
            load(Recipe, few, [again, f"data.train={{{corpus}: 1}}"])


def test_a_section_that_is_no_section_is_told(few: Path) -> None:
    with pytest.raises(UsageError, match="objective"):
        load(Recipe, few, ["objective=5"])


def test_64_for_outputs_or_a_network_that_are_not_there(corner: Any, few: Path, tmp_path: Path) -> None:
    ended = corner.run("check", few, "adapt.outputs=[happpy]")
    assert (ended.code, "did you mean 'happy'" in ended.err) == (64, True), ended.err
    ended = corner.run("train", few, "heads.projection=5", "--out", tmp_path / "b")
    assert (ended.code, "another network" in ended.err) == (64, True), ended.err


@pytest.fixture(scope="module")
def rated(corner: Any, source: Path) -> Path:
    data, manifests = corner.folder / "data", corner.folder / "manifests"
    rate(data / "rated")
    (manifests / "rated.yaml").write_text(RATED)
    shards = corner.folder / "rated shards"  # the corner's own shards are those of its three corpora
    words = ("shards", "build", "rated", "--data-root", data, "--manifests", manifests, "--shards", shards, "--jobs", 1)
    ended = corner.run(*words)
    assert ended.code == 0, ended.err
    recipe: Path = corner.folder / "rated.yaml"
    recipe.write_text(REGRESSION.format(shards=shards, run=source))
    folder: Path = corner.folder / "runs" / "rated"
    ended = corner.run("train", recipe, "--out", folder)
    assert ended.code == 0, ended.err
    return folder


def test_a_new_head_learns_native_ratings(corner: Any, rated: Path) -> None:
    weights = load_file(rated / "checkpoints/step-00000060/model.safetensors")
    assert weights["head.linear.weight"].shape[0] == 3
    lines = map(json.loads, (rated / "metrics.jsonl").read_text().splitlines())
    validated = [line["validation"] for line in lines if "validation" in line]
    assert validated[-1]["pearson"] > validated[0]["pearson"] or validated[-1]["pearson"] > 0.3


def test_ratings_are_scored_by_correlation(corner: Any, rated: Path) -> None:
    ended = corner.run("evaluate", rated, "--json")
    assert ended.code == 0, ended.err
    found = ended.json["corpora"]["rated"]
    ratings = found["ratings"]
    assert (ratings["clips"], found["speakers"], found["zero_shot"]) == (24, 3, False)
    assert set(ratings["by_output"]) == set(NATIVE)
    # Pitch tells two of the three; the third is noise that no model can hear.
    assert ratings["by_output"]["awe"]["pearson"] > 0.5
    assert ratings["by_output"]["calmness"]["spearman"] > 0.5
    means = [np.mean([o[kind] for o in ratings["by_output"].values()]) for kind in ("pearson", "spearman")]
    assert [ratings["pearson"], ratings["spearman"]] == pytest.approx(means)
    low, high = ratings["ci95"]["pearson"]
    assert low <= ratings["pearson"] <= high
    assert found["classes"] == list(NATIVE)
    assert (rated / "report" / "index.html").is_file()


def test_emotions_cannot_be_predicted_by_what_knows_other_classes(corner: Any, rated: Path) -> None:
    file = next((corner.folder / "data" / "rated").glob("*.wav"))
    ended = corner.run("predict", rated, file)
    assert ended.code == 64
    assert "awe, calmness, craving" in ended.err
