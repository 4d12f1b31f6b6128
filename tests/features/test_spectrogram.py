"""The spectrogram against Whisper's own feature extractor."""

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from valenza.features.spectrogram import log_mel


def sounds(seconds: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    time = np.arange(round(seconds * 16_000)) / 16_000
    glide = np.sin(2 * np.pi * np.cumsum(150 + 60 * np.sin(4 * time)) / 16_000)
    return {
        "noise": (0.1 * rng.standard_normal(len(time))).astype(np.float32),
        "faint noise": (1e-4 * rng.standard_normal(len(time))).astype(np.float32),
        "chirp": (0.3 * glide * (np.sin(7 * time) > 0) + 1e-3 * rng.standard_normal(len(time))).astype(np.float32),
        "silence": np.zeros(len(time), dtype=np.float32),
    }


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("kind", ["noise", "faint noise", "chirp", "silence"])
def test_equals_whispers_own_on_a_padded_window(mels: int, kind: str) -> None:
    extractor = WhisperFeatureExtractor(feature_size=mels)
    sound = sounds(4.0)[kind]
    wanted = extractor(sound, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    padded = torch.zeros(1, 480_000)
    padded[0, : len(sound)] = torch.from_numpy(sound)
    found = log_mel(padded, mels)[0]
    assert found.shape == (mels, 3000)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize("kind", ["noise", "chirp"])
def test_equals_whispers_own_without_padding(kind: str) -> None:
    sound = sounds(5.0)[kind]
    wanted = WhisperFeatureExtractor(feature_size=80)._torch_extract_fbank_features(sound[None])[0]
    np.testing.assert_allclose(log_mel(torch.from_numpy(sound)[None], 80)[0].numpy(), wanted, atol=1e-4)


def test_rows_of_a_batch_do_not_touch() -> None:
    batch = torch.from_numpy(np.stack(list(sounds(1.0).values())))
    together = log_mel(batch, 80)
    for row, alone in zip(together, (log_mel(r[None], 80)[0] for r in batch), strict=True):
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=0)


def test_each_clip_is_scaled_as_if_it_were_alone() -> None:
    """The loud clip is 60 dB above the quiet one, whose floor would otherwise be cut off."""
    made = sounds(1.0)
    fade = torch.ones(16_000)
    fade[:400] = fade[-400:] = 0  # a border step hears 200 samples of its neighbour
    clips = [
        fade * torch.from_numpy(made["chirp"]),
        1e-3 * fade * torch.from_numpy(made["chirp"]),
        fade * torch.from_numpy(made["noise"]),
    ]
    frames = torch.arange(3).repeat_interleave(50)[None] + 7  # numbers need not begin at 0
    packed = log_mel(torch.cat(clips)[None], 80, frames)[0]
    whole = log_mel(torch.cat(clips)[None], 80)[0]
    for i, clip in enumerate(clips):
        inner = slice(100 * i + 2, 100 * i + 98)
        alone = log_mel(clip[None], 80)[0][:, 2:98]
        torch.testing.assert_close(packed[:, inner], alone, atol=1e-4, rtol=0)
    assert (whole[:, 102:198] - packed[:, 102:198]).abs().max() > 0.1
    silent = torch.cat([torch.zeros(1, 16_000), clips[0][None]], dim=1)
    padded = torch.cat([torch.full((1, 50), -1), torch.zeros(1, 50, dtype=torch.long)], dim=1)
    assert log_mel(silent, 80, padded).isfinite().all()
