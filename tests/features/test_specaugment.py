"""Masks and noise on log-mel spectrograms: how many, how wide, where, and what stands there."""

from typing import Any

import numpy as np
import pytest
import torch

from valenza.errors import UsageError
from valenza.features.augment import Augmentation
from valenza.features.batch import Hearing
from valenza.features.on_device import training_windows
from valenza.features.specaugment import mask
from valenza.recipe import Augment

MELS, FRAMES = 80, 60
FRAMES_OF = torch.tensor([[0] * 20 + [1] * 30 + [-1] * 10])
KEYS = ["a", "b"]


def of(**settings: Any) -> Augment:
    return Augment.model_validate(settings)


def sounds(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, MELS, 2 * FRAMES, generator=torch.Generator().manual_seed(seed))


def after(mel: torch.Tensor, keys: list[str | None], **settings: Any) -> torch.Tensor:
    return mask(mel, FRAMES_OF, keys, of(**settings).spectrogram)


def runs(masked: torch.Tensor) -> list[int]:
    """How wide the stretches of True are."""
    edges = torch.diff(torch.nn.functional.pad(masked.int(), (1, 1))).nonzero()[:, 0].tolist()
    return [b - a for a, b in zip(edges[::2], edges[1::2], strict=True)]


def test_a_band_that_is_masked_is_the_clip_s_mean_and_the_rest_is_left() -> None:
    mel = sounds()
    changed = after(mel, KEYS, frequency_mask={"p": 1, "masks": 1})
    for steps in (slice(0, 40), slice(40, 100)):
        one, other = mel[0, :, steps], changed[0, :, steps]
        rows = (one != other).any(dim=1)
        assert (one == other)[~rows].all()
        torch.testing.assert_close(other[rows], one.mean().expand(int(rows.sum()), other.shape[1]))
        assert len(runs(rows)) == 1
    torch.testing.assert_close(changed[..., 100:], mel[..., 100:])


@pytest.mark.parametrize(("name", "size"), [("frequency_mask", MELS), ("time_mask", 40)])
@pytest.mark.parametrize("widest", [0.05, 0.2])
def test_masks_are_as_many_and_as_wide_as_said(name: str, size: int, widest: float) -> None:
    mel, widths, places, most = sounds(), [], [], 0
    for i in range(300):
        changed = after(mel, [f"k{i}", None], **{name: {"p": 1, "masks": 2, "widest": widest}})
        assert torch.equal(changed[..., 40:], mel[..., 40:]), "a clip without a key stays"
        different = (changed != mel)[0, :, :40]
        masked = different.any(dim=1) if name == "frequency_mask" else different.any(dim=0)
        assert different.all(dim=1 if name == "frequency_mask" else 0)[masked].all()
        found = runs(masked)
        most = max(most, len(found))
        if len(found) == 2:
            widths += found
            places += masked.nonzero()[:, 0].tolist()
    limit = round(widest * size)
    assert most == 2
    assert min(widths) == 1
    assert max(widths) == limit
    share = np.bincount(widths, minlength=limit + 1)[1:] / len(widths)
    assert np.abs(share - 1 / limit).max() < 0.08, "widths are even but for masks that overlap"
    assert {0, size - 1} <= set(places)


def test_noise_has_its_deviation_in_decibels() -> None:
    mel = sounds()
    noise = (after(mel, KEYS, mel_noise={"p": 1, "db": 4}) - mel)[0]
    assert 40 * float(noise[:, :100].std()) == pytest.approx(4, rel=0.03)
    assert not noise[:, 100:].any()
    assert abs(np.corrcoef(noise[:, :40].flatten(), noise[:, 40:80].flatten())[0, 1]) < 0.06


def test_spectrograms_are_changed_as_often_as_said() -> None:
    mel = sounds()
    hits = sum(not torch.equal(after(mel, [f"k{i}", None], time_mask=0.2), mel) for i in range(1000))
    assert abs(hits - 200) < 4.5 * np.sqrt(1000 * 0.16)


def test_a_clip_is_masked_by_its_key_wherever_it_lies() -> None:
    mel = sounds()
    both = torch.cat([mel, mel])
    frames = torch.cat([FRAMES_OF, torch.where(FRAMES_OF >= 0, FRAMES_OF + 2, -1)])
    settings = of(mel_noise=1, frequency_mask=1, time_mask=1).spectrogram
    changed = mask(both, frames, ["x", "y", "x", "y"], settings)
    torch.testing.assert_close(changed[0], changed[1])
    torch.testing.assert_close(changed[:1], mask(mel, FRAMES_OF, ["x", "y"], settings))
    state = torch.get_rng_state()
    mask(both, frames, ["x", "y", "x", "y"], settings)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_masked_spectrogram_needs_an_encoder_that_hears_one(stored: Any) -> None:
    reader, index = stored
    augment = Augmentation(of(time_mask=1, mel_noise=1), index["id"].to_pylist(), 7)
    nothing = np.zeros((len(index), 8)), np.zeros((len(index), 8), dtype=bool)
    with pytest.raises(UsageError, match=r"augment\.mel_noise, augment\.time_mask: this encoder hears waveforms"):
        training_windows(reader, Hearing("waveform"), *nothing, augment, on_device=False)
    training_windows(reader, Hearing("mel"), *nothing, augment, on_device=False)
