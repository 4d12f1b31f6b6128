"""The harmonisation table says one thing of every word, whatever its spelling or language."""

import itertools
from pathlib import Path

import pytest

from valenza.corpora.card import Card, read_card, weights
from valenza.corpora.words import meanings
from valenza.errors import UsageError
from valenza.labels.taxonomy import EMOTIONS
from valenza.labels.words import find, languages, plain, table

MANIFESTS = Path(__file__).resolve().parents[2] / "datasets_manifests"
CARD = r"""
id: c
title: t
languages: [de]
licence: none
audio: "*"
pattern: '(?P<speaker>.)_(?P<label>\w+)'
labels:
  exc: Excitement
  ang: Wut
  ps: pleasant-surprise
  no: unknown
"""


def test_every_row_is_whole() -> None:
    for word in table().values():
        assert set(word.weights) <= set(EMOTIONS), word
        assert all(0 < weight <= 1 for weight in word.weights.values()), word
        assert sum(word.weights.values()) <= 1 + 1e-9, word
        assert word.basis in {"S", "T", "P", "J"}, word
        assert word.note or word.basis == "T", f"{word.name} does not say what its weights rest on"


def test_one_target_leads_every_row_but_the_one_that_is_a_tie_on_purpose() -> None:
    tied = {
        word.name
        for word in table().values()
        if word.weights and sorted(word.weights.values())[-2:] == [max(word.weights.values())] * 2
    }
    assert tied == {"torment"}


def test_every_target_means_itself() -> None:
    for emotion in EMOTIONS:
        assert find(emotion).weights == {emotion: 1.0}


def test_no_spelling_stands_in_two_rows() -> None:
    seen: dict[str, str] = {}
    for word in table().values():
        for spelling in {plain(word.name), *word.aliases}:
            assert seen.setdefault(spelling, word.name) == word.name
    assert len(seen) > 800


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("contempt", {"disgust": 0.5}),
        ("calm", {"neutral": 0.9, "happiness": 0.1}),
        ("Langeweile", {"neutral": 0.5, "other": 0.3, "sadness": 0.2}),
        ("FRUSTRATED", {"anger": 0.7, "sadness": 0.3}),
        ("Pleasantly_Surprised", {"surprise": 0.7, "happiness": 0.3}),
        ("Überraschung", {"surprise": 1.0}),
        ("U\u0308berraschung", {"surprise": 1.0}),
        ("İğrenme", {"disgust": 1.0}),
        ("喜び", {"happiness": 1.0}),
        ("悲伤", {"sadness": 1.0}),
        ("غضب", {"anger": 1.0}),
        ("страх", {"fear": 1.0}),
        ("ความสุข", {"happiness": 1.0}),
        ("no agreement", {}),
    ],
)
def test_a_word_in_any_spelling(word: str, wanted: dict[str, float]) -> None:
    assert find(word).weights == wanted


def test_an_unknown_word_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(LookupError, match=r"'excitment' is not one of happiness, .* did you mean 'excitement'\?"):
        find("excitment")
    with pytest.raises(LookupError, match="nor another word of"):
        find("qqq")


def test_a_manifest_takes_any_word(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CARD, encoding="utf-8")
    card = read_card(path)
    assert {native: weights(meaning) for native, meaning in card.labels.items()} == {
        "exc": {"happiness": 0.8, "surprise": 0.2},
        "ang": {"anger": 1.0},
        "ps": {"surprise": 0.7, "happiness": 0.3},
        "no": {},
    }
    assert card.classes == ("happiness", "surprise", "anger")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("exc: Excitement", "exc: excitment", "9: labels.exc: 'excitment' is not one of happiness, "),
        ("exc: Excitement", "exc: excitment", "did you mean 'excitement'?"),
        ("ang: Wut", "ang: 3", "10: labels.ang: input should be a valid string (got 3)"),
        ("ang: Wut", "ang: {wut: 1}", "10: labels.ang.wut: 'wut' is not one of happiness, "),
        ("labels:", "known: [anger, happiness]\nlabels:", "10: labels.exc: surprise is not among `known`"),
        ("labels:", "ratings: 0\nlabels:", "8: ratings: input should be greater than 0"),
    ],
)
def test_a_wrong_meaning_is_told_with_its_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CARD.replace(old, new), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_card(path)
    assert told in str(caught.value).replace(f"{path}:", "")


def test_marks_make_neutral_known() -> None:
    facts = {"id": "c", "title": "t", "languages": ("de",), "licence": "none", "audio": "*",
             "pattern": "(?P<speaker>.)(?P<label>.)", "labels": {"a": "anger"}}  # fmt: skip
    assert Card(**facts).classes == ("anger",)
    assert Card(**facts, ratings=3).classes == ("anger", "neutral")
    assert Card(**facts, ratings=3, known=("anger",)).classes == ("anger",)


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_label_is_explained(path: Path) -> None:
    card = read_card(path)
    for meaning in card.labels.values():
        assert set(weights(meaning)) <= set(card.classes)


def test_first_manifests_are_proposed_from_the_same_table() -> None:
    natives = ["dis", "gio", "neu", "pau", "rab", "sor", "tri"]
    wanted = ("disgust", "happiness", "neutral", "fear", "anger", "surprise", "sadness")
    assert meanings(natives) == dict(zip(natives, wanted, strict=True))
    assert meanings(["Calm", "bored", "W1"]) == {"Calm": "calm", "bored": "boredom"}
    for language, words in languages().items():
        for one, other in itertools.pairwise(words):
            told = meanings([one, other])
            assert all(find(name).weights == words[alias].weights for alias, name in told.items()), language
            assert told.keys() == {one, other}
