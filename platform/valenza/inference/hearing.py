"""What encoders take in, of recordings of unequal length in one batch; each as if it were heard by itself."""

from math import pi

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from valenza.features.batch import FRAME
from valenza.features.spectrogram import FFT, HOP, log_mel_filters

_DECADES = 8.0
"""As in `features.spectrogram`: what lies more than 80 dB under the loudest bin is cut off."""


def frames_of(lengths: Int64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
    """Return how many 50 Hz frames so many samples take up; a frame that has begun counts."""
    return (lengths + (FRAME - 1)) // FRAME


def own(count: int, lengths: Int64[Tensor, " batch"]) -> Bool[Tensor, "batch count"]:
    """Return which of the first `count` places lie within each recording."""
    return torch.arange(count, device=lengths.device) < lengths[:, None]


def whole(audio: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch whole"]:
    """Return audio with silence up to a whole frame."""
    frames = (audio.shape[1] + (FRAME - 1)) // FRAME
    return nn.functional.pad(audio, (0, FRAME))[:, : frames * FRAME]


class Spectrogram(nn.Module):
    """Whisper's log-mel spectrogram (Radford et al. 2023, §2.2) of each row of a batch up to its own end.

    The same as `features.spectrogram.log_mel` of each recording alone, within rounding. The Fourier transform is a
    convolution with sines and cosines: engines without an STFT can run it.
    """

    def __init__(self, mels: int) -> None:
        super().__init__()
        window = torch.hann_window(FFT, dtype=torch.float64)
        turns = torch.arange(FFT // 2 + 1)[:, None] * torch.arange(FFT) % FFT  # whole ones left out: they cost digits
        angle = 2 * pi * turns.double() / FFT
        waves = torch.stack([angle.cos(), angle.sin()]) * window
        self.waves: Tensor
        self.filters: Tensor
        self.register_buffer("waves", waves.flatten(0, 1)[:, None].float(), persistent=False)
        self.register_buffer("filters", log_mel_filters(mels).clone(), persistent=False)

    def forward(
        self, audio: Float[Tensor, "batch samples"], frames: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch mels steps"]:
        """Return two steps a frame; samples are a multiple of 320, in −1 … 1, and zero past each recording's end."""
        turned = audio.gather(1, _mirrored(audio.shape[1], frames * FRAME))
        parts = nn.functional.conv1d(turned[:, None], self.waves, stride=HOP)[..., : audio.shape[1] // HOP]
        real, imaginary = parts.chunk(2, dim=1)
        power = real.square() + imaginary.square()
        loudness = (self.filters @ power).clamp(min=1e-10).log10()
        inside = own(loudness.shape[2], 2 * frames)[:, None]
        loudest = loudness.masked_fill(~inside, -10.0).amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(loudness, loudest - _DECADES) + 4.0) / 4.0 * inside


def _mirrored(samples: int, ends: Int64[Tensor, " batch"]) -> Int64[Tensor, "batch padded"]:
    """Return which sample stands at each place of rows that are continued by their mirror image at both ends."""
    place = torch.arange(samples + FFT, device=ends.device) - FFT // 2
    last = (ends - 1)[:, None]
    place = place.abs().expand(ends.shape[0], -1)
    return torch.where(place > last, 2 * last - place, place).clamp(min=0)


def normalised(
    audio: Float[Tensor, "batch samples"], frames: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch samples"]:
    """Return each recording brought to zero mean and unit variance over its whole frames, as large Wav2Vec2s hear."""
    spoken = own(audio.shape[1], frames * FRAME).to(audio.dtype)
    count = spoken.sum(dim=1, keepdim=True).clamp(min=1)
    mean = (audio * spoken).sum(dim=1, keepdim=True) / count
    variance = ((audio - mean).square() * spoken).sum(dim=1, keepdim=True) / count
    return (audio - mean) / (variance + 1e-7).sqrt() * spoken
