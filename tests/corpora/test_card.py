"""A manifest says what is meant or is refused with the line of every mistake."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valenza.corpora.card import find_cards, locate, read_card
from valenza.corpora.parse import clips
from valenza.errors import DataError, UsageError

MANIFESTS = Path(__file__).resolve().parents[2] / "datasets_manifests"
URDU = r"""
id: urdu
title: URDU-Dataset
languages: [ur]
licence: research only
homepage: https://github.com/siddiquelatif/URDU-Dataset
citation: Latif et al. 2018, FIT
audio: "*/*"                                       # glob under the corpus root; any container libsndfile reads
pattern: '(?P<label>\w+)/S(?P<gender>[MF])(?P<speaker>\d+)_F\d+_[AHNS]\d+'    # on the path without its extension
speaker: "{gender}{speaker}"
labels: {Angry: anger, Happy: happiness, Neutral: neutral, Sad: sadness}      # native → target, or → {target: weight}
expect: {clips: 400, speakers: 29, hours: 0.28}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "corpus.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(UsageError) as failure:
        read_card(path)
    return str(failure.value).replace(f"{path}:", "").splitlines()


def test_the_manifest_of_the_design_is_read(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, URDU))
    assert card.classes == ("happiness", "sadness", "anger", "neutral")
    assert card.template("gender") == "{gender}"
    assert card.template("speaker") == "{gender}{speaker}"
    assert card.template("text") is None
    assert card.expect.hours == 0.28


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_manifest_is_read(path: Path) -> None:
    card = read_card(path)
    assert card.id == path.stem
    assert len(card.classes) >= 4 or card.labels == {}
    assert card.languages != ("und",)
    assert all((card.licence, card.access, card.homepage, card.citation, card.obtain))


def test_every_mistake_is_listed_with_its_line(tmp_path: Path) -> None:
    text = URDU.replace("Angry: anger", "Angry: fill_in, Calm: {neutral: 0.9, anger: 0.2}")
    text = text.replace('"{gender}{speaker}"', '"{gendr}{speaker}"').replace("licence:", "license:")
    found = mistakes(tmp_path, text)
    assert any(line.startswith("11: labels.Angry: 'fill_in' is not one of happiness, sadness") for line in found)
    assert "11: labels.Calm: the weights sum to 1.1, more than 1" in found
    assert "10: speaker: {gendr} is not a group of the pattern; did you mean 'gender'?" in found
    assert any("license is not a setting; did you mean 'licence'" in line for line in found)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(?P<speaker>", "(", "speaker: {speaker} is not a group"),
        ("(?P<label>", "(?P<emotion>", "has no group (?P<label>…)"),
        ("[MF])", "[MF]", "not a regular expression"),
        ('"*/*"', "/etc/*", "leaves the corpus root"),
        ('"*/*"', '"../*"', "leaves the corpus root"),
        ('"*/*"', '"**.wav"', "stands for whole folders"),
        ("[ur]", "[ur_PK]", "languages.0"),
        ("expect:", "splits: {validation: [1], test: [1]}\nexpect:", "speaker 1 is in validation too"),
        ("expect:", "known: [anger]\nexpect:", "is not among `known`"),
        ("expect:", "tables: [{path: t.csv, key: f, votes: {Angri: a}}]\nexpect:", "did you mean 'Angry'"),
        ("expect:", "tables: [{path: ../t.csv, key: f}]\nexpect:", "leaves the corpus root"),
        ("expect:", "tables: [{path: t.csv, key: f, where: {a: '('}}]\nexpect:", "not a regular expression"),
    ],
)
def test_a_mistake_is_explained(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in "\n".join(mistakes(tmp_path, URDU.replace(old, new)))


def test_a_null_label_is_left_out_on_purpose(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, URDU.replace("Sad: sadness", "Sad: null")))
    assert card.labels["Sad"] is None
    assert card.classes == ("happiness", "anger", "neutral")


def test_a_manifest_is_found_by_id_or_path(tmp_path: Path) -> None:
    assert find_cards(MANIFESTS).keys() >= {"ravdess", "emovo", "casia", "turev", "emodb", "urdu"}
    assert locate("emodb", MANIFESTS) == MANIFESTS / "emodb.yaml"
    assert locate(str(MANIFESTS / "emodb.yaml"), tmp_path) == MANIFESTS / "emodb.yaml"
    with pytest.raises(UsageError, match="did you mean 'emodb'"):
        locate("emodp", MANIFESTS)


ODD = ("", "*", "**", "{", "{label}", "{}", "{0}", "{a.b}", "(?P<label>.)", "[", "a/b", "anger", "fill_in", "\0", "é")
INNER = (
    "label",
    "anger",
    "path",
    "key",
    "columns",
    "votes",
    "where",
    "match",
    "start",
    "clips",
    "releases",
    "test",
    "x",
)
OUTER = (
    *("id", "title", "languages", "licence", "audio", "ignore", "pattern", "label", "speaker", "gender", "genders"),
    *("language", "recording", "text", "split", "intensity", "intensities", "labels", "known", "tables", "splits"),
    *("expect", "nonsense"),
)
letters = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=4)
plain = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False)
values = st.recursive(
    plain | st.sampled_from(ODD) | letters,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER) | letters, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(OUTER)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(keys, values, min_size=1, max_size=4))
def test_no_manifest_ends_in_a_traceback(tmp_path: Path, changes: dict[str, object]) -> None:
    (tmp_path / "root" / "Angry").mkdir(parents=True, exist_ok=True)
    (tmp_path / "root" / "Angry" / "SM1_F1_A01.wav").touch()
    base = {
        "id": "x",
        "title": "x",
        "languages": ["en"],
        "licence": "x",
        "audio": "*/*",
        "pattern": "(?P<label>.*)/(?P<speaker>.*)",
    }
    manifest = {**base, "labels": {"Angry": "anger"}, **changes}
    # JSON is YAML, one key a line so that lines can be told apart
    path = write(
        tmp_path, "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in manifest.items()) + "\n}\n"
    )
    try:
        clips(read_card(path), tmp_path / "root")
    except UsageError as error:
        for line in str(error).splitlines():
            assert re.match(rf"{re.escape(str(path))}:\d+: .", line) or "not YAML" in line, line
    except DataError:
        pass  # a table that is not there
