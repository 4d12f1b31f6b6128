"""The speaker bootstrap against a slow loop and against scipy."""

import time

import numpy as np
import pytest
from scipy.stats import bootstrap

from valenza.evaluation.bootstrap import gain_interval, intervals, mean_intervals, unit_confusions, units
from valenza.evaluation.metrics import METRICS, confusion

CLASSES = [0, 1, 5, 7]


def answers(clips: int, speakers: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth, speaker = generator.choice(CLASSES, clips), generator.integers(0, speakers, clips)
    right = generator.random(clips) < generator.beta(6, 4, speakers)[speaker]
    return truth, np.where(right, truth, generator.choice(CLASSES, clips)), speaker.astype(str)


def test_speakers_add_up_to_the_corpus() -> None:
    truth, predicted, speakers = answers(200, 9)
    counts = unit_confusions(truth, predicted, speakers, CLASSES)
    np.testing.assert_array_equal(counts.sum(axis=0), confusion(truth, predicted, CLASSES))
    own = speakers == "3"
    np.testing.assert_array_equal(counts[3], confusion(truth[own], predicted[own], CLASSES))


def test_equals_a_loop_that_concatenates_the_clips_of_drawn_speakers() -> None:
    truth, predicted, speakers = answers(300, 7)
    found = intervals(unit_confusions(truth, predicted, speakers, CLASSES), seed=5, draws=60).bounds
    generator = np.random.default_rng(5)
    slow: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(60):
        times = generator.multinomial(7, np.full(7, 1 / 7))
        drawn = np.concatenate([np.flatnonzero(speakers == str(s)) for s in range(7) for _ in range(times[s])])
        counts = confusion(truth[drawn], predicted[drawn], CLASSES)
        for name, metric in METRICS.items():
            slow[name].append(float(metric(counts)))
    for name, values in slow.items():
        assert found[name] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-12)


def test_one_clip_a_speaker_is_the_usual_bootstrap() -> None:
    truth, predicted, _ = answers(400, 3)
    each = unit_confusions(truth, predicted, np.arange(400), CLASSES)
    low, high = intervals(each, seed=1).bounds["micro_f1"]
    right = (truth == predicted).astype(float)
    reference = bootstrap((right,), np.mean, n_resamples=4_000, method="percentile", rng=np.random.default_rng(2))
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval), abs=0.008)


def test_clips_of_one_voice_widen_the_interval() -> None:
    truth, predicted, speakers = answers(1_000, 10)
    by_speaker = intervals(unit_confusions(truth, predicted, speakers, CLASSES), seed=1).bounds["micro_f1"]
    by_clip = intervals(unit_confusions(truth, predicted, np.arange(1_000), CLASSES), seed=1).bounds["micro_f1"]
    assert np.diff(by_speaker)[0] > 1.5 * np.diff(by_clip)[0]


def test_a_single_unit_has_no_interval_but_a_reason() -> None:
    truth, predicted, _ = answers(20, 2)
    counts = unit_confusions(truth, predicted, np.zeros(20, dtype=int), CLASSES)
    assert intervals(counts, seed=0).bounds == {}
    assert "at least two" in str(intervals(counts, seed=0).reason)
    assert gain_interval(counts, counts, seed=0).reason is not None
    assert mean_intervals(np.ones((20, 1)), np.zeros(20, dtype=np.int64), seed=0) == []


def test_one_speaker_is_resampled_by_recordings_and_then_by_clips() -> None:
    speakers, takes = np.array(["a", "a", "b"]), np.array(["t", "t", "u"])
    assert units(speakers, takes).kind == "speakers"
    assert units(speakers, takes).of_clip.tolist() == [0, 0, 1]
    alone = units(np.array(["a", "a", "a"]), takes)
    assert (alone.kind, alone.of_clip.tolist()) == ("recordings", [0, 0, 1])
    assert "recordings" in str(alone.note)
    own = units(np.array(["a", "a"]), np.array(["t", "u"]))
    assert (own.kind, own.of_clip.tolist()) == ("clips", [0, 1])
    assert units(np.array(["a", "a"]), np.array(["t", "t"])).kind == "clips"
    assert units(speakers, takes).note is None


def test_an_interval_of_a_mean_equals_a_loop() -> None:
    generator = np.random.default_rng(8)
    values, who = generator.normal(0, 1, (90, 2)), generator.integers(0, 6, 90)
    found = mean_intervals(values, who, seed=4, draws=50)
    drawn = np.random.default_rng(4)
    slow = []
    for _ in range(50):
        times = drawn.multinomial(6, np.full(6, 1 / 6))
        slow.append(np.concatenate([values[who == u] for u in range(6) for _ in range(times[u])]).mean(axis=0))
    for column, (low, high) in enumerate(found):
        assert (low, high) == pytest.approx(tuple(np.percentile(np.array(slow)[:, column], [2.5, 97.5])))


def test_a_gain_is_judged_on_the_same_speakers() -> None:
    truth, predicted, speakers = answers(500, 12)
    worse = np.where(np.random.default_rng(9).random(500) < 0.1, 0, predicted)
    model, other = (unit_confusions(truth, p, speakers, CLASSES) for p in (predicted, worse))
    assert gain_interval(model, model, seed=3).bounds["micro_f1"] == (0.0, 0.0)
    paired = gain_interval(model, other, seed=3).bounds["micro_f1"]
    alone = intervals(model, seed=3).bounds["micro_f1"]
    assert paired[0] > 0
    assert np.diff(paired)[0] < 0.5 * np.diff(alone)[0]


def test_many_speakers_stay_quick_and_the_seed_decides() -> None:
    truth, predicted, _ = answers(5_000, 3)
    counts = unit_confusions(truth, predicted, np.arange(5_000), CLASSES)
    started = time.monotonic()
    first = intervals(counts, seed=1)
    assert time.monotonic() - started < 60
    assert first == intervals(counts, seed=1)
    assert first != intervals(counts, seed=2)
