"""Baselines: the probe against scikit-learn, and a layer that is chosen without the target."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from valenza.errors import UsageError
from valenza.evaluation.baselines.chance import majority, random_head
from valenza.evaluation.baselines.egemaps import Machine
from valenza.evaluation.baselines.layers import LayerProbes
from valenza.evaluation.baselines.logistic import fit
from valenza.evaluation.baselines.probe import Probe, fit_probe
from valenza.evaluation.clips import sample
from valenza.evaluation.protocol import columns, predict
from valenza.labels.taxonomy import POSITION
from valenza.shards.read import Reader
from valenza.shards.stored import read_index

FOUR = ["happiness", "sadness", "anger", "neutral"]


def test_logistic_regression_equals_scikit_learn_where_that_can_say_the_problem() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    x = generator.normal(0, 3, (300, 6)) + np.eye(4, 6)[labels] * 3 + 5
    targets, known = np.zeros((300, 8)), np.ones((300, 8), dtype=bool)
    targets[np.arange(300), labels] = 1
    found = fit(x, targets, known, np.ones(300), decay=0.01, iterations=2_000)
    reference = LogisticRegression(C=1 / (300 * 0.01), tol=1e-10, max_iter=5_000)
    reference.fit(StandardScaler().fit_transform(x), labels)
    probabilities = predict(found.logits(x), ["happiness", "sadness", "disgust", "fear"], None)[:, :4]
    np.testing.assert_allclose(probabilities, reference.predict_proba(StandardScaler().fit_transform(x)), atol=1e-4)
    assert (found.logits(x)[:, 4:] < -1e26).all()


def test_a_class_that_a_corpus_never_offered_is_not_a_zero_there() -> None:
    """Corpus b knows no fear. Its clips look like fear, and must not teach that fear looks otherwise."""
    generator = np.random.default_rng(1)
    x = np.concatenate([generator.normal(0, 1, (400, 2)), generator.normal([2, 0], 1, (400, 2))])
    fear, sad, angry = POSITION["fear"], POSITION["sadness"], POSITION["anger"]
    labels = np.where(x[:, 1] > 0, sad, angry)
    labels[:400] = np.where(x[:400, 0] > 0.5, fear, labels[:400])
    targets, known = np.eye(8)[labels], np.ones((800, 8), dtype=bool)
    told = known.copy()
    told[400:, fear] = False
    query = np.array([[2.5, 0.1]])
    share = [
        predict(fit(x, targets, k, np.ones(800), decay=0.01).logits(query), ["sadness", "fear"], None)[0, fear]
        for k in (told, known)
    ]
    assert share[0] > 0.9 > 0.6 > share[1]


def corpora_in_languages(layers: int = 3, width: int = 10) -> dict[str, np.ndarray]:
    """Layer 1 carries emotion the same way everywhere; layer 2 tells it clearly but differently in every language."""
    generator = np.random.default_rng(4)
    labels = generator.choice(columns(FOUR), 480)
    corpus = np.repeat(np.arange(4), 120)
    x = generator.normal(0, 1, (480, layers, width))
    everywhere, own = generator.normal(0, 0.8, (8, width)), generator.normal(0, 4, (4, 8, width))
    x[:, 1] += everywhere[labels]
    x[:, 2] += own[corpus, labels]
    names = np.array(["a", "b", "c", "d"])[corpus]
    return {
        "x": x.astype(np.float32),
        "labels": labels,
        "corpora": names,
        "languages": names,
        "speakers": np.arange(480) // 8,
    }


def probe(data: dict[str, np.ndarray], inside: np.ndarray, **changed: np.ndarray) -> Probe:
    groups = {k: (changed.get(k, data[k]))[inside] for k in ("corpora", "languages", "speakers")}
    scores = np.eye(8)[data["labels"][inside]]
    return fit_probe(data["x"][inside], scores, np.ones(scores.shape, dtype=bool), **groups)


def test_the_layer_is_the_one_that_crosses_languages() -> None:
    data = corpora_in_languages()
    train = data["corpora"] != "d"
    found = probe(data, train)
    assert (found.layer, found.unit) == (1, "language")
    assert {(t.layer, t.held_out) for t in found.trials} == {(i, c) for i in range(3) for c in "abc"}
    predicted = predict(found.logits(data["x"][~train]), FOUR, found.prior).argmax(axis=1)
    assert np.mean(predicted == data["labels"][~train]) > 0.5
    assert found.prior.sum() == pytest.approx(1)


def test_with_one_language_corpora_are_held_out_and_with_one_corpus_speakers() -> None:
    data = corpora_in_languages()
    same = np.full(480, "en")
    assert probe(data, np.ones(480, dtype=bool), languages=same).unit == "corpus"
    alone = probe(data, data["corpora"] == "a")
    assert (alone.unit, alone.layer) == ("speaker", 2)
    assert probe(data, data["corpora"] == "a", speakers=np.zeros(480)).unit == "clip"


def test_each_corpus_weighs_the_same_and_empty_rows_are_dropped() -> None:
    data = corpora_in_languages()
    scores = np.eye(8)[data["labels"]]
    scores[:200] = 0
    scores[360:] = np.eye(8)[POSITION["anger"]]
    groups = {k: data[k] for k in ("corpora", "languages", "speakers")}
    found = fit_probe(data["x"], scores, np.ones(scores.shape, dtype=bool), **groups)
    # b has 40 clips left, c and d 120 each; d is all anger, a third of the mass.
    assert found.prior[POSITION["anger"]] > 1 / 3
    with pytest.raises(UsageError, match="no training clip has a label"):
        fit_probe(data["x"], scores * 0, np.ones(scores.shape, dtype=bool), **groups)


def test_a_realistic_probe_is_quick() -> None:
    generator = np.random.default_rng(0)
    labels, corpus = generator.integers(0, 8, 1_000), np.repeat(np.arange(4), 250)
    x = generator.normal(0, 1, (1_000, 3, 512)).astype(np.float32)
    started = time.monotonic()
    names = corpus.astype(str)
    fit_probe(x, np.eye(8)[labels], np.ones((1_000, 8), dtype=bool), corpora=names, languages=names, speakers=names)
    assert time.monotonic() - started < 90  # 4 s where nothing else runs


def test_random_heads_start_as_pytorch_does_and_their_luck_is_averaged() -> None:
    generator = np.random.default_rng(7)
    features = generator.normal(0, 1, (2_000, 64)) + 0.5
    predicted = random_head(features, FOUR, seed=3)
    assert predicted.shape == (20, 2_000)
    assert np.isin(predicted, columns(FOUR)).all()
    np.testing.assert_array_equal(predicted, random_head(features, FOUR, seed=3))
    truth = generator.choice(columns(FOUR), 2_000)
    assert np.mean(predicted == truth) == pytest.approx(0.25, abs=0.02)
    torch.manual_seed(0)
    heads = [torch.nn.Linear(64, 8) for _ in range(300)]
    spread = torch.stack([head(torch.from_numpy(features[:20]).float()) for head in heads]).std().item()
    bound = 1 / 8
    assert spread == pytest.approx(np.sqrt(bound**2 / 3 * (np.square(features[:20]).sum(axis=1).mean() + 1)), rel=0.05)


def test_the_majority_is_that_of_training_among_what_the_corpus_has() -> None:
    prior = np.array([0.1, 0.2, 0.05, 0.05, 0.0, 0.25, 0.0, 0.35])
    assert majority(prior, FOUR, 3).tolist() == [[7, 7, 7]]
    assert majority(prior, ["happiness", "sadness"], 1).tolist() == [[1]]


def test_a_sample_is_even_over_corpora() -> None:
    corpora = np.array(["big"] * 1_000 + ["small"] * 10 + ["middle"] * 200)
    taken = sample(corpora, 300, seed=1)
    names, sizes = np.unique(corpora[taken], return_counts=True)
    assert dict(zip(names.tolist(), sizes.tolist(), strict=True)) == {"big": 145, "middle": 145, "small": 10}
    assert len(np.unique(taken)) == 300
    np.testing.assert_array_equal(sample(corpora, 5_000, seed=1), np.arange(1_210))


def test_the_best_layers_probe_is_scikit_learns_and_chooses_by_the_answers() -> None:
    data = corpora_in_languages()
    train, classes = data["corpora"] != "d", ["happiness", "sadness", "anger", "neutral"]
    corpora, labels = data["corpora"][train], data["labels"]
    found = LayerProbes(data["x"][train], np.eye(8)[labels[train]], corpora)
    predicted, told = found.best(data["x"][~train], labels[~train], classes, adjust=False)
    scores = []
    for layer in range(3):
        scaler = StandardScaler().fit(data["x"][train, layer])
        reference = LogisticRegression(C=LayerProbes.COST, tol=1e-8, max_iter=2_000)
        reference.fit(scaler.transform(data["x"][train, layer]), labels[train])
        said = reference.predict(scaler.transform(data["x"][~train, layer]))
        scores.append(f1_score(labels[~train], said, average="macro"))
        assert told["by_layer"]["micro_f1"][layer] == pytest.approx(np.mean(said == labels[~train]), abs=0.02)
    assert told["by_layer"]["macro_f1"] == pytest.approx(scores, abs=0.02)
    assert told["layer"] == int(np.argmax(scores))
    assert f1_score(labels[~train], predicted[0], average="macro") == pytest.approx(told["by_layer"]["macro_f1"][1])
    assert told["flattered"] is True


def test_the_machine_is_scikit_learns_and_stays_within_the_corpuss_classes() -> None:
    generator = np.random.default_rng(3)
    labels = generator.choice(columns(FOUR), 400)
    x = (generator.normal(0, 1, (400, 12)) + 1.2 * np.eye(8, 12)[labels]).astype(np.float32)
    scores, corpora = np.eye(8)[labels], np.repeat(["a", "b"], [300, 100])
    scores[:5] = 0.5  # tied, so left out
    found = Machine(x, scores, corpora, seed=1)
    weights = np.where(corpora[5:] == "a", 1 / 295, 1 / 100)
    scaler = StandardScaler().fit(x[5:].astype(np.float64), sample_weight=weights)
    reference = LinearSVC(C=Machine.C, dual=False)
    reference.fit(scaler.transform(x[5:].astype(np.float64)), labels[5:], sample_weight=weights / weights.mean())
    predicted, _ = found.predict(x, FOUR)
    np.testing.assert_array_equal(predicted[0], reference.predict(scaler.transform(x.astype(np.float64))))
    two, _ = found.predict(x, ["sadness", "fear"])
    assert set(two[0].tolist()) == {POSITION["sadness"]}
    with pytest.raises(UsageError, match="fear"):
        found.predict(x, ["fear"])


def test_real_speech_gives_the_88_functionals_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corner: Any
) -> None:
    from valenza.evaluation.baselines.egemaps import functionals

    monkeypatch.setenv("VALENZA_CACHE", str(tmp_path))
    index = read_index(corner.shards, ["german"])
    reader, ids = Reader(corner.shards, index), index["id"].to_pylist()
    first = functionals(reader, ids, [3, 5], label="")
    assert first.shape == (2, 88)
    assert np.isfinite(first).all()
    assert not np.array_equal(first[0], first[1])
    (kept,) = (tmp_path / "functionals").iterdir()
    np.save(kept, first + 1)
    np.testing.assert_array_equal(functionals(reader, ids, [3, 5], label=""), first + 1)
    np.testing.assert_array_equal(functionals(reader, ids, [5], label=""), first[1:])
