"""What becomes of votes: a report, preferences, a log, tasks for another program."""

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from valenza.annotate.answers import Cast
from valenza.annotate.export import preferences
from valenza.stages.pairs.folder import Pair, Study, read_pairs

ROLES = ("careful", "careful too", "always left")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, make_study: Any, start_module: Callable[..., Any]) -> Path:
    """A study that three people judged through a real server: two with care, one always with the left key."""
    folder: Path = make_study(
        tmp_path_factory.mktemp("judged") / "pairs", plain=24, identical=2, obvious=2, swapped=2
    ).folder
    study = read_pairs(folder)
    server = start_module(folder, "--invite", 3, "--votes-per-pair", 3)
    dice = random.Random(5)
    for number, role in enumerate(ROLES):
        annotator = server.annotator(number).agree()
        while not (shown := annotator.next()).get("finished"):
            choice = "left" if role == "always left" else careful(study, shown, dice)
            assert annotator.vote(shown["pair"], choice).status_code == 200
            if dice.random() < 0.1:
                assert annotator.undo()["undone"]
    server.stop()
    return folder


def careful(study: Study, shown: Any, dice: random.Random) -> str:
    """Pass every catch trial, and else prefer the sequence with less of the last emotion, save for 15 % of chance."""
    if shown["left"] == shown["right"]:
        return "tie"
    told = {side: np.array(shown[side]["mixtures"]) for side in ("left", "right")}
    for pair in study.pairs:
        expected = study.candidates[pair.a].sequence.frames(len(told["left"]))
        for side in ("left", "right"):
            if pair.kind == "obvious" and abs(told[side] - expected).max() < 1e-3:
                return side
    if dice.random() < 0.15:
        return dice.choice(["tie", "cannot_tell", "left", "right"])
    return min(told, key=lambda side: told[side][:, -1].mean())


def live(folder: Path, valenza: Any, tmp_path: Path) -> list[dict[str, str]]:
    assert valenza("pairs", "export", folder, "--out", tmp_path / "p.jsonl", "--log", tmp_path / "log.csv")[0] == 0
    return list(csv.DictReader(io.StringIO((tmp_path / "log.csv").read_text())))


def test_the_report_is_what_the_log_says(judged: Path, valenza: Any, tmp_path: Path) -> None:
    rows = live(judged, valenza, tmp_path)
    code, out, _ = valenza("pairs", "report", judged, "--json")
    assert code == 0
    told = json.loads(out)
    standing = [row for row in rows if row["undone"] == "0"]
    people = sorted({row["annotator"] for row in rows})
    assert sorted(told["annotators"]) == people
    assert (told["pairs"], told["judged"], told["judged_by_several"], told["invited"]) == (24, 24, 24, 3)
    for name in people:
        own, person = [row for row in standing if row["annotator"] == name], told["annotators"][name]
        choices = Counter(row["choice"] for row in own)
        assert person["votes"] == len(own) == 30
        assert person["undone"] == sum(row["annotator"] == name for row in rows) - 30
        assert {key: person[key] for key in choices} == choices
        left, right = choices["left"], choices["right"]
        assert person["side_bias_p"] == pytest.approx(binomtest(left, left + right).pvalue)
        assert person["median_seconds"] == 1.2

    values = ("a", "b", "tie")
    plain = {(r["annotator"], r["pair"]): r["answer"] for r in standing if r["kind"] == "plain"}
    pairs = sorted({pair for _, pair in plain})
    codes = [[plain.get((who, pair), "") for pair in pairs] for who in people]
    numbers = np.array([[values.index(v) if v in values else np.nan for v in row] for row in codes], float)
    expected = krippendorff.alpha(reliability_data=numbers, level_of_measurement="nominal")
    assert told["alpha"] == pytest.approx(expected)
    for (one, first), (other, second) in combinations(zip(people, codes, strict=True), 2):
        both = [(a, b) for a, b in zip(first, second, strict=True) if a in values and b in values]
        kappa = next(k for k in told["kappas"] if k["annotators"] == [one, other])
        assert kappa["pairs"] == len(both)
        assert kappa["kappa"] == pytest.approx(cohen_kappa_score(*zip(*both, strict=True)))


