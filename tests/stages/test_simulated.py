"""The simulated annotator: what it means, how often it errs, and that nothing else matters."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from valenza.errors import UsageError
from valenza.labels.taxonomy import EMOTIONS
from valenza.stages.pairs.folder import Candidate, Head, Pair, Study, Track
from valenza.stages.pairs.simulated import Simulation, simulate

FRAMES = 100


def made(pairs: int = 60) -> tuple[Study, dict[str, np.ndarray]]:
    """Tracks with two candidates each, a nearer to the truth by turns, every tenth pair all but even."""
    rng = np.random.default_rng(0)
    tracks, candidates, chosen, truth = {}, {}, [], {}
    for i in range(pairs):
        track = f"t-{i}"
        tracks[track] = Track(
            id=track, audio=f"audio/{track}.flac", seconds=FRAMES / 50, corpus="c", language="de", speaker="s"
        )
        true = np.full((FRAMES, len(EMOTIONS)), 0.02)
        true[:, i % 8] = 0.86
        truth[track] = true
        shift = np.roll(np.eye(len(EMOTIONS))[i % 8], 1)
        for side, off in (("a", 0.1 if i % 2 else 0.3), ("b", 0.3 if i % 2 else 0.1)):
            far = 0.2 if i % 10 == 9 else off
            mixture = (1 - far) * true[0] + far * shift
            name = f"c-{i}{side}"
            candidates[name] = Candidate(
                id=name, track=track, source={"kind": "file"}, times=(0.0,), mixtures=(tuple(mixture),)
            )
        chosen.append(Pair(id=f"p-{i}", track=track, a=f"c-{i}a", b=f"c-{i}b", disagreement=float(rng.random())))
    study = Study(Path("study"), Head(title="t", seed=1, made={}), tracks, candidates, tuple(chosen), "")
    return study, truth


def chosen(found: Simulation) -> dict[str, str]:
    return {vote["pair"]: vote["choice"] for vote in found.votes}


def test_without_errors_the_nearer_sequence_is_preferred_and_near_ones_tie() -> None:
    study, truth = made()
    found = chosen(simulate(study, truth, seed=1, error_rate=0.0, tie_zone=0.01))
    for i, pair in enumerate(study.pairs):
        a, b = (
            np.abs(study.candidates[c].sequence.frames(FRAMES) - truth[pair.track]).mean() for c in (pair.a, pair.b)
        )
        assert found[pair.id] == ("tie" if i % 10 == 9 else "a" if a < b else "b")
    assert set(found.values()) == {"a", "b", "tie"}


def test_the_tie_zone_is_a_difference_of_mean_absolute_errors() -> None:
    study, truth = made(1)
    a, b = (
        np.abs(study.candidates[name].sequence.frames(FRAMES) - truth["t-0"]).mean()
        for name in (study.pairs[0].a, study.pairs[0].b)
    )
    gap = abs(a - b)
    assert chosen(simulate(study, truth, seed=1, error_rate=0.0, tie_zone=gap * 1.01))["p-0"] == "tie"
    assert chosen(simulate(study, truth, seed=1, error_rate=0.0, tie_zone=gap * 0.99))["p-0"] == "b"


def test_answers_depend_on_nothing_but_seed_annotator_and_pair() -> None:
    study, truth = made()
    first = chosen(simulate(study, truth, seed=3, error_rate=0.4))
    backwards = replace(study, pairs=study.pairs[::-1])
    assert chosen(simulate(backwards, truth, seed=3, error_rate=0.4)) == first
    half = replace(study, pairs=study.pairs[::2])
    assert chosen(simulate(half, truth, seed=3, error_rate=0.4)).items() <= first.items()
    assert chosen(simulate(study, truth, seed=4, error_rate=0.4)) != first
    assert chosen(simulate(study, truth, seed=3, error_rate=0.4, annotator="a-other")) != first


@pytest.mark.parametrize("error_rate", [0.0, 0.15, 0.5, 1.0])
def test_as_many_answers_are_wrong_as_is_said(error_rate: float) -> None:
    study, truth = made(40)
    found = [simulate(study, truth, seed=seed, error_rate=error_rate) for seed in range(60)]
    wrong, answers = sum(one.summary["flips"] for one in found), 40 * 60
    low, high = binom.ppf([0.0005, 0.9995], answers, error_rate)
    assert low <= wrong <= high


def test_a_wrong_answer_is_the_other_side_and_a_tie_goes_to_either() -> None:
    study, truth = made()
    runs = [simulate(study, truth, seed=seed, error_rate=1.0, tie_zone=0.01) for seed in range(20)]
    for found in runs:
        for vote in found.answers:
            assert vote.choice in {"a": "b", "b": "a", "tie": "ab"}[vote.meant]
    broken = [vote.choice for found in runs for vote in found.answers if vote.meant == "tie"]
    assert 0.3 < broken.count("a") / len(broken) < 0.7


def test_the_summary_counts_what_was_answered() -> None:
    study, truth = made()
    found = simulate(study, truth, seed=2, error_rate=0.15, tie_zone=0.01)
    summary = found.summary
    assert summary["pairs"] == len(study.pairs) == summary["a"] + summary["b"] + summary["tie"]
    assert (summary["error_rate"], summary["tie_zone"], summary["seed"]) == (0.15, 0.01, 2)
    assert "0.01" in found.note
    assert "15 %" in found.note


def test_what_cannot_be_judged_is_refused() -> None:
    study, truth = made(2)
    with pytest.raises(UsageError, match="t-1: there is no ground truth"):
        simulate(study, {"t-0": truth["t-0"]}, seed=1)
    with pytest.raises(UsageError, match="8 classes"):
        simulate(study, truth | {"t-1": truth["t-1"][:, :6]}, seed=1)
    with pytest.raises(UsageError, match="error rate"):
        simulate(study, truth, seed=1, error_rate=1.5)
    with pytest.raises(UsageError, match="tie zone"):
        simulate(study, truth, seed=1, tie_zone=-0.1)
