"""Versions of a clip: exact, repeatable and never clipped."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.features.augment import Augmentation, alter, version
from valenza.recipe import Augment

CLIPS = [f"clip{i}" for i in range(400)]


def gain_of(loud: np.ndarray, audio: np.ndarray) -> float:
    return 20 * np.log10(np.abs(loud).astype(float).sum() / np.abs(audio).astype(float).sum())


def test_the_first_version_is_the_clip_itself() -> None:
    audio = np.array([1, -5, 32767, -32768], dtype=np.int16)
    settings_ = Augment(versions=3, gain_db=20.0)
    assert alter(audio, "a", 0, settings_) is audio
    empty = np.zeros(0, dtype=np.int16)
    assert alter(empty, "a", 2, settings_) is empty


def test_gains_are_within_their_range_and_spread_evenly_over_it() -> None:
    audio = (1000 * np.sin(np.arange(4000) / 7)).astype(np.int16)
    gains = np.array([gain_of(alter(audio, clip, 1, Augment(versions=2, gain_db=12.0)), audio) for clip in CLIPS])
    assert np.abs(gains).max() < 12.01
    assert np.abs(np.histogram(gains, bins=4, range=(-12, 12))[0] - 100).max() < 40


def test_a_gain_is_one_factor_for_every_sample() -> None:
    audio = np.random.default_rng(0).integers(-2000, 2000, 5000).astype(np.int16)
    changed = alter(audio, "a", 2, Augment(versions=3, gain_db=10.0))
    factor = 10 ** (gain_of(changed, audio) / 20)
    assert abs(factor - 1) > 0.01
    assert np.abs(changed - audio * factor).max() <= 0.51
    assert changed.dtype == np.int16


@settings(max_examples=80, deadline=None)
@given(
    audio=st.lists(st.integers(-32768, 32767), min_size=1, max_size=40),
    number=st.integers(1, 9),
    gain=st.floats(0, 60),
    clip=st.text(max_size=5),
)
def test_nothing_is_ever_clipped_and_nothing_changes_its_sign(
    audio: list[int], number: int, gain: float, clip: str
) -> None:
    samples = np.array(audio, dtype=np.int16)
    changed = alter(samples, clip, number, Augment(versions=10, gain_db=gain))
    again = alter(samples, clip, number, Augment(versions=10, gain_db=gain))
    np.testing.assert_array_equal(changed, again)
    assert len(changed) == len(samples)
    assert (np.sign(changed) * np.sign(samples) >= 0).all()
    peak = np.abs(samples.astype(int)).max()
    assert np.abs(changed.astype(int)).max() <= max(32_440, peak)
    order = np.argsort(samples, kind="stable")
    assert (np.diff(changed[order].astype(int)) >= 0).all(), "a wrapped sample would be out of order"


def test_epochs_hear_the_versions_evenly() -> None:
    heard = Counter(version(clip, seed=7, epoch=e, versions=4) for clip in CLIPS for e in range(10))
    assert set(heard) == {0, 1, 2, 3}
    assert all(abs(count - 1000) < 120 for count in heard.values())
    by_epoch = {tuple(version(clip, seed=7, epoch=e, versions=4) for clip in CLIPS) for e in range(4)}
    assert len(by_epoch) == 4
    assert {version(clip, seed=7, epoch=0, versions=1) for clip in CLIPS} == {0}


def test_an_augmentation_hears_a_clip_by_its_id_and_not_its_row() -> None:
    audio = (900 * np.sin(np.arange(2000) / 5)).astype(np.int16)
    chosen = Augment(versions=3, gain_db=15.0)
    one, other = Augmentation(chosen, CLIPS, 7), Augmentation(chosen, CLIPS[::-1], 7)
    for epoch in range(6):
        np.testing.assert_array_equal(one(audio, 3, epoch), other(audio, len(CLIPS) - 4, epoch))
        assert one.version(3, epoch) == version("clip3", seed=7, epoch=epoch, versions=3)
    assert len({one(audio, 3, e).tobytes() for e in range(30)}) == 3