def test_who_presses_one_key_is_named(judged: Path, valenza: Any) -> None:
    told = json.loads(valenza("pairs", "report", judged, "--json")[1])
    lazy = [name for name, person in told["annotators"].items() if person["left"] == person["votes"]]
    assert len(lazy) == 1
    assert told["annotators"][lazy[0]]["catch_passed"] < 4 == told["annotators"][lazy[0]]["catch_trials"]
    assert told["annotators"][lazy[0]]["side_bias_p"] < 1e-6
    # Whoever presses one key chooses the other candidate when the sides are exchanged.
    assert (told["annotators"][lazy[0]]["repeats_same"], told["annotators"][lazy[0]]["repeats"]) == (0, 2)
    assert told["doubtful"] == lazy
    for name in set(told["annotators"]) - set(lazy):
        assert told["annotators"][name]["catch_passed"] == 4
    code, out, err = valenza("pairs", "report", judged)
    assert code == 0
    assert out.splitlines()[1].split()[:4] == ["annotator", "votes", "undone", "left"]
    assert len(out.splitlines()) == 6
    assert f"{lazy[0]} passed" in err
    assert "Krippendorff's alpha" in err


def test_preferences(judged: Path, valenza: Any, tmp_path: Path) -> None:
    study = read_pairs(judged)
    rows = [row for row in live(judged, valenza, tmp_path) if row["undone"] == "0" and row["kind"] == "plain"]
    assert valenza("pairs", "export", judged)[0] == 0
    lines = [json.loads(line) for line in (judged / "preferences.jsonl").read_text().splitlines()]
    assert (judged / "preferences.jsonl").read_bytes() == (tmp_path / "p.jsonl").read_bytes()
    by_candidates = {frozenset((pair.a, pair.b)): pair for pair in study.pairs if pair.kind == "plain"}
    names = []
    for line in lines:
        assert set(line) == {"prompt", "chosen", "rejected", "weight", "annotators"}
        chosen, rejected = line["chosen"], line["rejected"]
        pair = by_candidates[frozenset((chosen["candidate"], rejected["candidate"]))]
        names.append(pair.id)
        assert line["prompt"] == {"track": pair.track, "audio": study.tracks[pair.track].audio}
        for side in (chosen, rejected):
            candidate = study.candidates[side["candidate"]]
            assert (side["times"], side["mixtures"]) == (list(candidate.times), list(map(list, candidate.mixtures)))
        counts = Counter(row["chosen"] for row in rows if row["pair"] == pair.id)
        won, lost = counts[chosen["candidate"]], counts[rejected["candidate"]]
        assert won > lost
        assert (line["weight"], line["annotators"]) == (won / (won + lost), won + lost)
    assert names == sorted(names)
    for name in {row["pair"] for row in rows} - set(names):
        counts = Counter(row["answer"] for row in rows if row["pair"] == name)
        assert counts["a"] == counts["b"]


def test_annotators_who_failed_are_left_out(judged: Path, valenza: Any, tmp_path: Path) -> None:
    code, out, _ = valenza("pairs", "export", judged, "--out", tmp_path / "o", "--min-catch", 0.7, "--json")
    assert code == 0
    assert json.loads(out)["votes"] == 2 * 24
    assert max(json.loads(line)["annotators"] for line in (tmp_path / "o").read_text().splitlines()) == 2


