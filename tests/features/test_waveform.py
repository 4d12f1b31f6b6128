"""The spectrum and the samples after each change, against what the change should do."""

from typing import Any

import numpy as np
import pytest
from scipy.signal import freqz, resample_poly, welch

from valenza.features.augment import explained
from valenza.features.waveform import seeded, transform
from valenza.recipe import Augment, Change

RATE = 16_000


def hiss(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (2000 * rng.standard_normal(round(seconds * RATE))).round().astype(np.int16)


def tone(hertz: float, seconds: float = 2.0) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).round().astype(np.int16)


def done(audio: np.ndarray, key: str = "k", **settings: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Change a clip in one way, and return what was drawn."""
    ((name, value),) = settings.items()
    chosen = Augment.model_validate({name: {"p": 1, **value}}).waveform
    changed, drawn = explained(audio, key, chosen)
    return changed, drawn[name]


def one(name: str, **options: Any) -> Change:
    return Augment.model_validate({name: {"p": 1, **options}}).changes[name]


def test_polarity_is_minus_the_clip() -> None:
    np.testing.assert_array_equal(done(hiss(), polarity={})[0], -hiss())


def test_reversal_is_the_clip_backwards() -> None:
    np.testing.assert_array_equal(done(hiss(), reversal={})[0], hiss()[::-1])


@pytest.mark.parametrize("key", ["a", "b", "c", "d"])
def test_gain_is_exact_in_decibels(key: str) -> None:
    audio = hiss()
    changed, drawn = done(audio, key, gain={"db": 9})
    decibels = 20 * np.log10(drawn["amplitude_ratio"])
    assert 0.05 < abs(decibels) <= 9
    assert np.abs(changed - audio * drawn["amplitude_ratio"]).max() < 0.51
    levels = [np.sqrt(np.square(x.astype(float)).mean()) for x in (changed, audio)]
    assert 20 * np.log10(levels[0] / levels[1]) == pytest.approx(decibels, abs=0.002)


@pytest.mark.parametrize("snr", [5.0, 20.0, 35.0])
def test_noise_is_as_much_softer_as_it_should_be_and_white(snr: float) -> None:
    audio = tone(440)
    changed, _ = done(audio, noise={"snr_db": [snr, snr]})
    noise = changed.astype(float) - audio
    measured = 10 * np.log10(np.square(audio.astype(float)).sum() / np.square(noise).sum())
    assert measured == pytest.approx(snr, abs=0.2)
    _, power = welch(noise, RATE, nperseg=512)
    assert 10 * np.log10(power[1:-1].max() / power[1:-1].min()) < 6
    assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(len(noise))


def test_noise_over_silence_is_silent() -> None:
    assert not done(np.zeros(4000, dtype=np.int16), noise={})[0].any()


@pytest.mark.parametrize("ratio", [0.8, 0.9, 1.1, 1.25])
def test_speed_moves_a_tone_and_changes_the_duration(ratio: float) -> None:
    audio = tone(1000)
    changed, drawn = done(audio, speed={"ratio": [ratio, ratio]})
    assert drawn["target_sample_rate"] == pytest.approx(RATE / ratio, abs=0.5)
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed))))
    peak = spectrum.argmax() * RATE / len(changed)
    assert peak == pytest.approx(1000 * ratio, abs=RATE / len(changed))
    assert len(changed) == (len(audio) if ratio < 1 else pytest.approx(len(audio) / ratio, abs=2))


def test_slower_speech_keeps_its_middle() -> None:
    audio = np.zeros(RATE, dtype=np.int16)
    audio[RATE // 2] = 20_000
    changed, _ = done(audio, speed={"ratio": [0.8, 0.8]})
    assert abs(int(np.abs(changed.astype(int)).argmax()) - RATE // 2) <= 2
    low = np.convolve(hiss(), np.ones(8) / 8, mode="same").round().astype(np.int16)  # filters differ near 8 kHz
    changed, _ = done(low, speed={"ratio": [0.8, 0.8]})
    wanted = resample_poly(low.astype(float), 5, 4)
    cut = (len(wanted) - len(changed)) // 2
    error = (changed - wanted[cut : cut + len(changed)])[200:-200]
    assert error.std() < 0.02 * wanted.std()


@pytest.mark.parametrize("key", [f"k{i}" for i in range(6)])
def test_an_echo_comes_back_after_its_delay(key: str) -> None:
    audio = hiss()
    changed, drawn = done(audio, key, echo={"seconds": [0.05, 0.3], "level": [0.2, 0.5]})
    delay, level = drawn["delay"], drawn["level"]
    assert 0.05 * RATE <= delay <= 0.3 * RATE
    assert 0.2 <= level <= 0.5
    spectrum = np.fft.rfft(changed.astype(float), 2 * len(changed))
    likeness = np.fft.irfft(np.abs(spectrum) ** 2)[: len(changed) // 2]
    assert likeness[400:].argmax() + 400 == delay
    whole = len(changed) / (len(changed) - delay)
    assert whole * likeness[delay] / likeness[0] == pytest.approx(level, abs=0.04)
    quiet = done((audio // 4).astype(np.int16), key, echo={"seconds": [0.05, 0.3], "level": [0.2, 0.5]})[0]
    np.testing.assert_array_equal(quiet[:delay], (audio // 4)[:delay])


def test_an_echo_is_its_difference_equation() -> None:
    audio = hiss(0.5)
    changed, drawn = done(audio, echo={"seconds": [0.02, 0.02], "level": [0.4, 0.4]})
    wanted = audio.astype(float)
    for n in range(drawn["delay"], len(wanted)):
        wanted[n] += drawn["level"] * wanted[n - drawn["delay"]]
    assert np.abs(changed - wanted).max() < 0.002 * np.abs(wanted).max()


def peaking(hertz: float, db: float, q: float) -> tuple[list[float], list[float]]:
    """A peaking filter as the Audio EQ Cookbook gives it (R. Bristow-Johnson)."""
    w, a = 2 * np.pi * hertz / RATE, 10 ** (db / 40)
    alpha = np.sin(w) / (2 * q)
    return [1 + alpha * a, -2 * np.cos(w), 1 - alpha * a], [1 + alpha / a, -2 * np.cos(w), 1 - alpha / a]


def response(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and the level after against before in decibels."""
    hertz, one = welch(before, RATE, nperseg=2048)
    _, other = welch(after, RATE, nperseg=2048)
    return hertz[2:], 10 * np.log10(other[2:] / one[2:])


@pytest.mark.parametrize("band", range(5))
def test_an_equaliser_s_band_changes_itself_and_nothing_else(band: int) -> None:
    samples = (0.05 * np.random.default_rng(3).standard_normal(8 * RATE)).astype(np.float32)
    equaliser = transform(one("equaliser", db=12))
    with seeded(5):
        equaliser.randomize_parameters(samples, RATE)
    low, *middle, high = filters = (
        equaliser.low_shelf_filter,
        *equaliser.peaking_filters,
        equaliser.high_shelf_filter,
    )
    for each in filters:
        each.parameters["gain_db"] = 0.0
    drawn = middle[band].parameters
    drawn |= {"gain_db": 10.0, "q_factor": 2.0}
    equaliser.freeze_parameters()
    hertz, level = response(samples, equaliser(samples, RATE))
    b, a = peaking(drawn["center_freq"], 10.0, 2.0)
    wanted = 20 * np.log10(np.abs(freqz(b, a, hertz, fs=RATE)[1]))
    far = (hertz > 4 * drawn["center_freq"]) | (hertz < drawn["center_freq"] / 4)
    assert far.any()
    assert np.abs(level[far]).max() < 0.7
    near = int(np.abs(hertz - drawn["center_freq"]).argmin())
    assert level[near] == pytest.approx(wanted[near], abs=1.5)  # a low band is narrower than the analysis
    assert np.abs(level - wanted)[hertz > 300].max() < 0.5
    assert low.parameters["gain_db"] == high.parameters["gain_db"] == 0


def test_an_equaliser_stays_within_its_bands_and_its_gain() -> None:
    audio = hiss(6.0)
    shapes = []
    for key in map(str, range(12)):
        _, level = response(audio, done(audio, key, equaliser={"db": 6})[0])
        shapes.append(level)
    shapes_ = np.array(shapes)
    assert np.abs(shapes_).max() < 14, "neighbouring bands add up, two at a time"
    assert shapes_.std(axis=0).min() > 0.5, "every frequency is changed by some"
    assert (shapes_.max(axis=1) - shapes_.min(axis=1)).min() > 2, "each is a shape and not a gain"


def test_a_roll_is_a_rotation() -> None:
    audio = hiss(0.5)
    moves = []
    for key in map(str, range(60)):
        changed, drawn = done(audio, key, roll={"share": 0.5})
        moves.append(round(drawn["shift_amount"] * len(audio)))
        np.testing.assert_array_equal(changed, np.roll(audio, moves[-1]))
    assert min(moves) < -0.3 * len(audio)
    assert max(moves) > 0.3 * len(audio)


def test_a_shift_leaves_silence_and_loses_the_rest() -> None:
    audio = hiss(0.5)
    for key in map(str, range(20)):
        changed, drawn = done(audio, key, shift={"share": 0.1})
        by = round(drawn["shift_amount"] * len(audio))
        assert abs(by) <= 0.1 * len(audio)
        wanted = np.zeros_like(audio)
        if by >= 0:
            wanted[by:] = audio[: len(audio) - by]
        else:
            wanted[:by] = audio[-by:]
        np.testing.assert_array_equal(changed, wanted)


def test_a_crop_is_a_stretch_of_the_clip() -> None:
    audio = hiss(0.5)
    shares = []
    for key in map(str, range(60)):
        changed, drawn = done(audio, key, crop={"keep": 0.6})
        np.testing.assert_array_equal(changed, audio[drawn["start"] :][: len(changed)])
        shares.append(len(changed) / len(audio))
    assert min(shares) >= 0.6
    assert np.histogram(shares, bins=4, range=(0.6, 1))[0].min() > 5
    starts = {done(audio, key, crop={"keep": 0.6})[1]["start"] for key in map(str, range(20))}
    assert len(starts) > 15
    assert len(done(audio, "k", crop={"keep": 1})[0]) == len(audio)


def test_what_is_done_to_spectrograms_is_not_done_to_waveforms() -> None:
    with pytest.raises(ValueError, match="not done to waveforms"):
        transform(one("time_mask"))
