"""Scores of emotion over time, against scikit-learn, scipy and loops that follow the definitions."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.special import rel_entr
from sklearn.metrics import accuracy_score, f1_score

from valenza.evaluation.dynamic.boundaries import changes, hits, without_short
from valenza.evaluation.dynamic.metrics import LEAST, SCORES, SUMS, confusions, frame_f1_by_class, track_sums
from valenza.labels.taxonomy import EMOTIONS, NEUTRAL

ALL = tuple(range(len(EMOTIONS)))
FIVE = (0, 1, 3, 5, NEUTRAL)


def track(rng: np.random.Generator, frames: int, columns: tuple[int, ...] = ALL) -> tuple[np.ndarray, np.ndarray]:
    """A prediction over all classes, and a truth in segments that holds nothing outside `columns`."""
    truth = np.zeros((frames, len(EMOTIONS)))
    lengths = rng.integers(5, 60, size=frames)
    said = np.repeat(rng.choice(columns, size=frames), lengths)[:frames]
    truth[:, list(columns)] = rng.dirichlet(np.ones(len(columns)) * 0.3, size=frames) * 0.4
    truth[np.arange(frames), said] += 0.6
    near = rng.dirichlet(np.ones(len(EMOTIONS)), size=frames)
    return 0.5 * near + 0.5 * np.roll(truth, 9, axis=0), truth


def scores(sums: np.ndarray) -> dict[str, float]:
    return {name: float(score(sums)) for name, score in SCORES.items()}


@pytest.mark.parametrize("columns", [ALL, FIVE])
def test_scores_are_those_of_scipy_and_scikit_learn(columns: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    tracks = [track(rng, n, columns) for n in (40, 333, 700)]
    found = scores(sum(track_sums(p, t, columns) for p, t in tracks))
    p, t = (np.concatenate([one[side] for one in tracks])[:, list(columns)] for side in (0, 1))
    p, t = p / p.sum(axis=1, keepdims=True), t / t.sum(axis=1, keepdims=True)
    said, true = p.argmax(axis=1), t.argmax(axis=1)
    assert found["mae"] == pytest.approx(np.abs(p - t).mean())
    assert found["kl"] == pytest.approx(rel_entr(t, np.maximum(p, LEAST)).sum(axis=1).mean())
    assert found["macro_f1"] == pytest.approx(f1_score(true, said, average="macro"))
    assert found["accuracy"] == pytest.approx(accuracy_score(true, said))
    by_class = frame_f1_by_class(sum(track_sums(p, t, columns) for p, t in tracks))
    every = f1_score(true, said, average=None, labels=range(len(columns)))
    assert by_class[list(columns)] == pytest.approx(every)


def segments(labels: np.ndarray) -> list[tuple[float, float, int]]:
    """Runs of one label as (start, end, label) in seconds."""
    found, start = [], 0
    for label, run in groupby(labels.tolist()):
        length = len(list(run))
        found.append((start / 50, (start + length) / 50, label))
        start += length
    return found


def slow_error(true: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Overlap every true segment with every predicted one, as the definition of the diarisation error says."""
    wrong = {"false_alarm": 0.0, "missed": 0.0, "confused": 0.0, "right": 0.0}
    for a, b, one in segments(true):
        for c, d, other in segments(said):
            shared = max(0.0, min(b, d) - max(a, c))
            kind = "right" if one == other else "confused"
            if one != other and NEUTRAL in (one, other):
                kind = "false_alarm" if one == NEUTRAL else "missed"
            wrong[kind] += shared
    return {kind: seconds / (len(true) / 50) for kind, seconds in wrong.items()}


def mixtures(labels: np.ndarray) -> np.ndarray:
    return np.eye(len(EMOTIONS))[labels]


