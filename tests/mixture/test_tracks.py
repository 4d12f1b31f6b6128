"""Tracks are planned alike everywhere, of one speaker each, in equal kinds, and no clip is worn out."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.errors import UsageError
from valenza.mixture.tracks import KINDS, Kind, PlannedTrack, TrackClip, plan_tracks

CLASSES = ("happiness", "sadness", "anger", "fear", "neutral")
SHAPES = {
    "neutral-emotion": (True, False),
    "emotion-neutral": (False, True),
    "neutral-emotion-neutral": (True, False, True),
    "emotion-emotion": (False, False),
}


def voice(
    speaker: str, classes: dict[str, int], *, corpus: str = "toy", first: int = 0, seconds: float = 2.0
) -> list[TrackClip]:
    """Clips of one speaker: so many of each class, a little longer one after the other."""
    said = [emotion for emotion, number in classes.items() for _ in range(number)]
    return [
        TrackClip(first + i, corpus, speaker, "de", emotion, seconds + 0.01 * i) for i, emotion in enumerate(said)
    ]  # fmt: skip


def right(track: PlannedTrack, longest: float, shortest: float) -> bool:
    """Whether a track keeps every rule that one track alone can break."""
    emotions = [clip.emotion for clip in track.clips]
    neutral = tuple(emotion == "neutral" for emotion in emotions)
    return (
        {(c.corpus, c.speaker, c.language) for c in track.clips} == {(track.corpus, track.speaker, track.language)}
        and len(set(track.rows)) == len(track.rows)
        and all(a != b for a, b in pairwise(emotions))
        and (3 <= len(emotions) <= 6 if track.kind == "several" else neutral == SHAPES[track.kind])
        and sum(clip.seconds for clip in track.clips) <= longest
        and all(clip.seconds >= shortest for clip in track.clips)
    )


clips_of = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2", "s3"]),
        st.sampled_from(["de", "fr"]),
        st.sampled_from(CLASSES),
        st.floats(0.05, 20.0, allow_nan=False),
    ),
    max_size=60,
).map(lambda rows: [TrackClip(i, "toy", s, lang, e, t) for i, (s, lang, e, t) in enumerate(rows)])


@given(
    clips_of,
    st.integers(0, 2**31),
    st.integers(1, 15),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=5, unique=True),
    st.floats(0.3, 40.0),
    st.floats(0.0, 0.3),
)
@settings(max_examples=100, deadline=None)
def test_every_track_keeps_every_rule_whatever_the_clips(clips, seed, per_speaker, kinds, longest, shortest):
    settings_ = {"seed": seed, "per_speaker": per_speaker, "kinds": kinds, "longest": longest, "shortest": shortest}
    plan = plan_tracks(clips, **settings_)
    assert all(right(track, longest, shortest) for track in plan.tracks)
    assert {track.kind for track in plan.tracks} <= set(kinds)
    # Every track that was asked for is planned or said to be missing.
    voices = {(clip.speaker, clip.language) for clip in clips}
    assert len(plan.tracks) + sum(m.tracks for m in plan.missing) == per_speaker * len(voices)
    # The order in which clips are given says nothing.
    assert plan_tracks(clips[::-1], **settings_) == plan


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 9), st.integers(2, 9), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_kinds_are_equal_and_clips_are_used_equally(seed, per_speaker, speakers, each, classes):
    own = dict.fromkeys([*CLASSES[:classes], "neutral"], each)
    clips = [clip for s in range(speakers) for clip in voice(f"s{s}", own, first=1000 * s, seconds=0.5)]
    plan = plan_tracks(clips, seed=seed, per_speaker=per_speaker)
    asked = Counter(KINDS[i % 5] for i in range(per_speaker * speakers))
    lacking: Counter[Kind] = Counter()
    for missed in plan.missing:
        lacking[missed.kind] += missed.tracks
    counts = Counter(track.kind for track in plan.tracks)
    assert {kind: counts[kind] + lacking[kind] for kind in asked} == asked
    if len(own) > 2:  # two emotions beside neutral make every kind
        assert not plan.missing
        assert max(counts.values()) - min(counts[kind] for kind in KINDS) <= 1
    used = Counter(row for track in plan.tracks for row in track.rows)
    for speaker in range(speakers):
        for emotion in own:
            uses = [used[c.row] for c in clips if (c.speaker, c.emotion) == (f"s{speaker}", emotion)]
            assert max(uses) - min(uses) <= 1


def test_emotions_take_turns_too():
    clips = voice("s1", dict.fromkeys(CLASSES, 8))
    plan = plan_tracks(clips, seed=3, per_speaker=40, kinds=["neutral-emotion", "emotion-emotion"])
    after = Counter(track.clips[1].emotion for track in plan.tracks if track.kind == "neutral-emotion")
    assert after == dict.fromkeys(CLASSES[:4], 5)
    pairs = Counter(tuple(c.emotion for c in t.clips) for t in plan.tracks if t.kind == "emotion-emotion")
    assert len(pairs) == 12
    assert max(pairs.values()) <= 2


def test_a_speaker_of_too_few_classes_gives_what_they_can():
    clips = voice("s1", {"anger": 4, "fear": 4}) + voice("s2", {"neutral": 5}, first=50)
    plan = plan_tracks(clips, seed=1, per_speaker=10)
    assert Counter(t.kind for t in plan.tracks) == {"emotion-emotion": 2, "several": 2}
    assert {(m.speaker, m.kind): (m.tracks, m.classes) for m in plan.missing} == {
        **{("s1", kind): (2, ("anger", "fear")) for kind in KINDS[:3]},
        **{("s2", kind): (2, ("neutral",)) for kind in KINDS},
    }


def test_one_neutral_clip_is_not_heard_on_both_sides():
    plan = plan_tracks(voice("s1", {"neutral": 1, "anger": 3}), seed=1, kinds=["neutral-emotion-neutral"])
    assert plan.tracks == ()
    assert plan.missing[0].tracks == 12


def test_long_clips_leave_room_for_what_follows():
    """Of clips of 29 s and of .6 s, the long ones can be heard with a short one only."""
    long = voice("s1", {"neutral": 3, "anger": 3}, seconds=29.0)
    short = voice("s1", {"neutral": 3, "anger": 3}, first=50, seconds=0.6)
    plan = plan_tracks(long + short, seed=5, per_speaker=30, kinds=["neutral-emotion", "emotion-neutral"])
    assert len(plan.tracks) == 30
    assert {row for t in plan.tracks for row in t.rows} == {c.row for c in long + short}


def test_another_corpus_speaker_or_seed_changes_only_its_own():
    one = voice("s1", dict.fromkeys(CLASSES, 6))
    alone = plan_tracks(one, seed=7)
    with_corpus = plan_tracks([*one, *voice("s1", dict.fromkeys(CLASSES, 6), corpus="alpha", first=99)], seed=7)
    assert tuple(t for t in with_corpus.tracks if t.corpus == "toy") == alone.tracks
    later = plan_tracks([*one, *voice("s2", dict.fromkeys(CLASSES, 6), first=99)], seed=7)
    assert tuple(t for t in later.tracks if t.speaker == "s1") == alone.tracks
    assert plan_tracks(one, seed=8) != alone


def test_another_process_plans_the_same():
    program = (
        "import sys; from valenza.mixture.tracks import *;"
        "clips = [TrackClip(i, 'toy', 's1', 'de', ['anger', 'fear', 'neutral'][i % 3], 1.0) for i in range(30)];"
        "print([t.rows for t in plan_tracks(clips, seed=7).tracks])"
    )
    said = {subprocess.check_output([sys.executable, "-c", program], text=True) for _ in range(2)}
    clips = [TrackClip(i, "toy", "s1", "de", ["anger", "fear", "neutral"][i % 3], 1.0) for i in range(30)]
    assert said == {f"{[t.rows for t in plan_tracks(clips, seed=7).tracks]}\n"}


@pytest.mark.parametrize(
    "wrong",
    [{"per_speaker": 0}, {"kinds": []}, {"kinds": ["several", "several"]},
     {"longest": 0.2}, {"shortest": -1.0}],
)  # fmt: skip
def test_settings_that_plan_nothing_are_refused(wrong):
    with pytest.raises(UsageError):
        plan_tracks(voice("s1", dict.fromkeys(CLASSES, 3)), seed=1, **wrong)
