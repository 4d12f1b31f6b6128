"""Timelines: what is cut, joined, resampled and averaged says the same as what it was made of."""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.labels.sequences import Sequence, frame_times
from valenza.timeline.segments import Segmenting
from valenza.timeline.timeline import Timeline

CLASSES = ("happiness", "sadness", "anger", "neutral")
few = settings(max_examples=40, deadline=None)


def mixed(keys: int, seed: int, classes: int = len(CLASSES)) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), keys)


class Drawn(NamedTuple):
    """What a timeline is made from; made in the test, where types are checked and not while examples are drawn."""

    gaps: list[int]
    at_start: bool
    rest: int
    seed: int
    sure: bool

    def made(self, sure: bool | None = None) -> Timeline:
        times = np.cumsum(self.gaps) / 1000 - (self.gaps[0] / 1000 if self.at_start else 0.0)
        duration = float(times[-1]) + self.rest / 1000 + (0.01 if not times[-1] else 0.0)
        strong = np.random.default_rng(self.seed).gamma(2.0, 9.0, len(times))
        told = strong if (self.sure if sure is None else sure) else None
        return Timeline(times, CLASSES, mixed(len(times), self.seed), duration, told, f"take {self.seed}.wav")


def draws() -> st.SearchStrategy[Drawn]:
    gaps = st.lists(st.integers(2, 900), min_size=1, max_size=12)
    return st.builds(Drawn, gaps, st.booleans(), st.integers(0, 500), st.integers(0, 2**20), st.booleans())


def frames(count: int = 150, seed: int = 0, **more: Any) -> Timeline:
    return Timeline(frame_times(count), CLASSES, mixed(count, seed), count / 50, **more)


def moments(timeline: Timeline, count: int = 97) -> np.ndarray:
    return np.linspace(0, timeline.duration, count)


def bytes_of(timeline: Timeline) -> tuple[bytes, ...]:
    sure = b"" if timeline.concentration is None else timeline.concentration.tobytes()
    return timeline.times.tobytes(), timeline.mixtures.tobytes(), sure


def slowly(timeline: Timeline, time: float) -> np.ndarray:
    """A straight line between the two moments around a time, written out."""
    if time <= timeline.times[0]:
        return timeline.mixtures[0]
    for key, (before, after) in enumerate(pairwise(timeline.times)):
        if before <= time <= after:
            share = (time - before) / (after - before)
            return (1 - share) * timeline.mixtures[key] + share * timeline.mixtures[key + 1]
    return timeline.mixtures[-1]


@few
@given(draws())
def test_at_any_moment_it_lies_on_the_line(drawn: Drawn) -> None:
    timeline = drawn.made()
    times = moments(timeline, 23)
    np.testing.assert_allclose(timeline.at(times), [slowly(timeline, time) for time in times], atol=1e-12)
    np.testing.assert_array_equal(timeline.at(0.1), timeline.at([0.1]))


@few
@given(draws(), st.floats(0, 0.98), st.floats(0.01, 1))
def test_a_part_says_what_the_whole_says_there(drawn: Drawn, start: float, length: float) -> None:
    timeline = drawn.made()
    begun = start * timeline.duration
    end = min(begun + length * timeline.duration, timeline.duration)
    part = timeline[begun:end]
    assert part.duration == end - begun
    inner = moments(part)
    np.testing.assert_allclose(part.at(inner), timeline.at(np.minimum(inner + begun, end)), atol=1e-9)
    if timeline.concentration is not None:
        assert part.concentration is not None
        wanted = np.interp(part.times + begun, timeline.times, timeline.concentration)
        np.testing.assert_allclose(part.concentration, wanted, rtol=1e-9)


