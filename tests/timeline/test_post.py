"""Post-processing: NVIDIA's order held against the formulas written out, streams against files, segments."""

from itertools import pairwise
from math import exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.evaluation.dynamic.boundaries import without_short
from valenza.labels.sequences import frame_times
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.post import A2F, Audio2Emotion, Post
from valenza.timeline.segments import Segmenting, held
from valenza.timeline.timeline import Timeline

few = settings(max_examples=40, deadline=None)
TEN = ["amazement", "anger", "cheekiness", "disgust", "fear", "grief", "joy", "outofbreath", "pain", "sadness"]
MEANT = {"anger": "anger", "disgust": "disgust", "fear": "fear", "happiness": "joy", "sadness": "sadness"}
MEANT["surprise"] = "amazement"


def spoken(count: int, seed: int, sure: bool = False, sparse: float = 0.4) -> Timeline:
    rng = np.random.default_rng(seed)
    mixtures = rng.dirichlet(np.full(len(EMOTIONS), sparse), count)
    return Timeline(frame_times(count), EMOTIONS, mixtures, count / 50, rng.gamma(2, 5, count) if sure else None)


def one_frame(
    mixture: dict[str, float], told: dict[str, Any], before: dict[str, float], shown: dict[str, float] | None
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """The eight steps in words and plain numbers: what is put out, and what the next frame remembers."""
    logits = {name: log(share) if share > 0 else float("-inf") for name, share in mixture.items()}
    most = max(logits.values())
    raised = {name: exp(told["emotion_contrast"] * (logit - most)) for name, logit in logits.items()}
    total = sum(raised.values())
    shares = {name: value / total for name, value in raised.items()}  # 1
    for name in shares:  # 2
        if name not in MEANT:
            shares[name] = 0.0
    for name in sorted(shares, key=lambda name: shares[name])[: len(shares) - told["max_emotions"]]:  # 3
        shares[name] = 0.0
    slots = dict.fromkeys(TEN, 0.0)  # 4
    for name, slot in MEANT.items():
        slots[slot] = shares[name]
    a = told["live_blend_coef"]
    blended = {slot: (1 - a) * slots[slot] + a * before.get(slot, 0.0) for slot in TEN}  # 5
    now = blended
    if told["preferred_emotion"] is not None:  # 6
        s = told["preferred_emotion_strength"]
        now = {slot: (1 - s) * now[slot] + s * told["preferred_emotion"].get(slot, 0.0) for slot in TEN}
    if shown is not None:  # 7
        w = min(told["fixed_dt"] / max(told["live_transition_time"], 1e-3), 1)
        now = {slot: w * now[slot] + (1 - w) * shown[slot] for slot in TEN}
    return {slot: told["emotion_strength"] * now[slot] for slot in TEN}, blended, now  # 8


@few
@given(
    st.fixed_dictionaries(
        {
            "emotion_contrast": st.floats(0.3, 3),
            "max_emotions": st.integers(1, 6),
            "live_blend_coef": st.floats(0, 1),
            "beginning_emotion": st.dictionaries(st.sampled_from(TEN), st.floats(0, 1), max_size=3),
            "preferred_emotion": st.none() | st.dictionaries(st.sampled_from(TEN), st.floats(0, 1), max_size=3),
            "preferred_emotion_strength": st.floats(0, 1),
            "live_transition_time": st.floats(0, 2),
            "fixed_dt": st.floats(0.001, 0.1),
            "emotion_strength": st.floats(0, 1),
        }
    ),
    st.integers(0, 2**20),
)
def test_the_eight_steps_in_nvidia_s_order(told: dict[str, Any], seed: int) -> None:
    timeline = spoken(7, seed)
    poster = Audio2Emotion(**told).begin(EMOTIONS)
    before, shown = told["beginning_emotion"], None
    for row in timeline.mixtures:
        wanted, before, shown = one_frame(dict(zip(EMOTIONS, row.tolist(), strict=True)), told, before, shown)
        found = poster.step(row)
        np.testing.assert_allclose(found, [wanted[slot] for slot in TEN], atol=1e-12)
        assert (found >= 0).all()
        assert (found <= 1).all()


def test_the_service_s_defaults() -> None:
    usual = Audio2Emotion()
    assert (usual.emotion_contrast, usual.max_emotions, usual.live_blend_coef) == (1.0, 3, 0.7)
    assert (usual.live_transition_time, usual.fixed_dt, usual.emotion_strength) == (0.5, 0.033, 0.6)
    assert (usual.preferred_emotion, usual.preferred_emotion_strength) == (None, 0.5)
    assert list(A2F) == TEN


def test_frames_of_nvidia_s_rate_and_neutral_is_nothing() -> None:
    keyframes = Audio2Emotion().apply(spoken(100, 1))
    np.testing.assert_allclose(keyframes.times, (np.arange(60) + 0.5) / 30)
    calm = Timeline(np.array([0.0]), EMOTIONS, np.eye(8)[[EMOTIONS.index("neutral")]], 1.0)
    assert not Audio2Emotion().apply(calm).values.any()
    with pytest.raises(ValueError, match="knows none of other, neutral"):
        Audio2Emotion().begin(("other", "neutral"))


@few
@given(st.floats(0.2, 4), st.none() | st.integers(1, 9), st.sampled_from([0.0, 0.05, 1.0]), st.integers(0, 2**20))
def test_a_stream_is_shaped_as_a_file_is(contrast: float, top: int | None, smoothing: float, seed: int) -> None:
    timeline = spoken(30, seed, sure=True)
    post = Post(contrast, top, smoothing)
    whole = post.apply(timeline)
    poster = post.begin()
    steps = [0.0, *(later - earlier for earlier, later in pairwise(timeline.times.tolist()))]
    live = [poster.step(dt, row) for dt, row in zip(steps, timeline.mixtures, strict=True)]
    np.testing.assert_array_equal(np.stack(live), whole.mixtures)
    np.testing.assert_allclose(whole.mixtures.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(whole.times, timeline.times)
    assert whole.concentration is not None
    if not smoothing:
        assert (np.count_nonzero(whole.mixtures, axis=1) <= (top or 8)).all()
        np.testing.assert_array_equal(whole.mixtures.argmax(axis=1), timeline.mixtures.argmax(axis=1))
    if top is None and not smoothing:
        logits = contrast * np.log(timeline.mixtures)
        wanted = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(whole.mixtures, wanted / wanted.sum(axis=1, keepdims=True), atol=1e-9)


def test_smoothing_is_a_matter_of_seconds_and_not_of_frames() -> None:
    def step(count: int) -> Timeline:
        times = np.arange(count) * 2.0 / count
        return Timeline(times, ("fear", "neutral"), np.eye(2)[(times < 1).astype(int)], 2.0)

    for count in (20, 200):
        smooth = Post(smoothing=0.2).apply(step(count))
        after = smooth.times >= 1
        elapsed = smooth.times[after] - 1 + 2.0 / count
        np.testing.assert_allclose(smooth.mixtures[after, 0], 1 - np.exp(-elapsed / 0.2), atol=1e-9)
    np.testing.assert_array_equal(Post().apply(step(20)).mixtures, step(20).mixtures)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"contrast": 0.0}, {"contrast": float("nan")}, {"top": 0}, {"smoothing": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong)).replace("top", "at least one class")):
            Post(**wrong)  # type: ignore[arg-type]
    for name, value in {
        "emotion_contrast": 0.1,
        "max_emotions": 7,
        "live_blend_coef": 1.1,
        "emotion_strength": -0.1,
    }.items():
        with pytest.raises(ValueError, match=name):
            Audio2Emotion(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'calm' is none of amazement"):
        Audio2Emotion(preferred_emotion={"calm": 1.0})
    with pytest.raises(ValueError, match="between 0 and 1"):
        Audio2Emotion(beginning_emotion={"joy": 2.0})
    with pytest.raises(ValueError, match="no step forward"):
        Post().begin().step(-0.1, np.array([0.5, 0.5]))


@few
@given(st.integers(1, 400), st.integers(0, 2**20), st.floats(0, 0.6), st.sampled_from([0.0, 0.05, 0.25, 0.5, 3.0]))
def test_segments_lie_end_to_end_and_none_is_short(count: int, seed: int, lead: float, least: float) -> None:
    timeline = spoken(count, seed)
    segments = timeline.segments(Segmenting(lead, least))
    assert segments[0].start == 0
    assert segments[-1].end == timeline.duration
    for one, next_ in pairwise(segments):
        assert one.end == next_.start
        assert one.label != next_.label
    assert all(segment.end - segment.start >= least - 1e-9 for segment in segments) or len(segments) == 1
    assert all(segment.label in EMOTIONS and 0 <= segment.share <= 1 for segment in segments)
    for segment in segments:
        first, last = round(segment.start * 50), round(segment.end * 50)
        mean = timeline.mixtures[first:last, EMOTIONS.index(segment.label)].mean()  # type: ignore[arg-type]
        assert segment.share == pytest.approx(mean, abs=1e-9)


@few
@given(st.integers(2, 300), st.integers(0, 2**20), st.sampled_from([0.06, 0.25, 0.5]))
def test_short_segments_go_the_way_that_boundaries_are_scored(count: int, seed: int, least: float) -> None:
    timeline = spoken(count, seed, sparse=0.1)
    wanted = without_short(timeline.mixtures.argmax(axis=1), least)
    found = np.zeros(count, int)
    for segment in timeline.segments(Segmenting(0.0, least)):
        found[round(segment.start * 50) : round(segment.end * 50)] = EMOTIONS.index(segment.label)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, wanted)