def test_ties_may_count_half(judged: Path, valenza: Any, tmp_path: Path) -> None:
    rows = [row for row in live(judged, valenza, tmp_path) if row["undone"] == "0" and row["kind"] == "plain"]
    assert valenza("pairs", "export", judged, "--out", tmp_path / "half", "--ties", "half")[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "half").read_text().splitlines()]
    told: Counter[str] = Counter()
    for line in lines:
        told[line["chosen"]["candidate"]] += line["weight"] * line["annotators"]
    expected: Counter[str] = Counter()
    study = read_pairs(judged)
    pairs = {pair.id: pair for pair in study.pairs}
    for name in {row["pair"] for row in rows}:
        counts, pair = Counter(row["answer"] for row in rows if row["pair"] == name), pairs[name]
        a, b = counts["a"] + counts["tie"] / 2, counts["b"] + counts["tie"] / 2
        expected[pair.a] += a if a >= b else 0
        expected[pair.b] += b if b >= a else 0
    assert {k: v for k, v in told.items() if v} == pytest.approx({k: v for k, v in expected.items() if v})


@given(
    votes=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "tie", "cannot_tell"])), max_size=40),
    ties=st.sampled_from(["drop", "half"]),
    seed=st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_the_order_of_votes_does_not_matter(
    votes: list[tuple[int, str]], ties: Any, seed: int, ties_study: Study
) -> None:
    plain = [pair for pair in ties_study.pairs if pair.kind == "plain"]
    cast = [vote(plain[number], answer, i) for i, (number, answer) in enumerate(votes)]
    rows = preferences(ties_study, cast, ties)
    assert preferences(ties_study, random.Random(seed).sample(cast, len(cast)), ties) == rows
    for row in rows:
        assert 0.5 <= row["weight"] <= 1
        assert row["chosen"]["candidate"] != row["rejected"]["candidate"]
        assert (row["weight"] == 0.5) <= (ties == "half")


def vote(pair: Pair, answer: str, number: int) -> Cast:
    choice = {"a": "left", "b": "right"}.get(answer, answer)
    return Cast(
        seq=number, at="", id="", annotator=f"a-{number}", number=1, pair=pair, left_side="a", choice=choice,
        answer=answer, watched_left=1.0, watched_right=1.0, replays=0, milliseconds=5, undone=False,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture(scope="module")
def ties_study(tmp_path_factory: pytest.TempPathFactory, make_study: Any) -> Study:
    made: Study = make_study(tmp_path_factory.mktemp("ties") / "pairs")
    return made


def test_tasks_for_label_studio(judged: Path, valenza: Any, tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    words = ("pairs", "export", judged, "--out", tmp_path / "o", "--label-studio", file)
    assert valenza(*words)[0] == 0
    first = file.read_bytes()
    assert valenza(*words)[0] == 0
    assert file.read_bytes() == first
    tasks = json.loads(first)
    interface = file.with_suffix(".xml").read_text()
    assert '<Pairwise name="preference" toName="left,right"/>' in interface
    rows = [row for row in live(judged, valenza, tmp_path) if row["undone"] == "0" and row["kind"] == "plain"]
    found = Counter()
    for task in tasks:
        assert {"audio", "left", "right"} <= set(task["data"])
        for annotation in task["annotations"]:
            (result,) = annotation["result"]
            if result["type"] == "pairwise":
                answer = {"left": "a", "right": "b"}[result["value"]["selected"]]
            else:
                (answer,) = result["value"]["choices"]
            found[task["data"]["pair"], result["meta"]["text"][0], answer] += 1
    assert found == Counter((row["pair"], row["annotator"], row["answer"]) for row in rows)


def test_a_report_while_people_vote_and_from_a_disk_that_cannot_be_written(
    judged: Path, valenza: Any, start_module: Callable[..., Any], tmp_path: Path
) -> None:
    before = json.loads(valenza("pairs", "report", judged, "--json")[1])
    server = start_module(judged, "--invite", 1, "--votes-per-pair", 4)
    annotator = server.annotator(3).agree()
    annotator.vote(annotator.next()["pair"], "left")
    told = json.loads(valenza("pairs", "report", judged, "--json")[1])
    assert told["overall"]["votes"] == before["overall"]["votes"] + 1
    server.stop()
    assert valenza("pairs", "export", judged, "--out", "/proc/none/preferences.jsonl")[0] == 73
