"""What annotators said against a slow version that knows nothing of arrays."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.corpora.card import Card
from valenza.errors import DataError
from valenza.labels.harmonise import scores
from valenza.labels.taxonomy import EMOTIONS, POSITION
from valenza.shards.index import SCHEMA

FACTS = {
    "title": "t",
    "languages": ("de",),
    "licence": "none",
    "audio": "*.wav",
    "pattern": "(?P<speaker>.)(?P<label>.)",
}
LABELS = {"A": "anger", "B": {"neutral": 0.5, "other": 0.3, "sadness": 0.2}, "W": {"fear": 0.4}, "X": None}
CARDS = {
    "one": Card(id="one", labels=LABELS, intensities={"weak": 0.6, "none": 0.0}, **FACTS),
    "two": Card(id="two", labels={"A": "happiness", "N": "neutral"}, known=("happiness", "neutral", "fear"), **FACTS),
}


def table(*rows: dict[str, object]) -> pa.Table:
    facts = {"shard": "s", "offset": 0, "size": 0, "crc32": 0, "samples": 1, "duration": 1.0, "language": "de",
             "speaker": "s", "recording": "r", "source": "s", "corpus": "one"}  # fmt: skip
    return pa.Table.from_pylist([{**facts, "id": f"clip{i}", **row} for i, row in enumerate(rows)], SCHEMA)


def row(**of: float) -> np.ndarray:
    values = np.zeros(len(EMOTIONS))
    for emotion, value in of.items():
        values[POSITION[emotion]] = value
    return values


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"label": "A"}, {"anger": 1.0}),
        ({"label": "B"}, {"neutral": 0.5, "other": 0.3, "sadness": 0.2}),
        ({"label": "W"}, {"fear": 0.4}),
        ({"label": "X"}, {}),
        ({"label": None}, {}),
        ({"label": "A", "intensity": "weak"}, {"anger": 0.6}),
        ({"label": "A", "intensity": "none"}, {}),
        ({"label": "A", "intensity": "unheard of"}, {"anger": 1.0}),
        ({"label": "X", "votes": [("A", 3.0), ("W", 1.0)]}, {"anger": 0.75, "fear": 0.1}),
        ({"label": "W", "votes": [("A", 1.0), ("X", 1.0)]}, {"anger": 0.5}),
        ({"label": "A", "votes": [("W", 0.0)]}, {"anger": 1.0}),
        ({"label": "A", "votes": []}, {"anger": 1.0}),
        ({"label": "A", "votes": [("A", 1.0), ("never heard of", 0.0)]}, {"anger": 1.0}),
        (
            {"votes": [("A", 0.2), ("B", 0.6)], "intensity": "weak"},
            {"anger": 0.15, "neutral": 0.225, "other": 0.135, "sadness": 0.09},
        ),
        ({"label": "A", "corpus": "two", "intensity": "weak"}, {"happiness": 1.0}),
    ],
)
def test_votes_labels_weights_and_intensities(said: dict[str, object], wanted: dict[str, float]) -> None:
    found = scores(table(said), CARDS)
    np.testing.assert_allclose(found.values[0], row(**wanted), atol=1e-12)
    assert found.used[0] == bool(wanted)
    np.testing.assert_allclose(found.targets[0].sum(), 1.0 if wanted else 0.0)


def test_known_is_what_the_annotators_could_choose() -> None:
    known = scores(table({"label": "A"}, {"label": "A", "corpus": "two"}), CARDS).known
    assert {e for e, k in zip(EMOTIONS, known[0], strict=True) if k} == {"anger", "neutral", "other", "sadness", "fear"}
    assert {e for e, k in zip(EMOTIONS, known[1], strict=True) if k} == {"happiness", "neutral", "fear"}


def test_labels_that_the_manifest_does_not_know_are_told_once_each_with_a_clip() -> None:
    rows = table({"label": "Q"}, {"label": "Q"}, {"votes": [("A", 1.0), ("R", 1.0)]}, {"corpus": "two", "label": "W"})
    with pytest.raises(DataError) as caught:
        scores(rows, CARDS)
    assert str(caught.value).splitlines() == [
        "one: the label 'Q' of clip0 is not in the manifest",
        "one: the label 'R' of clip2 is not in the manifest",
        "two: the label 'W' of clip3 is not in the manifest",
    ]


def slow(said: dict[str, object]) -> dict[str, float]:
    meanings = {"A": {"anger": 1.0}, "B": LABELS["B"], "W": LABELS["W"], "X": {}}
    votes = {k: v for k, v in said["votes"] or [] if v > 0}
    if not votes:
        votes = {said["label"]: 1.0} if said["label"] is not None else {}
    result = dict.fromkeys(EMOTIONS, 0.0)
    for native in votes:
        for emotion, weight in meanings[native].items():
            share = votes[native] / sum(votes.values())
            result[emotion] += share * weight * {"weak": 0.6, "none": 0.0}.get(said["intensity"], 1.0)
    return result


natives = st.sampled_from("ABWX")
clips = st.fixed_dictionaries(
    {
        "label": st.none() | natives,
        "votes": st.none()
        | st.dictionaries(natives, st.floats(0, 30).filter(lambda v: v == 0 or v > 1e-6)).map(
            lambda d: list(d.items())
        ),
        "intensity": st.sampled_from([None, "weak", "strong", "none"]),
    }
)


@settings(max_examples=100, deadline=None)
@given(st.lists(clips, max_size=6))
def test_equals_a_slow_version(said: list[dict[str, object]]) -> None:
    found = scores(table(*said), CARDS)
    wanted = np.array([[slow(s)[e] for e in EMOTIONS] for s in said]).reshape(-1, len(EMOTIONS))
    np.testing.assert_allclose(found.values, wanted, atol=1e-12)
    np.testing.assert_array_equal(found.used, wanted.sum(axis=1) > 0)
    assert (found.values[~found.known] == 0).all()