@few
@given(draws(), st.lists(st.floats(0.02, 0.98), max_size=4, unique=True))
def test_cut_up_and_joined_it_is_as_before(drawn: Drawn, cuts: list[float]) -> None:
    timeline = drawn.made()
    edges = [0.0, *(timeline.duration * cut for cut in sorted(cuts)), timeline.duration]
    again = Timeline.join([timeline[start:end] for start, end in pairwise(edges) if end - start > 1e-3 or not cuts])
    if all(end - start > 1e-3 for start, end in pairwise(edges)):
        assert again.duration == pytest.approx(timeline.duration, abs=1e-9)
        np.testing.assert_allclose(again.at(moments(timeline)), timeline.at(moments(timeline)), atol=1e-9)
        assert (again.concentration is None) == (timeline.concentration is None)


@few
@given(st.lists(draws(), min_size=2, max_size=4))
def test_joined_each_says_what_it_says_alone(many: list[Drawn]) -> None:
    several = [drawn.made() for drawn in many]
    joined = Timeline.join(several, name="all.wav")
    assert joined.name == "all.wav"
    assert joined.duration == pytest.approx(sum(timeline.duration for timeline in several))
    assert (joined.concentration is None) == any(timeline.concentration is None for timeline in several)
    begun = 0.0
    for timeline in several:
        inner = np.linspace(0, timeline.duration - 1.1e-5, 41)
        np.testing.assert_allclose(joined.at(inner + begun), timeline.at(inner), atol=1e-7)
        begun += timeline.duration
    assert joined.name != several[0].name == Timeline.join(several).name


