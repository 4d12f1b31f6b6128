"""Intervals over speakers, the tables that are made from them, and the race of two ways."""

import json
import time

import numpy as np
import pytest

from valenza.errors import UsageError
from valenza.evaluation.dynamic.beta import beta_markdown, summarise_betas, system
from valenza.evaluation.dynamic.intervals import Measured, board
from valenza.evaluation.dynamic.metrics import SCORES, track_sums
from valenza.evaluation.dynamic.table import CLAIM, POOLED, SYSTEMS, markdown, summarise
from valenza.evaluation.dynamic.timing import judged, race
from valenza.labels.taxonomy import EMOTIONS, NEUTRAL

COLUMNS = (0, 1, 5, NEUTRAL)
MISTAKE = dict(zip(SYSTEMS, (0.60, 0.58, 0.50, 0.44, 0.36), strict=True))


def measured(
    mistakes: dict[str, float],
    *,
    seeds: tuple[int, ...] = (1, 2, 3),
    speakers: int = 8,
    sets: tuple[str, ...] = ("fifth language", "unseen speakers"),
) -> list[Measured]:
    """Tracks whose prediction is the truth mixed with noise: the same speakers and tracks are hard for every system."""
    found = []
    for test_set in sets:
        for number in range(2 * speakers):
            rng = np.random.default_rng([len(test_set), number])
            speaker = f"{test_set} {number // 2}"
            hard = 0.8 + 0.4 * np.random.default_rng([len(test_set), number // 2, 1]).random()
            true = np.repeat(rng.choice(COLUMNS, size=4), rng.integers(30, 90, size=4))
            truth = np.eye(len(EMOTIONS))[true]
            other = rng.dirichlet(np.ones(len(EMOTIONS)), size=6).repeat(90, axis=0)[: len(true)]
            for name, mistake in mistakes.items():
                for seed in seeds:
                    share = np.clip(mistake * hard + 0.01 * (seed - 2), 0, 1)
                    sums = track_sums((1 - share) * truth + share * other, truth, COLUMNS)
                    found.append(Measured(name, seed, test_set, f"t{number}", speaker, sums))
    return found


@pytest.fixture(scope="module")
def everything() -> list[Measured]:
    return measured(MISTAKE)


@pytest.fixture(scope="module")
def summary(everything: list[Measured]) -> dict:
    return summarise(everything, claim=CLAIM, draws=1_000, seed=0)


def test_scores_are_means_over_seeds_of_all_tracks_together(everything: list[Measured], summary: dict) -> None:
    assert [part["set"] for part in summary["sets"]] == [POOLED, "fifth language", "unseen speakers"]
    for part in summary["sets"]:
        for row in part["rows"]:
            own = [m for m in everything if m.system == row["system"] and part["set"] in (POOLED, m.test_set)]
            for name, score in SCORES.items():
                by_seed = [float(score(sum(m.sums for m in own if m.seed == seed))) for seed in (1, 2, 3)]
                told = row["scores"][name]
                assert told["mean"] == pytest.approx(np.mean(by_seed), nan_ok=True), name
                assert told["sd"] == pytest.approx(np.std(by_seed, ddof=1)), name
                assert list(told["by_seed"].values()) == pytest.approx(by_seed)
                assert told["ci95"][0] <= told["mean"] <= told["ci95"][1] or name.startswith("boundary")


def test_intervals_are_those_of_a_loop_that_draws_speakers(everything: list[Measured]) -> None:
    own = [m for m in everything if m.test_set == "fifth language"]
    found = board(own, SYSTEMS, draws=3_000, seed=0)
    speakers = sorted({m.speaker for m in own})
    rng = np.random.default_rng(9)
    gaps, scores = [], []
    for _ in range(1_500):
        drawn = rng.choice(speakers, size=len(speakers))
        value = {}
        for name in (SYSTEMS[3], SYSTEMS[4]):
            by_seed = []
            for seed in (1, 2, 3):
                tracks = [m.sums for s in drawn for m in own if (m.speaker, m.system, m.seed) == (s, name, seed)]
                by_seed.append(float(SCORES["macro_f1"](np.sum(tracks, axis=0))))
            value[name] = np.mean(by_seed)
        scores.append(value[SYSTEMS[4]])
        gaps.append(value[SYSTEMS[4]] - value[SYSTEMS[3]])
    spread, step = found.spread(4, "macro_f1"), found.step(3, 4, "macro_f1")
    assert spread["ci95"] == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=0.01)
    assert step["ci95"] == pytest.approx(np.percentile(gaps, [2.5, 97.5]), abs=0.01)


def test_pairing_makes_the_interval_of_a_difference_narrow(everything: list[Measured]) -> None:
    """Hard speakers are hard for both: the difference is known better than either error."""
    found = board(everything, SYSTEMS, draws=1_000)
    own, step = found.spread(4, "mae")["ci95"], found.step(3, 4, "mae")["ci95"]
    assert step[1] - step[0] < 0.6 * (own[1] - own[0])


def test_a_system_does_not_differ_from_itself(everything: list[Measured]) -> None:
    step = board(everything, SYSTEMS, draws=200).step(2, 2, "mae")
    assert step["value"] == 0
    assert step["ci95"] == [0, 0]
    assert step["p"] == 1
    assert not step["beyond_noise"]


def noisy(rng: np.random.Generator, gap: float, speakers: int) -> list[Measured]:
    """Two systems whose errors differ by `gap` on average and by chance from speaker to speaker."""
    found = []
    for speaker in range(speakers):
        base, own = rng.normal(0.3, 0.05), rng.normal(gap, 0.03)
        for name, error in (("one", base), ("two", base + own)):
            sums = np.zeros_like(track_sums(np.eye(8), np.eye(8), range(8)))
            sums[:3] = (1, 100, 100 * error)
            found.append(Measured(name, 1, "set", f"t{speaker}", f"s{speaker}", sums))
    return found


def test_an_interval_holds_the_true_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(150):
        low, high = board(noisy(rng, 0.02, 25), ["one", "two"], draws=300).step(0, 1, "mae")["ci95"]
        held += low <= 0.02 <= high
    assert 0.87 <= held / 150 <= 0.99


def test_no_difference_is_rarely_beyond_the_noise() -> None:
    rng = np.random.default_rng(6)
    steps = [board(noisy(rng, 0.0, 25), ["one", "two"], draws=300).step(0, 1, "mae") for _ in range(150)]
    assert sum(step["beyond_noise"] for step in steps) <= 20
    assert sum(step["p"] < 0.5 for step in steps) == pytest.approx(75, abs=25)


def test_drawing_seeds_too_widens_what_seeds_change(everything: list[Measured]) -> None:
    own = [m for m in everything if m.test_set == "fifth language"]
    narrow, wide = (
        board(own, SYSTEMS, draws=2_000, draw_seeds=with_seeds).drawn["mae"] for with_seeds in (False, True)
    )
    assert (wide.std(axis=1) > narrow.std(axis=1)).all()
    assert wide.mean(axis=1) == pytest.approx(narrow.mean(axis=1), abs=0.005)


def test_a_speaker_in_two_sets_is_drawn_once() -> None:
    found = measured({"one": 0.3}, speakers=3)
    merged = [Measured(m.system, m.seed, m.test_set, m.track, m.speaker.split()[-1], m.sums) for m in found]
    assert len(board(merged, ["one"], draws=10).speakers) == 3
    assert len(board(found, ["one"], draws=10).speakers) == 6


def test_one_speaker_has_scores_and_no_interval() -> None:
    told = summarise(measured({"one": 0.4, "two": 0.3}, speakers=1, sets=("a",)), order=["one", "two"], draws=50)
    row = told["sets"][0]["rows"][1]
    assert row["scores"]["mae"]["ci95"] is None
    assert row["step"]["mae"]["ci95"] is None
    assert not row["step"]["mae"]["beyond_noise"]
    assert "| two |" in markdown(told)


def test_what_is_not_paired_is_refused(everything: list[Measured]) -> None:
    with pytest.raises(UsageError, match="student \\+ DPO, seed 3: measured on 31 tracks"):
        board(everything[:-1], SYSTEMS)
    with pytest.raises(UsageError, match="twice"):
        board([*everything, everything[0]], SYSTEMS)
    with pytest.raises(UsageError, match="nothing was measured"):
        summarise([m for m in everything if m.system == "none"], order=[])
    with pytest.raises(UsageError, match="'none' is compared with"):
        summarise(everything, against="none")


def test_the_summary_is_json_and_judges_the_claim(summary: dict) -> None:
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    for part in summary["sets"]:
        assert [(c["less"], c["more"]) for c in part["claim"]] == [CLAIM[:2], CLAIM[1:]]
        assert all(c["holds"] and c["seeds_agree"] == 3 for c in part["claim"])
        assert part["rows"][0]["step"] is None
        assert [row["from"] for row in part["rows"]] == [None, *SYSTEMS[:-1]]


def test_a_claim_the_wrong_way_round_does_not_hold(everything: list[Measured]) -> None:
    told = summarise(everything, claim=CLAIM[::-1], draws=200)
    assert not any(c["holds"] for part in told["sets"] for c in part["claim"])
    assert "does not hold" in markdown(told)


def test_the_table_shows_what_the_summary_holds(summary: dict) -> None:
    page = markdown(summary, note="Preferences are simulated.")
    lines = page.splitlines()
    rows = [line for line in lines if line.startswith("| student + DPO")]
    assert len(rows) == 3
    told = summary["sets"][0]["rows"][4]
    assert f"{told['scores']['mae']['mean']:.4f} ± " in rows[0]
    assert f"{told['step']['mae']['value']:+.4f} [" in rows[0]
    assert ".195 / .203" in rows[0]
    assert f"{100 * told['scores']['eder']['mean']:.1f} ± " in rows[0]
    assert "holds, beyond the noise" in page
    assert lines[-1] == "Preferences are simulated."
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert len(widths) == 1


def test_betas_have_a_column_each_and_are_held_against_the_default() -> None:
    mistakes = {system(beta): mistake for beta, mistake in ((0.01, 0.5), (0.1, 0.35), (0.5, 0.3), (10.0, 0.4))}
    told = summarise_betas(measured(mistakes), draws=500)
    page = beta_markdown(told, note="Simulated.")
    assert page.splitlines()[0] == "| MAE | β = 0.01 | β = 0.1 | β = 0.5 | β = 10 |"
    assert "| paper, large encoder | .215 | .197 | .195 | .200 |" in page
    assert [row["from"] for row in told["sets"][0]["rows"]] == ["β = 0.5", "β = 0.5", None, "β = 0.5"]
    best = next(line for line in page.splitlines() if line.startswith("| All test sets"))
    assert best.split("|")[4].strip().startswith("**")
    assert all(row["step"]["mae"]["beyond_noise"] for row in told["sets"][0]["rows"] if row["step"])


def test_a_race_tells_how_many_times_longer_one_takes() -> None:
    called: list[str] = []

    def slow() -> None:
        called.append("slow")
        time.sleep(0.02)

    def fast() -> None:
        called.append("fast")
        time.sleep(0.004)

    found = race(slow, fast, rounds=7, warm_up=1)
    assert called == ["slow", "fast"] * 8
    assert found.rounds == 7
    assert 2 < found.ratio < 7
    assert found.ci95[0] <= found.ratio <= found.ci95[1]
    assert 0.02 <= found.first < 0.1


def test_a_race_is_judged_by_medians() -> None:
    found = judged([5.0, 5.0, 5.0, 90.0, 5.0], [1.0, 1.0, 1.0, 1.0, 20.0])
    assert (found.first, found.second, found.ratio) == (5.0, 1.0, 5.0)
    equal = judged([2.0] * 9, [2.0] * 9)
    assert equal.ratio == 1
    assert equal.ci95 == (1, 1)
