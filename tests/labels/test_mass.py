"""The label mass of a corpus, step by step: by hand, on real labels, and through the command line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from valenza.corpora.card import read_card
from valenza.corpora.parse import clips
from valenza.labels.mass import LabelMass, label_mass, summary
from valenza.labels.taxonomy import EMOTIONS

ROOT = Path(__file__).resolve().parents[2]
MARKS = """id: marks
title: Marks <of> film clips
languages: [en]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_\\d'
labels: {happy: happiness, sad: sadness, angry: anger, scorn: contempt}
ratings: 3
tables: [{path: marks.csv, key: clip, votes: {happy: happy, sad: sad, angry: angry, scorn: scorn}}]
"""
TABLE = """clip,happy,sad,angry,scorn
s0_0,3,0,0,0
s0_1,1,0,0,0
s1_0,0,2,1,0
s1_1,0,0,0,0
s2_0,0,0,3,3
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips whose emotions were marked from 0 to 3, one of them with no emotion at all."""
    folder = tmp_path_factory.mktemp("mass")
    (folder / "data" / "marks").mkdir(parents=True)
    (folder / "marks.yaml").write_text(MARKS, encoding="utf-8")
    (folder / "data" / "marks" / "marks.csv").write_text(TABLE, encoding="utf-8")
    rng = np.random.default_rng(3)
    for line in TABLE.splitlines()[1:]:
        noise = rng.normal(0, 0.1, 16_000)
        soundfile.write(folder / "data" / "marks" / f"{line.split(',')[0]}.wav", noise, 16_000)
    return folder


def check(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "valenza", "corpus", "check", "marks.yaml", "--data-root", "data", "--jobs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "platform"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, *words], cwd=tree, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def of(mass: LabelMass, name: str) -> dict[str, float]:
    step = next(step for step in mass.steps if step.name == name)
    return {target: value for target, value in step.mass.items() if value}


@pytest.fixture(scope="module")
def mass(tree: Path) -> LabelMass:
    card = read_card(tree / "marks.yaml")
    parsed = clips(card, tree / "data" / "marks")
    assert parsed.problems == []
    return label_mass(card, parsed.clips)


def test_by_hand(mass: LabelMass) -> None:
    assert (mass.clips, mass.used, mass.unlisted, mass.silent) == (5, 5, 0, 1)
    # sums of the clips: 1, 1/3, 1, 0, 1.5
    assert mass.mean == pytest.approx(23 / 30)
    assert mass.weak == 2
    assert [(n.label, n.clips, n.votes) for n in mass.natives] == [
        ("happy", 2, 4.0), ("sad", 1, 2.0), ("angry", 1, 4.0), ("scorn", 0, 3.0)
    ]  # fmt: skip
    assert of(mass, "harmonised") == pytest.approx({"happiness": 2, "sadness": 1, "anger": 1})
    marked = {"happiness": 4 / 3, "sadness": 2 / 3, "anger": 4 / 3, "disgust": 0.5}
    assert of(mass, "votes and intensities") == pytest.approx(marked)
    moved = {**marked, "happiness": 1 + 0.55 / 3, "neutral": 0.45 / 3 + 0.45 * 23 / 30}
    assert of(mass, "smoothed: neutral_only") == pytest.approx(moved)
    assert of(mass, "smoothed: paper")["other"] == pytest.approx(2 * 0.05625)
    assert of(mass, "target: none") == pytest.approx(
        {"happiness": 2, "sadness": 2 / 3, "anger": 1 / 3 + 2 / 3, "disgust": 1 / 3, "neutral": 1}
    )
    assert of(mass, "target: neutral_only") == pytest.approx(
        {"happiness": 1.55, "sadness": 2 / 3, "anger": 1, "disgust": 1 / 3, "neutral": 1.45}
    )
    known = {"happiness", "sadness", "anger", "disgust", "neutral"}
    assert set(of(mass, "target: paper")) == known  # of what smoothing spreads, nothing reaches `other`
    for name in ("none", "paper", "neutral_only"):
        assert sum(of(mass, f"target: {name}").values()) == pytest.approx(5)


def test_clips_with_a_label_that_is_not_in_the_manifest_are_counted_apart(tree: Path) -> None:
    card = read_card(tree / "marks.yaml")
    parsed = clips(card, tree / "data" / "marks")
    narrow = card.model_copy(update={"labels": {k: v for k, v in card.labels.items() if k != "sad"}})
    found = label_mass(narrow, parsed.clips)
    assert (found.clips, found.unlisted, found.used) == (5, 1, 4)
    empty = label_mass(card, [])
    assert (empty.clips, empty.mean, empty.weak) == (0, 0.0, 0)
    assert all(not any(step.mass.values()) for step in empty.steps)
    assert summary(empty) == "none of 0 clips says anything"


def test_the_command_tells_and_draws_it(tree: Path, mass: LabelMass) -> None:
    done = check(tree, "--labels", "--labels-page", "labels.html")
    assert done.returncode == 0, done.stderr
    assert "5 of 5 clips say something; mean mass 0.767, 2 clips below it, 1 of them with none" in done.stdout
    line = next(line for line in done.stdout.splitlines() if line.startswith("happiness"))
    assert [float(cell) for cell in line.split()[1:]] == pytest.approx(
        [step.mass["happiness"] for step in mass.steps], abs=0.051
    )
    page = (tree / "labels.html").read_text(encoding="utf-8")
    assert "Marks &lt;of&gt; film clips" in page
    assert not re.search(r"(src|href)=|@import|url\(", page)
    drawn = re.findall(r'<rect class="(seen|model)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', page)
    assert len(drawn) == sum(value > 0 for step in mass.steps for value in step.mass.values())
    first = [float(width) for kind, x, _, width in drawn if x == "82"]
    assert first[0] == pytest.approx(2 * first[1], rel=0.02)  # two clips of happiness, one of sadness


def test_the_command_answers_programs(tree: Path, mass: LabelMass) -> None:
    told: dict[str, Any] = json.loads(check(tree, "--labels", "--json").stdout)
    assert told["label_mass"] == json.loads(json.dumps(mass.as_dict()))
    assert set(told["label_mass"]["steps"][0]["mass"]) == set(EMOTIONS)
    assert "label_mass" not in json.loads(check(tree, "--json").stdout)


def test_both_variants_on_the_intensities_of_ravdess(shared: Path) -> None:
    card = read_card(ROOT / "datasets_manifests" / "ravdess.yaml")
    found = label_mass(card, clips(card, shared / "corpora" / "ravdess").clips)
    # 96 neutral clips have no intensity; of the others half are of normal intensity, which leaves .6
    assert found.clips == found.used == 1440
    assert found.weak == 672
    assert found.mean == pytest.approx((96 + 672 + 672 * 0.6) / 1440)
    alpha = 1 - 0.6 / found.mean
    assert alpha == pytest.approx(0.2623, abs=1e-4)
    none, paper, neutral_only = (of(found, f"target: {name}") for name in ("none", "paper", "neutral_only"))
    # paper: each of the 7 classes that are known gains as much as it loses, on average; neutral hardly grows
    assert none["neutral"] == pytest.approx(268.8)
    assert paper["neutral"] == pytest.approx(272.2, abs=0.1)
    assert paper["anger"] == pytest.approx(192.0, abs=0.1)
    # neutral_only: each weak clip gives α of itself to neutral
    assert neutral_only["anger"] == pytest.approx(96 + 96 * (1 - alpha))
    assert neutral_only["neutral"] == pytest.approx(422.4, abs=0.1)