def test_the_diarisation_error_is_the_mean_over_tracks_of_wrong_time_over_all_time() -> None:
    rng = np.random.default_rng(5)
    pairs = [
        tuple(np.repeat(rng.choice([0, 1, 5, NEUTRAL], size=9), rng.integers(3, 40, size=9))[:100] for _ in "ts")
        for _ in range(6)
    ]
    pairs = [(t[:n], s[:n]) for t, s in pairs for n in [min(len(t), len(s))]]
    found = scores(sum(track_sums(mixtures(s), mixtures(t), ALL) for t, s in pairs))
    slow = [slow_error(t, s) for t, s in pairs]
    for name in ("false_alarm", "missed", "confused"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in slow]))
    assert found["eder"] == pytest.approx(np.mean([1 - one["right"] for one in slow]))
    emotional = sum((t != NEUTRAL).sum() for t, _ in pairs)
    assert found["emotion_time_error"] == pytest.approx(sum((t != s).sum() for t, s in pairs) / emotional)


def test_the_diarisation_error_agrees_with_the_example_that_its_authors_give() -> None:
    """1.22 s, anger from 0.39 to 1.10 s, said from 0.6 s on: 0.33 s of 1.22 s are wrong (on a grid of 10 ms here)."""
    truth, said = np.full(122, NEUTRAL), np.full(122, NEUTRAL)
    truth[39:110] = said[60:] = 5
    found = scores(track_sums(mixtures(said), mixtures(truth), ALL))
    assert found["eder"] == pytest.approx(0.2704918032786885)
    assert found["missed"] == pytest.approx(0.21 / 1.22)
    assert found["false_alarm"] == pytest.approx(0.12 / 1.22)


frames_of_labels = st.lists(st.tuples(st.sampled_from(FIVE), st.integers(1, 40)), min_size=1, max_size=12).map(
    lambda runs: np.repeat([label for label, _ in runs], [length for _, length in runs])
)


@given(frames_of_labels, st.sampled_from([ALL, FIVE]))
@settings(max_examples=60, deadline=None)
def test_the_truth_itself_has_no_errors(labels: np.ndarray, columns: tuple[int, ...]) -> None:
    found = scores(track_sums(mixtures(labels), mixtures(labels), columns, shortest=0.0))
    for name, value in found.items():
        if name.endswith(("f1", "accuracy")) or name.startswith("boundary"):
            assert np.isnan(value) or value == pytest.approx(1)
        else:
            assert np.isnan(value) or value == pytest.approx(0, abs=1e-5)
    assert found["macro_f1"] == 1
    assert np.isnan(found["boundary_f1_0.25"]) == (len(segments(labels)) == 1)


@given(st.integers(0, 10_000), st.integers(2, 300), st.integers(1, 299))
@settings(max_examples=40, deadline=None)
def test_scores_stay_within_their_bounds_and_do_not_depend_on_scale(seed: int, frames: int, cut: int) -> None:
    predicted, truth = track(np.random.default_rng(seed), frames, FIVE)
    sums = track_sums(predicted, truth, FIVE)
    assert sums == pytest.approx(track_sums(predicted * 7, truth * 0.1, FIVE))
    for name, value in scores(sums).items():
        assert np.isnan(value) or 0 <= value <= (np.inf if name in ("kl", "emotion_time_error") else 1 + 1e-9)
    assert confusions(sums).sum() == frames


def test_sums_of_parts_add_up_in_any_grouping() -> None:
    rng = np.random.default_rng(11)
    all_sums = np.stack([track_sums(*track(rng, int(n)), ALL) for n in rng.integers(30, 400, size=12)])
    assert all_sums.shape == (12, SUMS)
    whole = all_sums.sum(axis=0)
    parts = np.stack([all_sums[:5].sum(axis=0), all_sums[5:6].sum(axis=0), all_sums[6:].sum(axis=0)])
    assert parts.sum(axis=0) == pytest.approx(whole)
    for name, score in SCORES.items():
        at_once = score(np.stack([whole, 2 * whole]))
        assert at_once == pytest.approx(float(score(whole))), name


def best_hits(true: list[int], found: list[int], tolerance: float) -> int:
    """As many pairs as the best assignment has, by the Hungarian method."""
    if not true or not found:
        return 0
    near = np.abs(np.subtract.outer(true, found)) <= tolerance * 50
    rows, columns = linear_sum_assignment(near, maximize=True)
    return int(near[rows, columns].sum())