@few
@given(draws(), st.sampled_from([0.4, 1.0, 3.0, 10.0, 50.0, 333.0]))
def test_resampled_frames_fill_the_recording(drawn: Drawn, rate: float) -> None:
    timeline = drawn.made()
    slow = timeline.resample(rate)
    assert len(slow.times) == max(1, int(np.ceil(timeline.duration * rate - 1e-6)))
    assert slow.duration == timeline.duration
    assert slow.times[-1] <= timeline.duration
    np.testing.assert_allclose(slow.mixtures.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(slow.times[:-1], (np.arange(len(slow.times) - 1) + 0.5) / rate)
    assert (slow.concentration is None) == (timeline.concentration is None)


def test_resampling_reads_the_line_upwards_and_takes_means_downwards() -> None:
    timeline = frames(150, concentration=np.arange(150.0))
    np.testing.assert_allclose(timeline.resample(50).mixtures, timeline.mixtures, atol=1e-12)
    faster = timeline.resample(200)
    np.testing.assert_allclose(faster.mixtures, timeline.at(faster.times), atol=1e-12)
    slower = timeline.resample(1)
    np.testing.assert_allclose(slower.mixtures, timeline.mixtures.reshape(3, 50, -1).mean(axis=1), atol=1e-12)
    assert slower.concentration is not None
    np.testing.assert_allclose(slower.concentration, np.arange(150.0).reshape(3, 50).mean(axis=1))
    np.testing.assert_allclose(timeline.resample(1e-3).mixtures, timeline.mixtures.mean(axis=0)[None], atol=1e-12)


def test_two_moments_that_are_closer_at_the_end_are_still_read() -> None:
    timeline = Timeline(np.array([0.7, 0.9, 1.0]), CLASSES, mixed(3, 0), 1.7)
    faster = timeline.resample(5)
    np.testing.assert_allclose(faster.mixtures, timeline.at(faster.times), atol=1e-12)


@few
@given(draws(), st.integers(0, 2**20), st.floats(0.1, 0.9))
def test_the_mean_is_the_mean_at_every_moment(drawn: Drawn, seed: int, weight: float) -> None:
    timeline = drawn.made(sure=True)
    times = np.unique(np.random.default_rng(seed).integers(0, 1 + int(timeline.duration * 1000), 5)) / 1000
    other = Timeline(times, CLASSES, mixed(len(times), seed), timeline.duration)
    mean = Timeline.mean([timeline, other], [weight, 1 - weight])
    probes = moments(timeline)
    wanted = weight * timeline.at(probes) + (1 - weight) * other.at(probes)
    np.testing.assert_allclose(mean.at(probes), wanted, atol=2e-3)  # times are told to a microsecond
    assert mean.concentration is None
    np.testing.assert_allclose(Timeline.mean([timeline] * 3, [5, 0, 1]).mixtures, timeline.mixtures, atol=1e-12)
    twice = Timeline.mean([timeline, timeline]).concentration
    assert twice is not None
    np.testing.assert_allclose(twice, timeline.concentration)


def test_recordings_that_differ_by_less_than_a_frame_have_a_mean() -> None:
    one = Timeline(np.array([0.0, 1.0]), CLASSES, mixed(2, 0), 1.0)
    other = Timeline(np.array([0.985]), CLASSES, mixed(1, 1), 0.985)
    mean = Timeline.mean([one, other])
    assert mean.duration == 1.0
    np.testing.assert_allclose(mean.at(0.5), (one.at(0.5) + other.at(0.5)) / 2, atol=1e-9)


@few
@given(draws(), st.sets(st.sampled_from(CLASSES), max_size=3))
def test_banned_classes_are_gone_and_the_rest_keeps_its_proportions(drawn: Drawn, banned: set[str]) -> None:
    timeline = drawn.made()
    rest = timeline.without(sorted(banned))
    assert rest.classes == tuple(name for name in CLASSES if name not in banned)
    columns = [CLASSES.index(name) for name in rest.classes]
    left = timeline.mixtures[:, columns]
    np.testing.assert_allclose(rest.mixtures * left.sum(axis=1, keepdims=True), left, atol=1e-9)
    if timeline.concentration is not None:  # α of the classes that stay are as they were
        assert rest.concentration is not None
        alpha = timeline.concentration[:, None] * timeline.mixtures
        np.testing.assert_allclose(rest.concentration[:, None] * rest.mixtures, alpha[:, columns], atol=1e-6)


def test_a_name_alone_bans_no_other_that_it_holds() -> None:
    timeline = Timeline(np.array([0.5]), ("happy", "unhappy", "calm"), np.array([[0.2, 0.3, 0.5]]), 1.0)
    assert timeline.without("unhappy").classes == ("happy", "calm")


def test_where_nothing_is_left_the_others_share_alike() -> None:
    certain = Timeline(np.array([0.5]), CLASSES, np.array([[0.0, 0.0, 1.0, 0.0]]), 1.0, np.array([9.0]))
    rest = certain.without("anger")
    np.testing.assert_allclose(rest.mixtures, [[1 / 3] * 3])
    assert rest.concentration == pytest.approx([0.0])


@few
@given(draws(), draws())
def test_nothing_that_is_done_changes_it(drawn: Drawn, more: Drawn) -> None:
    timeline = drawn.made()
    other = more.made()
    before = bytes_of(timeline), timeline.classes, timeline.duration, timeline.name
    parts = (timeline[0.001:], timeline.resample(7), timeline.resample(500), Timeline.join([timeline, other]))
    results = (*parts, Timeline.mean([timeline, timeline]), timeline.without(["anger"]))
    timeline.segments()
    assert (bytes_of(timeline), timeline.classes, timeline.duration, timeline.name) == before
    for result in results:
        with pytest.raises(ValueError, match="read-only"):
            result.mixtures[0, 0] = 1


def test_a_picture_shows_the_segments_that_are_asked_for(tmp_path: Path) -> None:
    timeline = Timeline(frame_times(100), CLASSES, np.repeat(np.eye(4), [40, 10, 40, 10], axis=0), 2.0)
    timeline.plot(tmp_path / "usual.svg")
    timeline.plot(tmp_path / "all.svg", segmenting=Segmenting(minimum_seconds=0.1))
    usual, every = ((tmp_path / name).read_text("utf-8") for name in ("usual.svg", "all.svg"))
    assert "sadness from 0.8 to 1.0 s" in every
    assert "sadness from" not in usual


def test_it_keeps_its_own_numbers() -> None:
    times, mixtures = np.array([0.0, 1.0]), mixed(2, 3)
    timeline = Timeline(times, CLASSES, mixtures, 2.0)
    kept = mixtures.copy()
    mixtures[:] = 0.25
    times[1] = 7.0
    np.testing.assert_array_equal(timeline.mixtures, kept)
    assert timeline.times[1] == 1.0


def test_it_is_read_as_a_sequence_is() -> None:
    timeline = frames(40, 5)
    wanted = Sequence.of_frames(timeline.mixtures).at(moments(timeline))
    np.testing.assert_array_equal(timeline.at(moments(timeline)), wanted)


def test_the_middle_of_a_part_of_a_frame_is_no_later_than_the_end() -> None:
    timeline = Timeline(frame_times(3), CLASSES, mixed(3, 0), 641 / 16_000)
    assert timeline.times.tolist() == [0.01, 0.03, 641 / 16_000]


def test_stretches_in_python_s_way() -> None:
    timeline = frames()
    assert timeline[:].times.tolist() == timeline.times.tolist()
    assert timeline[-1:].duration == pytest.approx(1.0)
    assert timeline[1:99].duration == pytest.approx(2.0)
    assert timeline[:-0.5].duration == pytest.approx(2.5)
    assert timeline[0.0:0.001].mixtures == pytest.approx(timeline.mixtures[[0, 0]])
    assert repr(timeline[1:2]).startswith("Timeline('', 1.00 s, 52 moments, mostly ")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"duration": 0.0}, "lasts longer than 0"),
        ({"duration": float("nan")}, "lasts longer than 0"),
        ({"duration": 0.5}, "lies outside a recording"),
        ({"times": np.array([0.5, 0.5, 1.0])}, "times rise"),
        ({"times": np.array([-0.1, 0.5, 1.0])}, "-0.1 s lies outside"),
        ({"times": np.array([0.1, np.nan, 1.0])}, "finite time"),
        ({"times": np.array([])}, "at least one moment"),
        ({"times": np.array([0.5])}, "1 times and 3 mixtures"),
        ({"mixtures": np.full((3, 4), 0.3)}, "do not sum to 1"),
        ({"mixtures": np.tile([1.5, -0.5, 0.0, 0.0], (3, 1))}, "negative"),
        ({"mixtures": np.full((3, 4), np.nan)}, "not finite"),
        ({"mixtures": np.full((3, 5), 0.2)}, "5 shares instead of 4"),
        ({"classes": ("anger", "anger", "fear", "joy")}, "a name of its own"),
        ({"concentration": np.ones(2)}, "2 concentrations for 3"),
        ({"concentration": np.array([1.0, -1.0, 1.0])}, "negative or not finite"),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fine: dict[str, Any] = {"times": np.array([0.1, 0.5, 1.0]), "classes": CLASSES}
    fine |= {"mixtures": mixed(3, 0), "duration": 1.0}
    Timeline(**fine)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no types checked for them
    with pytest.raises(ValueError, match=said):
        Timeline(**(fine | changed))


def test_what_cannot_be_done_is_refused() -> None:
    timeline = frames()
    for stretch in (slice(2, 1), slice(5, 9), slice(1, 1), slice(float("nan"), 2)):
        with pytest.raises(ValueError, match=r"no part of|no time"):
            timeline[stretch]
    with pytest.raises(TypeError, match=r"cut by seconds.*at\(1.5\)"):
        timeline[::2]
    for rate in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="frame rate"):
            timeline.resample(rate)
    with pytest.raises(ValueError, match="no class joy"):
        timeline.without(["joy"])
    with pytest.raises(ValueError, match="must stay"):
        timeline.without(CLASSES)
    with pytest.raises(ValueError, match="no timeline"):
        Timeline.join([])
    with pytest.raises(ValueError, match="same classes"):
        Timeline.join([timeline, timeline.without("anger")])
    with pytest.raises(ValueError, match="equally long"):
        Timeline.mean([timeline, timeline[1:]])
    for weights in ([1.0], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="as many weights"):
            Timeline.mean([timeline, timeline], weights)
    with pytest.raises(ValueError, match="hysteresis"):
        Segmenting(hysteresis=1.0)
    with pytest.raises(ValueError, match="minimum_seconds"):
        Segmenting(minimum_seconds=-1.0)