@few
@given(st.integers(1, 100), st.integers(0, 2**20), st.floats(0.0, 0.9))
def test_a_label_stays_until_another_leads_by_the_margin(count: int, seed: int, lead: float) -> None:
    mixtures = spoken(count, seed).mixtures
    labels = held(mixtures, lead)
    assert labels[0] == mixtures[0].argmax()
    for key in range(1, count):
        ahead = mixtures[key].max() - mixtures[key, labels[key - 1]]
        assert labels[key] == (mixtures[key].argmax() if ahead > lead else labels[key - 1])
    assert np.count_nonzero(np.diff(labels)) <= np.count_nonzero(np.diff(held(mixtures, 0.0)))


def test_a_lead_must_be_more_than_the_hysteresis() -> None:
    mixtures = np.array([[0.25, 0.75], [0.625, 0.375], [0.75, 0.25], [0.5, 0.5]])
    assert held(mixtures, 0.25).tolist() == [1, 1, 0, 0]
    assert held(mixtures, 0.24).tolist() == [1, 0, 0, 0]
    assert held(mixtures[::-1].copy(), 0.0).tolist() == [0, 0, 0, 1]


def test_minutes_of_jitter_are_cut_at_once() -> None:
    count = 30_000
    labels = np.random.default_rng(0).integers(0, 8, count)
    timeline = Timeline(frame_times(count), EMOTIONS, np.eye(8)[labels], count / 50)
    segments = timeline.segments(Segmenting(0.0, 1.0))
    assert min(segment.end - segment.start for segment in segments) >= 1.0
    assert len(segments) > 50
