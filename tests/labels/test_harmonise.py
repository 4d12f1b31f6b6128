"""What annotators said against a slow version that knows nothing of arrays."""

import time

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
        ({"label": "A", "votes": [("X", 2.0)]}, {}),
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
    faint = said.get("intensity") == "none"
    assert found.used[0] == (bool(wanted) or faint)
    np.testing.assert_allclose(found.targets[0].sum(), 1.0 if wanted or faint else 0.0)


MARKED = Card(
    id="marked", labels={"H": "happiness", "J": "joy", "A": "anger", "C": "contempt", "X": None}, ratings=3, **FACTS
)
SURE = MARKED.model_copy(update={"id": "sure", "known": ("happiness", "anger", "disgust")})


@pytest.mark.parametrize(
    ("votes", "wanted", "used"),
    [
        ([("H", 3.0)], {"happiness": 1.0}, True),
        ([("H", 1.0), ("A", 2.0)], {"happiness": 1 / 3, "anger": 2 / 3}, True),
        ([("H", 3.0), ("A", 3.0), ("C", 3.0)], {"happiness": 1.0, "anger": 1.0, "disgust": 0.5}, True),
        ([("H", 2.0), ("J", 2.0)], {"happiness": 1.0}, True),
        ([("H", 0.0), ("A", 0.0)], {}, True),
        ([("H", 0.0), ("heard of nowhere", 0.0)], {}, True),
        ([("X", 0.0)], {}, False),
        ([("X", 3.0)], {}, False),
        ([], {"anger": 1.0}, True),
        (None, {"anger": 1.0}, True),
    ],
)
def test_marks(votes: list[tuple[str, float]] | None, wanted: dict[str, float], used: bool) -> None:
    rows = [{"label": "A", "votes": votes, "corpus": corpus} for corpus in ("marked", "sure")]
    found = scores(table(*rows), {"marked": MARKED, "sure": SURE})
    np.testing.assert_allclose(found.values, [row(**wanted)] * 2, atol=1e-12)
    assert found.used[0] == used
    assert found.used[1] == (used and bool(wanted))  # where nobody could say neutral, nothing was said
    if used and not wanted:
        np.testing.assert_array_equal(found.targets[0], row(neutral=1.0))


def test_a_mark_beyond_the_highest_is_refused() -> None:
    with pytest.raises(DataError, match=r"marked: the label 'H' of clip1 is marked beyond the manifest's `ratings`"):
        scores(table({"votes": [("H", 3.0)], "corpus": "marked"}, {"votes": [("H", 4.0)], "corpus": "marked"}),
               {"marked": MARKED})  # fmt: skip


def test_a_slice_of_an_index_means_what_the_whole_does() -> None:
    rows = table(
        *[{"label": "A", "votes": v} for v in ([("A", 1.0), ("W", 1.0)], None, [("B", 2.0)], [], [("W", 3.0)])]
    )
    whole, part = scores(rows, CARDS), scores(rows.slice(1, 3), CARDS)
    np.testing.assert_array_equal(part.values, whole.values[1:4])
    joined = scores(pa.concat_tables([rows.slice(3), rows.slice(0, 2)]), CARDS)
    np.testing.assert_array_equal(joined.values, whole.values[[3, 4, 0, 1]])


def test_150000_clips_take_seconds() -> None:
    one = table(*[{"label": "A", "votes": [("A", 1.0), ("B", 2.0), ("W", float(i))]} for i in range(5)])
    many = pa.concat_tables([one] * 30_000)
    began = time.perf_counter()
    assert scores(many, CARDS).used.all()
    assert time.perf_counter() - began < 5


def test_known_is_what_the_annotators_could_choose() -> None:
    def named(*rows: dict[str, object]) -> set[str]:
        known = scores(table(*rows), CARDS).known
        assert (known == known[0]).all()
        return {e for e, k in zip(EMOTIONS, known[0], strict=True) if k}

    every: list[dict[str, object]] = [{"label": native} for native in CARDS["one"].labels]
    assert named(*every) == {"anger", "neutral", "other", "sadness", "fear"}
    # a label that no clip of this copy has is nothing that its voices lack
    assert named({"label": "A"}) == {"anger", "neutral"}
    assert named({"label": None, "votes": [("A", 2.0), ("X", 1.0)]}) == {"anger", "neutral"}
    # what the manifest calls known stays known
    assert named({"label": "A", "corpus": "two"}) == {"happiness", "neutral", "fear"}


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


def told(said: dict[str, object]) -> set[str]:
    return {k for k, v in said["votes"] or [] if v > 0} or ({said["label"]} - {None})


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
    np.testing.assert_array_equal(found.used, [bool(told(s) - {"X"}) for s in said])
    assert (found.values[~found.known] == 0).all()