frames_of_changes = st.lists(st.integers(1, 200), max_size=25, unique=True).map(sorted)


@given(frames_of_changes, frames_of_changes, st.sampled_from([0.02, 0.25, 0.5]))
@settings(max_examples=300, deadline=None)
def test_as_many_boundaries_are_paired_as_the_best_assignment_pairs(
    true: list[int], found: list[int], tolerance: float
) -> None:
    assert hits(true, found, tolerance) == best_hits(true, found, tolerance)


def test_the_tolerance_counts_its_end() -> None:
    assert hits([100], [112], 0.25) == 1
    assert hits([100], [113], 0.25) == 0
    assert hits([100], [125], 0.5) == 1
    assert hits([100], [126], 0.5) == 0


def test_boundary_scores_of_a_track_worked_out_by_hand() -> None:
    """True changes at 2 and 4 s; found at 2.2, 4.4 and 5 s."""
    truth = np.repeat([NEUTRAL, 5, NEUTRAL], [100, 100, 100])
    said = np.repeat([NEUTRAL, 5, 1, NEUTRAL], [110, 110, 30, 50])
    found = scores(track_sums(mixtures(said), mixtures(truth), ALL))
    assert found["boundary_precision_0.25"] == pytest.approx(1 / 3)
    assert found["boundary_recall_0.25"] == pytest.approx(1 / 2)
    assert found["boundary_f1_0.25"] == pytest.approx(2 / 5)
    assert found["boundary_f1_0.5"] == pytest.approx(4 / 5)


def slow_prune(labels: list[int], least: float) -> list[int]:
    """Take the first of the shortest runs, give it to its longer neighbour, and look again from the start."""
    while True:
        runs = [[label, len(list(run))] for label, run in groupby(labels)]
        short = [length for _, length in runs if length < least]
        if not short or len(runs) == 1:
            return labels
        i = [length for _, length in runs].index(min(short))
        before = runs[i - 1][1] if i > 0 else -1
        after = runs[i + 1][1] if i + 1 < len(runs) else -1
        runs[i][0] = runs[i - 1][0] if before >= after else runs[i + 1][0]
        labels = [label for label, length in runs for _ in range(length)]


@given(frames_of_labels, st.sampled_from([0.0, 0.1, 0.25, 1.0]))
@settings(max_examples=200, deadline=None)
def test_no_short_segment_is_left_and_boundaries_stay_where_they_were(labels: np.ndarray, shortest: float) -> None:
    kept = without_short(labels, shortest)
    assert kept.tolist() == slow_prune(labels.tolist(), shortest * 50)
    assert set(changes(kept)) <= set(changes(labels))
    lengths = np.diff([0, *changes(kept), len(kept)])
    assert len(lengths) == 1 or lengths.min() >= shortest * 50


def test_a_class_that_the_corpus_does_not_know_takes_nothing_from_those_it_knows() -> None:
    truth = mixtures(np.full(10, 1))
    predicted = 0.9 * mixtures(np.full(10, 2)) + 0.1 * mixtures(np.full(10, 1))
    assert scores(track_sums(predicted, truth, FIVE))["mae"] == pytest.approx(0)
    assert scores(track_sums(predicted, truth, ALL))["mae"] == pytest.approx(1.8 / 8)


def test_a_prediction_of_unknown_classes_alone_says_nothing_about_the_known_ones() -> None:
    found = scores(track_sums(mixtures(np.full(10, 2)), mixtures(np.full(10, 1)), FIVE))
    assert found["mae"] == pytest.approx((0.8 + 4 * 0.2) / 5)
    assert found["kl"] == pytest.approx(np.log(5))


def test_what_cannot_be_scored_is_refused() -> None:
    good = mixtures(np.full(10, 1))
    with pytest.raises(ValueError, match="cannot be held against"):
        track_sums(good[:, :6], good[:, :6], FIVE)
    with pytest.raises(ValueError, match="negative or not finite"):
        track_sums(good * np.nan, good, ALL)
    with pytest.raises(ValueError, match="without any"):
        track_sums(good, mixtures(np.full(10, 2)), FIVE)
