"""The zero-shot protocol: what is banned, what is adjusted, what is left out, and what training must not have met."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valenza.errors import NonFiniteError, UsageError
from valenza.evaluation.leakage import leaks
from valenza.evaluation.protocol import columns, predict, scored_classes, training_prior, truth
from valenza.labels.taxonomy import EMOTIONS, POSITION

FOUR = ["happiness", "sadness", "anger", "neutral"]


def some_prior(*unseen: str) -> np.ndarray:
    prior = np.arange(1.0, 9.0)
    prior[[POSITION[name] for name in unseen]] = 0
    return prior / prior.sum()


@given(st.integers(0, 10_000), st.sets(st.sampled_from(EMOTIONS), min_size=1), st.booleans())
def test_probabilities_are_softmax_over_what_is_allowed(seed: int, allowed: set[str], adjusted: bool) -> None:
    generator = np.random.default_rng(seed)
    logits, prior = generator.normal(0, 4, (6, 8)), generator.dirichlet(np.ones(8)) + 1e-6
    prior /= prior.sum()
    classes = [name for name in EMOTIONS if name in allowed]
    inside = columns(classes)
    found = predict(logits, classes, prior if adjusted else None)
    weight = np.exp(logits[:, inside]) / (prior[inside] if adjusted else 1.0)
    np.testing.assert_allclose(found[:, inside], weight / weight.sum(axis=1, keepdims=True), rtol=1e-9)
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert not found[:, [i for i in range(8) if i not in inside]].any()


def test_a_class_unseen_in_training_never_wins() -> None:
    """Subtracting log(0 + 1e-12) would add 27.6 to it, and every clip would be surprise."""
    logits = np.zeros((5, 8))
    found = predict(logits, ["sadness", "surprise"], some_prior("surprise"))
    assert (found.argmax(axis=1) == POSITION["sadness"]).all()
    assert found[:, POSITION["surprise"]].sum() == 0
    unadjusted = predict(logits, [*FOUR, "surprise"], some_prior("surprise"), adjust=False)
    np.testing.assert_allclose(unadjusted[:, columns(FOUR)], 0.25)


def test_refuses_what_cannot_be_predicted() -> None:
    with pytest.raises(UsageError, match="surprise"):
        predict(np.zeros((1, 8)), ["surprise"], some_prior("surprise"))
    broken = np.zeros((3, 8))
    broken[1, 2] = np.nan
    with pytest.raises(NonFiniteError, match="1 of 3 clips"):
        predict(broken, FOUR, None)


def test_ties_and_empty_rows_are_left_out_and_counted() -> None:
    scores = np.zeros((4, 8))
    scores[0, [1, 5]] = 0.5
    scores[1, 3] = 0.2
    scores[2, [0, 7]] = 0.4, 0.4 + 1e-3
    told = truth(scores)
    assert told.labels.tolist() == [-1, 3, 7, -1]
    assert told.left_out == {"unlabelled": 1, "tied": 1}
    assert told.scored.tolist() == [False, True, True, False]


def test_classes_occur_and_are_known_and_keep_the_papers_order() -> None:
    known = np.ones(8, dtype=bool)
    assert scored_classes(np.array([7, 1, -1, 1, 0]), known) == ("happiness", "sadness", "neutral")
    known[POSITION["sadness"]] = False
    assert scored_classes(np.array([7, 1, 0]), known) == ("happiness", "neutral")


def test_the_prior_counts_each_clip_by_its_weight_only() -> None:
    scores = np.zeros((4, 8))
    scores[0, 1], scores[1, 5], scores[2, [1, 5]] = 0.1, 5.0, 1.0
    prior = training_prior(scores, np.array([2.0, 1.0, 1.0, 9.0]))
    assert prior[[1, 5]] == pytest.approx([2.5 / 4, 1.5 / 4])
    with pytest.raises(UsageError, match="no training clip has a label"):
        training_prior(np.zeros((2, 8)), np.ones(2))


def rows(**changed: list[object]) -> pa.Table:
    table: dict[str, list[object]] = {
        "corpus": ["a", "a"], "recording": ["t1", "t2"], "speaker": ["s1", "s2"], "language": ["de", "de-AT"],
        "id": ["x1", "x2"], "size": [10, 20], "crc32": [1, 2], "samples": [100, 200],
    }  # fmt: skip
    return pa.table({**table, **changed})


def test_leaks_name_what_training_has_met() -> None:
    other = rows(corpus=["b", "b"], language=["ur", "ur"], crc32=[3, 4])
    assert leaks(rows(), other, cross_lingual=True) == []
    assert leaks(rows(), rows(corpus=["b", "b"], crc32=[3, 4]), cross_lingual=True) == ["language de was trained on"]
    assert leaks(rows(), rows(corpus=["b", "b"], crc32=[3, 4]), cross_lingual=False) == []
    wordless = {"language": ["zxx", "zxx"]}
    assert leaks(rows(**wordless), rows(corpus=["b", "b"], crc32=[3, 4], **wordless), cross_lingual=True) == []
    (copied,) = leaks(rows(), rows(corpus=["b", "b"], crc32=[3, 2]), cross_lingual=False)
    assert copied == "1 clips have the same audio as a training clip: x2"
    same = leaks(rows(), rows(recording=["t1", "t9"], speaker=["s7", "s2"], crc32=[5, 6]), cross_lingual=False)
    assert same == ["1 recordings were trained on: a/t1", "1 speakers were trained on: a/s2"]
