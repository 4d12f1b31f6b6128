"""The changes of whole batches; pytest runs this file in a process of its own, which has torch-audiomentations."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import welch

from valenza.features.augment import Augmentation
from valenza.features.batch import FRAME, SILENCE, Batch, Hearing, load
from valenza.features.on_device import BatchAugmentation, change_waveforms, training_windows
from valenza.mixture.stream import Window
from valenza.recipe import Augment

RATE = 16_000
LENGTHS = (50, 100, 35)
"""Frames of three clips in two windows of 160, between silence."""


def frames() -> torch.Tensor:
    first = [0] * LENGTHS[0] + [1] * LENGTHS[1] + [SILENCE] * 10
    return torch.tensor([first, [2] * LENGTHS[2] + [SILENCE] * 125])


def windows(seed: int = 0) -> torch.Tensor:
    loud = torch.tensor([3000.0, 300.0, 30.0])[frames().clamp(min=0)].repeat_interleave(FRAME, dim=1)
    hiss = torch.randn(2, 160 * FRAME, generator=torch.Generator().manual_seed(seed))
    return (hiss * loud * (frames() >= 0).repeat_interleave(FRAME, dim=1)).round().to(torch.int16)


def clips(waveform: torch.Tensor) -> list[np.ndarray]:
    return [waveform[(frames() == n).repeat_interleave(FRAME, dim=1)].numpy().astype(float) for n in range(3)]


def after(seed: int = 0, **settings: Any) -> torch.Tensor:
    torch.manual_seed(seed)
    changed = change_waveforms(windows(), frames(), Augment.model_validate(settings).waveform)
    assert changed.dtype == torch.int16
    assert not changed[(frames() < 0).repeat_interleave(FRAME, dim=1)].any(), "silence stays"
    return changed


def pairs(seed: int = 0, **settings: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(clips(windows()), clips(after(seed, **settings)), strict=True))


def test_polarity_and_reversal() -> None:
    for before, changed in pairs(polarity=1):
        np.testing.assert_array_equal(changed, -before)
    for before, changed in pairs(reversal=1):
        np.testing.assert_array_equal(changed, before[::-1])


def test_reversal_of_some_leaves_the_others() -> None:
    kinds = set()
    for seed in range(12):
        for before, changed in pairs(seed, reversal=0.5):
            assert np.array_equal(changed, before) or np.array_equal(changed, before[::-1])
            kinds.add(np.array_equal(changed, before))
    assert kinds == {True, False}


def test_gain_is_one_factor_a_clip() -> None:
    gains = []
    for seed in range(20):
        for before, changed in pairs(seed, gain={"p": 1, "db": 9}):
            gain = np.dot(before, changed) / np.dot(before, before)
            assert np.abs(changed - gain * before).max() < 0.7
            gains.append(20 * np.log10(gain))
    assert np.abs(gains).max() < 9.01
    assert np.std(gains) > 3


@pytest.mark.parametrize("snr", [0.0, 10.0])
def test_noise_is_measured_against_its_own_clip(snr: float) -> None:
    for before, changed in pairs(noise={"p": 1, "snr_db": [snr, snr]}):
        noise = changed - before
        found = 10 * np.log10(np.square(before).sum() / np.square(noise).sum())
        assert found == pytest.approx(snr, abs=0.35)


@pytest.mark.parametrize("ratio", [0.8, 1.25])
def test_speed_moves_a_tone(ratio: float) -> None:
    time = torch.arange(160 * FRAME) / RATE
    tone = (8000 * torch.sin(2 * np.pi * 1000 * time)).round().to(torch.int16).expand(2, -1)
    spoken = (frames() >= 0).repeat_interleave(FRAME, dim=1)
    settings = Augment.model_validate({"speed": {"p": 1, "ratio": [ratio, ratio]}}).waveform
    changed = change_waveforms(tone * spoken, frames(), settings)
    for clip in clips(changed):
        heard = clip[: round(len(clip) / max(ratio, 1))]
        peak = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))).argmax() * RATE / len(heard)
        assert peak == pytest.approx(1000 * ratio, abs=RATE / len(heard))
        assert np.abs(clip[-200:]).max() > 4000, "faster speech begins again"


def test_an_echo_comes_back() -> None:
    for before, changed in pairs(echo={"p": 1, "seconds": [0.1, 0.1], "level": [0.4, 0.4]}):
        wanted = before.copy()
        for n in range(1600, len(wanted)):
            wanted[n] += 0.4 * wanted[n - 1600]
        np.testing.assert_allclose(changed, wanted, atol=1.1 + 0.002 * np.abs(wanted).max())


def test_an_equaliser_is_a_shape_of_its_own_for_each_clip() -> None:
    shapes = []
    for before, changed in pairs(equaliser={"p": 1, "db": 10}):
        one, other = (welch(x, RATE, nperseg=512)[1][2:-2] for x in (before, changed))
        shapes.append(10 * np.log10(other / one))
    assert all(np.abs(s).max() < 22 and s.max() - s.min() > 3 for s in shapes)
    assert np.corrcoef(shapes[0], shapes[1])[0, 1] < 0.99


def test_moves_stay_within_their_clip() -> None:
    for before, changed in pairs(roll=1):
        by = np.fft.irfft(np.fft.rfft(changed) * np.conj(np.fft.rfft(before))).argmax()
        np.testing.assert_array_equal(changed, np.roll(before, by))
    for before, changed in pairs(shift={"p": 1, "share": 0.2}):
        assert 0.75 * np.count_nonzero(before) < np.count_nonzero(changed) < np.count_nonzero(before)
    for before, changed in pairs(crop={"p": 1, "keep": 0.5}):
        start = next(i for i in range(len(before)) if np.array_equal(before[i : i + 40], changed[:40]))
        kept = next(k for k in range(len(before) - start, 0, -1) if np.array_equal(before[start:][:k], changed[:k]))
        assert kept >= 0.5 * len(before) - 1
        np.testing.assert_array_equal(changed[kept:], changed[: len(changed) - kept])


EVERY = ("crop", "speed", "reversal", "equaliser", "echo", "noise", "polarity", "gain", "shift", "roll")


def test_the_generators_decide_and_nothing_is_clipped() -> None:
    every = dict.fromkeys(EVERY, 1)
    assert torch.equal(after(3, **every), after(3, **every))
    assert not torch.equal(after(3, **every), after(4, **every))
    loud = {**every, "gain": {"p": 1, "db": 60}}
    for seed in range(3):
        assert after(seed, **loud).abs().max() <= 32_440


def test_changes_happen_as_often_as_said() -> None:
    many = torch.arange(400).repeat_interleave(2)[None]
    waveform = torch.randint(100, 1000, (1, 800 * FRAME)).to(torch.int16)
    for name in EVERY:
        short = {"p": 0.2, "seconds": [0.01, 0.02]} if name == "echo" else 0.2
        changed = change_waveforms(waveform, many, Augment.model_validate({name: short}).waveform)
        hits = (changed != waveform).view(400, 2 * FRAME).any(dim=1).sum().item()
        assert abs(hits - 80) < 4.5 * np.sqrt(400 * 0.16), name


def test_nothing_but_silence_is_left_alone() -> None:
    quiet = torch.zeros(1, 10 * FRAME, dtype=torch.int16)
    nowhere = torch.full((1, 10), SILENCE)
    settings = Augment.model_validate(dict.fromkeys(EVERY, 1)).waveform
    assert torch.equal(change_waveforms(quiet, nowhere, settings), quiet)
    assert not change_waveforms(quiet, torch.zeros(1, 10, dtype=torch.long), settings).any()


@pytest.mark.parametrize("workers", [0, 1])
def test_windows_are_changed_where_they_arrive(stored: Any, workers: int) -> None:
    reader, index = stored
    hearing = Hearing("mel", mels=16, window_samples=3 * RATE, alone=True)
    nothing = np.zeros((len(index), 8)), np.zeros((len(index), 8), dtype=bool)
    settings = Augment.model_validate({"drawn": "batch", "gain": 1, "roll": 1, "time_mask": 1, "mel_noise": 1})
    augment = Augmentation(settings, index["id"].to_pylist(), 7)
    windows_ = training_windows(reader, hearing, *nothing, augment, on_device=False)
    (batch,) = load(windows_, iter([[Window((0, 3), 0, 0), Window((5,), 0, 1)]]), workers=workers)
    assert batch.inputs.dtype == torch.int16
    assert isinstance(batch.arrive, BatchAugmentation)

    def arrived(seed: int) -> Batch:
        torch.manual_seed(seed)
        return batch.to(torch.device("cpu"))

    assert arrived(1).inputs.shape == (2, 16, 300)
    assert torch.equal(arrived(1).inputs, arrived(1).inputs)
    assert not torch.equal(arrived(1).inputs, arrived(2).inputs)
    assert torch.equal(arrived(1).clip_of_frame, batch.clip_of_frame)
