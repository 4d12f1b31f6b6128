"""What only the shards can tell of a recipe."""

from collections.abc import Callable
from pathlib import Path

import pytest

from valenza.config import load
from valenza.errors import UsageError
from valenza.mixture.admission import problems
from valenza.recipe import Recipe

RECIPE = """stage: utterance
data:
  shards: {shards}
  train: {{{train}: 1}}
  zero_shot: [{zero_shot}]
  claim: {claim}
encoder: {{new: {{}}}}
training: {{steps: 5}}
"""


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., str]:
    """Shards of a few corpora, and what is said of a recipe for them."""
    for corpus, languages in (
        ("emodb", "de"),
        ("german", "de-AT, fr"),
        ("emovo", "it"),
        ("cries", "zxx"),
        ("sighs", "zxx"),
    ):
        folder = tmp_path / "shards" / corpus
        folder.mkdir(parents=True)
        (folder / "card.yaml").write_text(
            f"id: {corpus}\ntitle: t\nlanguages: [{languages}]\nlicence: none\naudio: '*.wav'\n"
            "pattern: '(?P<speaker>.)(?P<label>.)'\nlabels: {A: anger}\n"
        )

    def of(train: str, zero_shot: str = "", claim: str = "cross_lingual", shards: Path = tmp_path / "shards") -> str:
        path = tmp_path / "r.yaml"
        path.write_text(RECIPE.format(train=train, zero_shot=zero_shot, claim=claim, shards=shards))
        try:
            load(Recipe, path, also=problems)
        except UsageError as error:
            return str(error)
        return ""

    return of


def test_a_corpus_without_shards_is_told_with_the_nearest_name(told: Callable[..., str]) -> None:
    text = told("emobd", "emovo, xyz")
    assert "r.yaml:4: data.train.emobd: there are no shards of 'emobd'" in text
    assert "did you mean 'emodb'?" in text
    assert "r.yaml:5: data.zero_shot.1: there are no shards of 'xyz'" in text
    assert len(text.splitlines()) == 2


def test_a_language_that_is_trained_on_is_not_scored_as_unheard(told: Callable[..., str]) -> None:
    text = told("emodb", "emovo, german")
    assert "r.yaml:5: data.zero_shot.1: german speaks de, which is trained on" in text
    assert "claim: cross_corpus" in text
    assert told("emodb", "german", claim="cross_corpus") == ""
    assert told("emodb", "emovo") == ""
    assert told("emovo") == ""


def test_a_corpus_that_is_trained_on_is_never_zero_shot(told: Callable[..., str]) -> None:
    assert "emodb is trained on" in told("emodb", "emodb", claim="cross_corpus")


def test_without_shards_nothing_is_held_against_a_recipe(told: Callable[..., str], tmp_path: Path) -> None:
    assert told("anything", "german", shards=tmp_path / "none") == ""


def test_a_damaged_manifest_beside_the_shards_is_told(told: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "shards" / "emovo" / "card.yaml").write_text("id: [")
    assert "card.yaml" in told("emodb", "emovo")


def test_what_is_in_no_language_shares_none(told: Callable[..., str]) -> None:
    assert told("cries", "sighs") == ""
