"""Changed clips: repeatable everywhere, never clipped, and as often as their probabilities say."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.features.augment import Augmentation, alter, change, draw, explained, fingerprint, version
from valenza.recipe import Augment

CLIPS = [f"clip{i}" for i in range(400)]
NAMES = ("crop", "speed", "reversal", "equaliser", "echo", "noise", "polarity", "gain", "shift", "roll")
PAPER = dict.fromkeys(NAMES, 0.2)


def of(**settings_: object) -> Augment:
    return Augment.model_validate(settings_)


ALL = of(**dict.fromkeys(NAMES, 1))
CHAIN = of(**PAPER)


def voice(samples: int = 4000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tone = 3000 * np.sin(np.arange(samples) / (5 + seed % 7)) + 200 * rng.standard_normal(samples)
    return tone.round().astype(np.int16)


def gain_of(loud: np.ndarray, audio: np.ndarray) -> float:
    return 20 * np.log10(np.abs(loud).astype(float).sum() / np.abs(audio).astype(float).sum())


def test_the_first_version_is_the_clip_itself() -> None:
    audio = np.array([1, -5, 32767, -32768], dtype=np.int16)
    assert alter(audio, "a", 0, ALL) is audio
    empty = np.zeros(0, dtype=np.int16)
    assert alter(empty, "a", 2, ALL) is empty
    assert alter(audio, "a", 2, Augment()) is audio


def test_gains_are_within_their_range_and_spread_evenly_over_it() -> None:
    audio = voice() // 4
    gains = np.array([gain_of(alter(audio, clip, 1, of(gain={"p": 1, "db": 12})), audio) for clip in CLIPS])
    assert np.abs(gains).max() < 12.02
    assert np.abs(np.histogram(gains, bins=4, range=(-12, 12))[0] - 100).max() < 40


@settings(max_examples=80, deadline=None)
@given(
    audio=st.lists(st.integers(-32768, 32767), min_size=1, max_size=400),
    db=st.floats(0.01, 60),
    key=st.text(max_size=5),
)
def test_a_gain_never_clips_and_never_changes_a_sign(audio: list[int], db: float, key: str) -> None:
    samples = np.array(audio, dtype=np.int16)
    changed = change(samples, key, of(gain={"p": 1, "db": db}).waveform)
    assert len(changed) == len(samples)
    assert (np.sign(changed.astype(int)) * np.sign(samples.astype(int)) >= 0).all()
    peak = np.abs(samples.astype(int)).max()
    assert np.abs(changed.astype(int)).max() <= max(32_440, peak)
    order = np.argsort(samples, kind="stable")
    assert (np.diff(changed[order].astype(int)) >= 0).all(), "a wrapped sample would be out of order"


@settings(max_examples=60, deadline=None)
@given(
    audio=st.lists(st.sampled_from([-32768, -3, 0, 1, 32767]), min_size=1, max_size=900),
    key=st.text(max_size=5),
    names=st.sets(st.sampled_from(NAMES), min_size=1),
)
def test_any_changes_of_any_clip_leave_whole_numbers_in_its_own_room(
    audio: list[int], key: str, names: set[str]
) -> None:
    samples = np.array(audio, dtype=np.int16)
    before = samples.copy()
    chosen = of(**dict.fromkeys(names, 1)).waveform
    changed = change(samples, key, chosen)
    assert changed.dtype == np.int16
    assert 0 < len(changed) <= len(samples)
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(changed, change(samples, key, chosen))


def test_a_clip_that_gets_louder_is_turned_down_and_not_clipped() -> None:
    audio = (31_000 * np.sin(np.arange(16_000) / 9)).astype(np.int16)
    for number in range(1, 40):
        changed = alter(audio, "loud", number, of(equaliser={"p": 1, "db": 24}))
        assert np.abs(changed.astype(int)).max() <= 32_440
        runs = np.diff(np.flatnonzero(np.diff(changed.astype(int)) != 0))
        assert runs.max() < 4, "flat tops"


def test_each_change_happens_as_often_as_its_probability_says_and_apart_from_the_others() -> None:
    """Counts are binomial: none is expected beyond 4.5 standard deviations."""
    hits = {name: np.array([draw(f"k{i} {name}", 0.2) is not None for i in range(20_000)]) for name in NAMES}
    for name, hit in hits.items():
        assert abs(hit.mean() - 0.2) < 4.5 * np.sqrt(0.16 / len(hit)), name
    together = np.mean([hits[a] & hits[b] for i, a in enumerate(NAMES) for b in NAMES[:i]])
    assert abs(together - 0.04) < 0.002
    assert all(draw(f"k{i}", 1.0) is not None and draw(f"k{i}", 0.0) is None for i in range(2000))
    audio = voice(600)
    drawn = Counter(name for clip in CLIPS for name in explained(audio, clip, CHAIN.waveform)[1])
    for name in NAMES:
        assert abs(drawn[name] - 80) < 4.5 * np.sqrt(400 * 0.16), name


def test_one_change_more_leaves_the_draws_of_the_others_as_they_are() -> None:
    few, many = of(gain=1, echo=1), of(gain=1, echo=1, noise=1, roll=0.5)
    for clip in CLIPS[:20]:
        one, other = explained(voice(), clip, few.waveform)[1], explained(voice(), clip, many.waveform)[1]
        assert one["echo"] == other["echo"]
        assert one["gain"] == other["gain"]


def test_changes_come_in_one_order_whatever_the_recipe_s() -> None:
    backwards = of(**dict.fromkeys(reversed(NAMES), 1))
    assert list(backwards.waveform) == list(ALL.waveform) == list(NAMES)
    np.testing.assert_array_equal(alter(voice(), "a", 1, backwards), alter(voice(), "a", 1, ALL))


def test_global_generators_are_left_as_they_were_and_do_not_matter() -> None:
    changed = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        changed.append(alter(voice(), "a", 1, ALL))
        assert random.getstate() == python
        after = np.random.get_state()  # noqa: NPY002
        assert after[0] == numpy[0]
        np.testing.assert_array_equal(after[1], numpy[1])
        assert after[2:] == numpy[2:]
    np.testing.assert_array_equal(*changed)


def test_order_and_threads_do_not_matter() -> None:
    def heard(i: int) -> bytes:
        return alter(voice(900 + i, i), CLIPS[i], 1, ALL).tobytes()

    alone = [heard(i) for i in range(40)]
    backwards = [heard(i) for i in reversed(range(40))][::-1]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(heard, range(40)))
    assert alone == backwards == together
    assert len(set(alone)) == 40


def test_epochs_hear_the_versions_evenly() -> None:
    heard = Counter(version(clip, seed=7, epoch=e, versions=4) for clip in CLIPS for e in range(10))
    assert set(heard) == {0, 1, 2, 3}
    assert all(abs(count - 1000) < 120 for count in heard.values())
    by_epoch = {tuple(version(clip, seed=7, epoch=e, versions=4) for clip in CLIPS) for e in range(4)}
    assert len(by_epoch) == 4
    assert {version(clip, seed=7, epoch=0, versions=1) for clip in CLIPS} == {0}


@pytest.mark.parametrize("versions", [None, 3])
def test_a_clip_is_heard_by_its_id_and_not_its_row(versions: int | None) -> None:
    chosen = of(versions=versions, gain=1, roll=1)
    one, other = Augmentation(chosen, CLIPS, 7), Augmentation(chosen, CLIPS[::-1], 7)
    for epoch in range(6):
        np.testing.assert_array_equal(one(voice(), 3, epoch), other(voice(), len(CLIPS) - 4, epoch))
    different = {one(voice(), 3, epoch).tobytes() for epoch in range(30)}
    assert len(different) == (versions or 30)


def test_fixed_versions_are_the_same_for_every_seed_and_fresh_draws_are_not() -> None:
    fixed = [Augmentation(of(versions=2, roll=1), CLIPS, seed) for seed in (1, 2)]
    first = {a(voice(), 0, epoch).tobytes() for a in fixed for epoch in range(20)}
    assert first == {voice().tobytes(), alter(voice(), CLIPS[0], 1, of(roll=1)).tobytes()}
    fresh = [Augmentation(of(roll=1), CLIPS, seed)(voice(), 0, 0).tobytes() for seed in (1, 2)]
    assert fresh[0] != fresh[1]


def test_a_fingerprint_tells_every_setting() -> None:
    base = dict.fromkeys((*NAMES, "mel_noise", "frequency_mask", "time_mask"), 0.5)
    seen = {fingerprint(of(**base))}
    count = 0
    for name, each in of(**base).changes.items():
        for setting, value in each.model_dump().items():
            other = {name: {"p": 0.5, setting: _another(value)}}
            seen.add(fingerprint(of(**{**base, **other})))
            count += 1
    assert count > 20
    assert len(seen) == count + 1
    assert fingerprint(of(versions=2, gain=1)) == fingerprint(of(versions=9, gain=1)), "version 1 is in both"
    assert json.loads(fingerprint(of(gain=0)))[0] == {}


def _another(value: object) -> object:
    match value:
        case (low, high):
            return [low, (low + high) / 2]
        case int():
            return value + 1
        case float():
            return value / 2 + 0.01
    raise AssertionError(value)
