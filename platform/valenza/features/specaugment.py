"""What can happen to a clip's log-mel spectrogram (SpecAugment: Park et al. 2019, §2), with noise as in Osman et al."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from valenza.features.augment import draw
from valenza.recipe import Change, FrequencyMask, MelNoise, TimeMask

DECIBELS = 40.0
"""What 1 stands for in a log-mel spectrogram: (log10 of the power + 4) / 4."""


def mask(
    mel: Float[Tensor, "batch mels steps"],
    clip_of_frame: Int64[Tensor, "batch frames"],
    keys: Sequence[str | None],
    settings: Mapping[str, Change],
) -> Float[Tensor, "batch mels steps"]:
    """Return spectrograms whose clips are changed as their keys draw; a clip without a key stays as it is.

    A clip's two steps a frame are changed and no others, and what is masked becomes the mean of the clip.
    """
    changed = mel.clone()
    for row, clip, steps in _stretches(clip_of_frame):
        key = keys[clip]
        if key is None:
            continue
        inside, mean = changed[row, :, steps], mel[row, :, steps].mean()
        for name, change in settings.items():
            seed = draw(f"{key} {name}", change.p)
            if seed is not None:
                _change(inside, mean, change, seed)
    return changed


def _change(inside: Float[Tensor, "mels steps"], mean: Float[Tensor, ""], change: Change, seed: int) -> None:
    """Change the spectrogram of one clip in place."""
    match change:
        case MelNoise(db=db):
            source = torch.Generator(inside.device).manual_seed(seed)
            inside += torch.randn(inside.shape, generator=source, device=inside.device) * (db / DECIBELS)
        case FrequencyMask(masks=masks, widest=widest):
            for first, last in _places(len(inside), masks, widest, seed):
                inside[first:last] = mean
        case TimeMask(masks=masks, widest=widest):
            for first, last in _places(inside.shape[1], masks, widest, seed):
                inside[:, first:last] = mean


def _places(size: int, masks: int, widest: float, seed: int) -> Iterator[tuple[int, int]]:
    """Yield where masks begin and end: widths and then places are drawn evenly, and masks may overlap."""
    source = np.random.default_rng(seed)
    for _ in range(masks):
        width = int(source.integers(1, max(1, round(widest * size)), endpoint=True))
        first = int(source.integers(0, size - width, endpoint=True))
        yield first, first + width


def _stretches(clip_of_frame: Int64[Tensor, "batch frames"]) -> Iterator[tuple[int, int, slice]]:
    """Yield row, clip and spectrogram steps of every clip."""
    for row, frames in enumerate(clip_of_frame.cpu()):
        clips, lengths = torch.unique_consecutive(frames, return_counts=True)
        start = 0
        for clip, length in zip(clips.tolist(), lengths.tolist(), strict=True):
            if clip >= 0:
                yield row, clip, slice(2 * start, 2 * (start + length))
            start += length
