"""Hard labels: the highest score alone, where a recipe asks for them, and in training alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from valenza.config import load
from valenza.labels.taxonomy import POSITION
from valenza.recipe import Recipe
from valenza.stages.prepare import highest, prepare


def test_the_highest_score_is_all_and_equals_share_it() -> None:
    rows = np.array([[0.2, 0.5, 0.3, 0.0], [0.4, 0.2, 0.4, 0.0], [0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    wanted = [[0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]]
    np.testing.assert_array_equal(highest(rows), wanted)


@settings(max_examples=200, deadline=None)
@given(rows=arrays(np.float64, (5, 8), elements=st.sampled_from([0.0, 0.1, 0.3, 0.3 + 1e-12, 0.5, 1.0])))
def test_a_row_sums_to_one_or_none_and_only_its_highest_are_there(rows: np.ndarray) -> None:
    hard = highest(rows)
    np.testing.assert_allclose(hard.sum(axis=1), (rows.max(axis=1) > 0).astype(float))
    top = (rows > rows.max(axis=1, keepdims=True) - 1e-9) & (rows > 0)
    np.testing.assert_array_equal(hard > 0, top)
    np.testing.assert_array_equal(highest(hard), hard)


@pytest.fixture(scope="module")
def mixed(corner: Any) -> Any:
    """The tones under a manifest in which two labels are mixtures."""
    manifest = (corner.folder / "manifests" / "german.yaml").read_text()
    labels = "labels: {happy: {happiness: 0.7, surprise: 0.3}, sad: sadness, angry: {anger: 0.5}, calm: neutral}\n"
    text = manifest.replace("id: german", "id: mixed").split("labels:")[0] + labels
    (corner.folder / "manifests" / "mixed.yaml").write_text(text)
    words = ("--root", corner.folder / "data" / "german", "--manifests", corner.folder / "manifests", "--jobs", 1)
    ended = corner.run("shards", "build", "mixed", *words)
    assert ended.code == 0, ended.err
    return corner


@pytest.mark.parametrize("smoothing", ["none", "paper", "neutral_only"])
def test_a_recipe_learns_from_hard_labels_and_is_scored_by_soft_ones(mixed: Any, smoothing: str) -> None:
    words = ["data.train={mixed: 1}", "data.zero_shot=[]", f"data.smoothing={smoothing}"]
    soft, hard = (prepare(load(Recipe, mixed.recipe, [*words, f"data.labels={kind}"])) for kind in ("soft", "hard"))
    happy = np.flatnonzero(soft.scores.targets[:, POSITION["happiness"]] > 0)
    assert len(happy) == 6
    assert (soft.targets[happy, POSITION["surprise"]] > 0.2).all()
    assert set(np.unique(hard.targets)) == {0.0, 1.0}
    np.testing.assert_array_equal(hard.targets.argmax(axis=1), soft.targets.argmax(axis=1))
    np.testing.assert_array_equal(hard.scores.targets, soft.scores.targets)
    assert all(hard.parts[part].tolist() == soft.parts[part].tolist() for part in soft.parts)
