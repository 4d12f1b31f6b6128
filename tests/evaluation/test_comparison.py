"""Comparing runs: against scipy, against loops that copy clips about, and on clips that are not the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from valenza.errors import UsageError
from valenza.evaluation.bootstrap import unit_confusions
from valenza.evaluation.comparison.compare import compare_runs
from valenza.evaluation.comparison.paired import difference, draw, mcnemar
from valenza.evaluation.comparison.show import show_comparison
from valenza.evaluation.predictions import Answers, beside, read_predictions, rows, write_predictions
from valenza.evaluation.protocol import columns
from valenza.evaluation.results import write_results
from valenza.evaluation.score import score

FOUR = ["happiness", "sadness", "anger", "neutral"]
Make = Callable[..., Path]


def answers(quality: float, clips: int = 240, seed: int = 0, corpus: str = "x") -> dict[str, Any]:
    """Labels and groups are the same for every model; `seed` draws its mistakes."""
    generator = np.random.default_rng(len(corpus))
    labels = generator.choice(columns(FOUR), clips)
    speakers = generator.integers(0, 8, clips).astype(str)
    hard = generator.beta(2, 2, 8)[speakers.astype(int)]
    own = np.random.default_rng([seed, 77])
    logits = own.normal(0, 1, (clips, 4)) + (quality + 2 * hard)[:, None] * (labels[:, None] == np.array(columns(FOUR)))
    shares = np.zeros((clips, 8))
    shares[:, columns(FOUR)] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    groups = {"speaker": speakers, "recording": np.arange(clips).astype(str)}
    groups |= {"language": np.full(clips, "de"), "gender": np.full(clips, "F")}
    return {"ids": [f"{corpus}{i:04d}" for i in range(clips)], "labels": labels, "shares": shares, "groups": groups}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(name: str, **corpora: dict[str, Any]) -> Path:
        told, tables = {}, []
        for corpus, a in corpora.items():
            own = a["labels"] >= 0
            groups = {kind: names[own] for kind, names in a["groups"].items()}
            told[corpus] = {
                "zero_shot": True, "languages": ["de"], "classes": FOUR,
                **score(a["labels"][own], a["shares"][own], FOUR, groups, seed=1),
            }  # fmt: skip
            annotated = np.eye(8)[a["labels"]]
            tables.append(rows(corpus, a["ids"], a["groups"], a["labels"], a["shares"], annotated))
        file = tmp_path / name / "results.json"
        write_results({"format": 1, "checkpoint": "step-1", "run": name, "corpora": told}, file)
        write_predictions(tables, beside(file))
        return file.parent

    return write


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 17), (17, 5), (9, 9), (0, 12), (40, 61), (1, 0)])
def test_mcnemar_is_scipys_binomial_test_and_a_slow_mid_p(b: int, c: int) -> None:
    first = np.array([True] * b + [False] * c + [True] * 20 + [False] * 7)
    second = np.array([False] * b + [True] * c + [True] * 20 + [False] * 7)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (b, c)
    if b + c == 0:
        assert (found.exact_p, found.mid_p) == (1.0, 1.0)
        return
    assert found.exact_p == pytest.approx(binomtest(b, b + c, 0.5).pvalue)
    less = [binomtest(k, b + c, 0.5, alternative="less").pvalue for k in range(min(b, c) + 1)]
    point = less[-1] - (less[-2] if len(less) > 1 else 0.0)
    # Half of the probability of the split as it is, in each tail; where both tails meet, it is there once.
    expected = 1 - point / 2 if b == c else 2 * (less[-1] - point / 2)
    assert found.mid_p == pytest.approx(expected)
    assert found.mid_p <= found.exact_p


def test_the_paired_bootstrap_equals_a_loop_that_copies_clips() -> None:
    one, other = answers(0.3), answers(0.8, seed=1)
    labels, who = one["labels"], one["groups"]["speaker"].astype(int)
    predicted = [a["shares"].argmax(axis=1) for a in (one, other)]
    classes = columns(FOUR)
    drawn = [draw([unit_confusions(labels, p, who, classes)], "x", side, seed=3, draws=40)
             for side, p in enumerate(predicted)]  # fmt: skip
    import zlib

    generator = np.random.default_rng(zlib.crc32(b"3 x"))
    slow: dict[str, list[float]] = {"micro_f1": [], "macro_f1": []}
    for _ in range(40):
        times = generator.multinomial(8, np.full(8, 1 / 8))
        clips = np.concatenate([np.flatnonzero(who == u) for u in range(8) for _ in range(times[u])])
        for name, average in (("micro_f1", "micro"), ("macro_f1", "macro")):
            scores = [f1_score(labels[clips], p[clips], average=average) for p in predicted]
            slow[name].append(scores[1] - scores[0])
    for name, gaps in slow.items():
        np.testing.assert_allclose(drawn[1].scores[name] - drawn[0].scores[name], gaps, atol=1e-12)
        found = difference(0.0, float(np.mean(gaps)), (drawn[0].scores[name], drawn[1].scores[name]))
        assert found.ci95 == pytest.approx(tuple(np.percentile(gaps, [2.5, 97.5])))
        fewer = min(sum(g <= 1e-15 for g in gaps), sum(g >= -1e-15 for g in gaps))
        assert found.p == pytest.approx(min(1.0, 2 * (fewer + 1) / 41))


def test_seeds_are_drawn_again_too() -> None:
    classes = columns(FOUR)
    one = answers(0.0)
    labels, who = one["labels"], one["groups"]["speaker"].astype(int)
    good = unit_confusions(labels, labels, who, classes)
    bad = unit_confusions(labels, np.roll(np.array(classes), 1)[np.searchsorted(classes, labels)], who, classes)
    found = draw([good, bad], "x", 0, seed=1, draws=4_000).scores["micro_f1"]
    # One run is always right and the other always wrong: 0, a half or 1, by how often each was drawn.
    values, counts = np.unique(found, return_counts=True)
    assert values.tolist() == [0.0, 0.5, 1.0]
    assert (counts / 4_000).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_a_better_model_is_found_and_an_equal_one_is_not(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    worse, better = (
        make("worse", x=answers(0.0), yy=answers(0.0, corpus="yy")),
        make("better", x=answers(1.5), yy=answers(1.5, corpus="yy")),
    )
    found = compare_runs([str(worse), str(better), str(worse / "results.json")], draws=500)
    first, second = found["comparisons"]
    told = first["corpora"]["x"]
    micro = told["difference"]["micro_f1"]
    assert micro["value"] == pytest.approx(told["second"]["micro_f1"] - told["first"]["micro_f1"])
    assert 0 < micro["ci95"][0] < micro["value"] < micro["ci95"][1]
    assert micro["p"] < 0.01
    test = told["mcnemar"]
    assert test["only_second"] - test["only_first"] == round(micro["value"] * 240)
    assert test["mid_p"] < 0.01
    assert set(told["per_class_f1"]) == set(FOUR)
    mean = first["mean"]["difference"]["micro_f1"]
    assert mean["value"] == pytest.approx(
        np.mean([c["difference"]["micro_f1"]["value"] for c in first["corpora"].values()])
    )
    assert np.diff(mean["ci95"])[0] < np.diff(micro["ci95"])[0]
    same = second["corpora"]["x"]["difference"]["micro_f1"]
    assert (same["value"], same["ci95"], same["p"]) == (0.0, [0.0, 0.0], 1.0)
    json.dumps(found, allow_nan=False)
    show_comparison(found)
    out = capsys.readouterr().out
    assert "better against worse #1" in out
    assert "mean over corpora" in out


def test_groups_of_seeds_are_compared_by_their_means(make: Make) -> None:
    a = [make(f"a-{seed}", x=answers(0.2, seed=seed)) for seed in (1, 2, 3)]
    b = [make(f"b-{seed}", x=answers(1.2, seed=seed)) for seed in (4, 5)]
    found = compare_runs([",".join(map(str, a)), ",".join(map(str, b))], draws=500)
    (pair,) = found["comparisons"]
    assert (pair["first"], pair["second"]) == ("a (3 runs)", "b (2 runs)")
    told = pair["corpora"]["x"]
    each = [read_predictions(beside(path / "results.json"))["x"] for path in a]
    assert told["first"]["micro_f1"] == pytest.approx(np.mean([np.mean(x.labels == x.predicted) for x in each]))
    assert told["mcnemar"] is None
    alone = compare_runs([str(a[0]), str(b[0])], draws=500)["comparisons"][0]["corpora"]["x"]
    assert told["difference"]["micro_f1"]["value"] > 0
    assert alone["mcnemar"] is not None


def test_runs_on_other_clips_are_refused_with_what_differs(make: Make, tmp_path: Path) -> None:
    whole = answers(0.5)
    cut = {**whole, "ids": whole["ids"][3:], "labels": whole["labels"][3:], "shares": whole["shares"][3:]}
    cut["groups"] = {kind: names[3:] for kind, names in whole["groups"].items()}
    base, fewer = make("base", x=whole), make("fewer", x=cut)
    with pytest.raises(UsageError, match=r"3 that only base has \(x0000, x0001, x0002\)"):
        compare_runs([str(base), str(fewer)])
    other = {**whole, "labels": np.where(np.arange(240) == 7, 0, whole["labels"])}
    changed = int((other["labels"] != whole["labels"]).sum())
    if changed:
        with pytest.raises(UsageError, match="hold 1 clips to different labels"):
            compare_runs([str(base), str(make("relabelled", x=other))])
    more = make("more", x=whole, yy=answers(0.5, corpus="yy"))
    with pytest.raises(UsageError, match="more was scored on yy too"):
        compare_runs([str(base), str(more)])
    assert compare_runs([str(base), str(more)], corpora=["x"], draws=100)["comparisons"]
    with pytest.raises(UsageError, match="base was not scored on yy"):
        compare_runs([str(base), str(more)], corpora=["yy"])
    (base / "results.parquet").write_bytes(b"no")
    with pytest.raises(UsageError, match=r"results\.parquet: cannot be read"):
        compare_runs([str(base), str(more)])
    with pytest.raises(UsageError, match="cannot be read"):
        compare_runs([str(tmp_path / "nowhere"), str(more)])


def test_predictions_come_back_as_they_were_without_unscored_clips(make: Make) -> None:
    given = answers(0.4, clips=30)
    given["labels"] = np.where(np.arange(30) % 10 == 4, -1, given["labels"])
    back = read_predictions(beside(make("one", x=given) / "results.json"))["x"]
    scored = given["labels"] >= 0
    assert isinstance(back, Answers)
    assert back.ids.tolist() == [i for i, own in zip(given["ids"], scored, strict=True) if own]
    np.testing.assert_array_equal(back.labels, given["labels"][scored])
    np.testing.assert_array_equal(back.predicted, given["shares"].argmax(axis=1)[scored])
    assert back.speakers.tolist() == given["groups"]["speaker"][scored].tolist()
