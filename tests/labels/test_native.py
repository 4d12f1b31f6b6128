"""Native ratings of clips: marks, counts of votes and labels."""

import pyarrow as pa
import pytest

from valenza.corpora.card import Card
from valenza.errors import DataError, UsageError
from valenza.labels.native import native_ratings

VOTES = pa.map_(pa.string(), pa.float64())
NAMES = ("happy", "sad")


def card(name: str, ratings: float | None = None) -> Card:
    labels = {"happy": "happiness", "sad": "sadness", "calm": "neutral"}
    values = {"id": name, "title": "", "languages": ["en"], "licence": "", "audio": "*", "ratings": ratings}
    return Card.model_validate({**values, "pattern": "(?P<label>.)(?P<speaker>.)", "labels": labels})


def index(corpus: str, *clips: tuple[str | None, dict[str, float] | None]) -> pa.Table:
    return pa.table(
        {
            "id": [f"c{i}" for i in range(len(clips))],
            "corpus": [corpus] * len(clips),
            "label": pa.array([label for label, _ in clips], pa.string()),
            "votes": pa.array([None if v is None else list(v.items()) for _, v in clips], VOTES),
        }
    )


def test_marks_are_shares_of_the_highest() -> None:
    clips = (("sad", {"happy": 3.0, "sad": 1.5, "calm": 2.0}), (None, {"happy": 0.0}), ("happy", None), (None, None))
    found = native_ratings(index("a", *clips), {"a": card("a", ratings=3)}, NAMES)
    assert found.values.tolist() == [[1.0, 0.5], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]
    assert found.rated.tolist() == [True, True, True, False]  # marks of 0 throughout are a rating


def test_votes_are_shares_of_the_voters() -> None:
    clips = ((None, {"happy": 3.0, "calm": 1.0}), ("calm", {"happy": 0.0}), ("sad", None), (None, {"sad": 2.0}))
    found = native_ratings(index("a", *clips), {"a": card("a")}, ("sad", "happy"))
    assert found.values.tolist() == [[0.0, 0.75], [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    assert found.rated.tolist() == [True, False, True, True]


def test_a_mark_above_the_highest_and_a_name_that_nobody_has_are_told() -> None:
    with pytest.raises(DataError, match="a: c0 rates 'happy' with 4, beyond 0 … 3"):
        native_ratings(index("a", (None, {"happy": 4.0})), {"a": card("a", ratings=3)}, NAMES)
    with pytest.raises(UsageError, match="did you mean 'happy'"):
        native_ratings(index("a"), {"a": card("a")}, ("hapy",))
