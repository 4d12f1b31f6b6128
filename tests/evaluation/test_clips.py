"""Which part of a corpus is scored: its test part alone, else validation speakers, and never who was trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valenza.config import load
from valenza.errors import DataError
from valenza.evaluation.clips import choose
from valenza.evaluation.session import evaluate_run
from valenza.recipe import Recipe
from valenza.stages.prepare import prepare


@pytest.fixture(scope="module")
def official(corner: Any) -> Any:
    """The tones of six speakers, of whom two are for testing and one for validation; `sad` is two things at once."""
    text = (corner.folder / "manifests" / "italian.yaml").read_text()
    text = text.replace("id: italian", "id: official").replace("sad: sadness", "sad: {sadness: .5, fear: .5}")
    text += "splits: {validation: [s5], test: [s0, s3]}\n"
    (corner.folder / "manifests" / "official.yaml").write_text(text)
    words = ("--root", corner.folder / "data" / "italian", "--manifests", corner.folder / "manifests", "--jobs", 1)
    ended = corner.run("shards", "build", "official", *words)
    assert ended.code == 0, ended.err
    return corner


def chosen_of(corner: Any, corpus: str, *words: str) -> tuple[Any, Any]:
    recipe = load(Recipe, corner.recipe, words)
    prepared = prepare(recipe)
    return choose(recipe, corpus, prepared), prepared


def speakers(chosen: Any) -> set[str]:
    return set(chosen.groups()["speaker"].tolist())


def test_an_official_test_part_is_scored_alone(official: Any) -> None:
    chosen, prepared = chosen_of(official, "official", "data.train={official: 1, english: 1}")
    assert (chosen.part, chosen.zero_shot) == ("test", False)
    assert speakers(chosen) == {"s0", "s3"}
    # One of each speaker's four clips is of two emotions; who was trained on is not counted as left out.
    assert (len(chosen.rows), int(chosen.scored.sum()), chosen.left_out) == (8, 6, 2)
    assert len(prepared.rows_of("validation")["official"]) == 4


def test_without_one_the_validation_speakers_are_scored(official: Any) -> None:
    chosen, prepared = chosen_of(official, "english")
    assert (chosen.part, chosen.zero_shot, chosen.left_out) == ("validation", False, 0)
    ids = set(np.array(chosen.ids)[chosen.rows].tolist())
    trained = set(prepared.index["id"].take(prepared.parts["train"]).to_pylist())
    assert ids
    assert not ids & trained
    with pytest.raises(DataError, match="all of it was trained on"):
        chosen_of(official, "english", "data.validation=0")


def test_a_corpus_that_was_not_trained_on_is_scored_whole(official: Any) -> None:
    words = ("data.train={english: 1}", "data.zero_shot=[official]")
    chosen, _ = chosen_of(official, "official", *words)
    assert (chosen.part, chosen.zero_shot, len(chosen.rows), chosen.left_out) == ("all", True, 24, 6)


def test_a_copy_of_what_was_kept_for_validation_is_not_zero_shot(official: Any) -> None:
    """Of 24 clips 8 are for testing, and only those may be heard again under another name."""
    words = ("data.train={official: 1}", "data.zero_shot=[]", "data.claim=cross_corpus")
    with pytest.raises(DataError, match="16 clips have the same audio"):
        chosen_of(official, "italian", *words)


def test_a_test_part_is_not_what_the_temperature_was_fitted_to(
    official: Any, train_here: Callable[..., list[float]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train_here(run, "data.train={official: 1, english: 1}", "training.steps=2", "evaluation.padding=none")
    found = evaluate_run(run, corpora=["official", "english", "german"])
    assert found["temperature"]["corpora"] == ["english", "official"]
    told = {name: (c["part"], c["calibration"]["in_sample"], c["left_out"]) for name, c in found["corpora"].items()}
    assert told == {"official": ("test", False, 2), "english": ("validation", True, 0), "german": ("all", False, 0)}
    assert found["corpora"]["official"]["speakers"] == 2
    page = (run / "report" / "index.html").read_text()
    assert "its test part; the rest was trained on" in page
    assert "its validation part; the rest was trained on" in page
