"""From shards to what a loss is given: smoothed for training, as annotated for scoring."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from valenza.config import load
from valenza.corpora.card import read_card
from valenza.corpora.parse import clips
from valenza.evaluation.protocol import truth
from valenza.labels.taxonomy import EMOTIONS, NEUTRAL
from valenza.recipe import Recipe
from valenza.shards.write import build
from valenza.stages.prepare import Prepared, prepare

ACTED = """id: acted
title: Acted
languages: [en]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_(?P<label>[a-z]+)_(?P<intensity>[ws])'
labels: {sad: sadness, calm: calm, bored: boredom, hum: null}
known: [sadness, happiness, neutral, other]
intensities: {w: 0.5, s: 1.0}
splits: {validation: [s2]}
"""
MARKED = """id: marked
title: Marked
languages: [en]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_\\d'
labels: {happy: happiness, sad: sadness}
ratings: 3
tables: [{path: marks.csv, key: clip, votes: {happy: happy, sad: sad}}]
"""
RECIPE = """stage: utterance
data: {shards: SHARDS, train: {acted: 1, marked: 1}, validation: 0}
encoder: {new: {}}
training: {steps: 1}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of a corpus with intensities and of one with marks, and a recipe that trains on both."""
    folder = tmp_path_factory.mktemp("targets")
    names = {
        "acted": [f"s{s}_{label}_{i}" for s in range(3) for label in ("sad", "calm", "hum") for i in "ws"],
        "marked": ["s0_0", "s0_1", "s1_0", "s1_1"],
    }
    rng = np.random.default_rng(5)
    for corpus, text in (("acted", ACTED), ("marked", MARKED)):
        (folder / corpus).mkdir()
        for name in names[corpus]:
            soundfile.write(folder / corpus / f"{name}.wav", rng.normal(0, 0.1, 8000), 16_000)
        (folder / f"{corpus}.yaml").write_text(text, encoding="utf-8")
        (folder / corpus / "marks.csv").write_text("clip,happy,sad\ns0_0,3,0\ns0_1,1,0\ns1_0,0,0\ns1_1,0,2\n")
        card = read_card(folder / f"{corpus}.yaml")
        build(card, folder / f"{corpus}.yaml", clips(card, folder / corpus).clips, folder / "shards")
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.replace("SHARDS", str(folder / "shards")), encoding="utf-8")
    return path


def ready(recipe: Path, smoothing: str) -> Prepared:
    return prepare(load(Recipe, recipe, [f"data.smoothing={smoothing}"]))


def sources(prepared: Prepared) -> list[str]:
    return [source.removesuffix(".wav") for source in prepared.index["source"].to_pylist()]


def row(prepared: Prepared, clip: str) -> dict[str, float]:
    place = sources(prepared).index(clip)
    return {e: float(v) for e, v in zip(EMOTIONS, prepared.targets[place], strict=True) if v}


def test_the_paper_s_smoothing_is_the_default(recipe: Path) -> None:
    assert load(Recipe, recipe).data.smoothing == "paper"


def test_without_smoothing_targets_are_what_annotators_said(recipe: Path) -> None:
    prepared = ready(recipe, "none")
    np.testing.assert_array_equal(prepared.targets, prepared.scores.targets)
    assert row(prepared, "s0_sad_w") == {"sadness": 1.0}
    assert row(prepared, "s1_0") == {"neutral": 1.0}


def test_weak_clips_are_drawn_towards_neutral(recipe: Path) -> None:
    prepared = ready(recipe, "neutral_only")
    # Ē of the training clips of `acted` that mean anything is .75, so α = 1/3
    assert row(prepared, "s0_sad_w") == pytest.approx({"sadness": 2 / 3, "neutral": 1 / 3})
    assert row(prepared, "s0_sad_s") == {"sadness": 1.0}
    assert row(prepared, "s2_sad_w") == row(prepared, "s0_sad_w")  # of a held-back speaker
    assert row(prepared, "s0_hum_w") == {}
    assert row(prepared, "s0_1") == pytest.approx({"happiness": 1 - 1 / 3, "neutral": 1 / 3})  # Ē is 1/2
    assert row(prepared, "s1_0") == {"neutral": 1.0}


def test_the_paper_s_formula_gives_nothing_to_what_nobody_could_choose(recipe: Path) -> None:
    prepared = ready(recipe, "paper")
    weak = row(prepared, "s0_sad_w")
    assert set(weak) == {"happiness", "sadness", "other", "neutral"}
    raised, kept = (1 / 3) / 8, 0.5 * 2 / 3 + 0.5 / 3 / 8
    assert weak["sadness"] == pytest.approx(kept / (kept + 3 * raised))
    assert (prepared.targets[~prepared.known] == 0).all()
    said = prepared.scores.used
    np.testing.assert_allclose(prepared.targets.sum(axis=1), said.astype(float))
    assert max(row(prepared, "s1_0"), key=row(prepared, "s1_0").__getitem__) == "neutral"


@pytest.mark.parametrize("variant", ["paper", "neutral_only"])
def test_what_is_scored_is_never_smoothed(recipe: Path, variant: str) -> None:
    plain, smoothed = ready(recipe, "none"), ready(recipe, variant)
    np.testing.assert_array_equal(plain.scores.values, smoothed.scores.values)
    np.testing.assert_array_equal(plain.scores.targets, smoothed.scores.targets)
    labels = truth(smoothed.scores.targets).labels
    assert labels[sources(smoothed).index("s1_0")] == NEUTRAL
    np.testing.assert_array_equal(labels >= 0, smoothed.scores.used)
    np.testing.assert_array_equal(truth(smoothed.targets).labels, labels)
