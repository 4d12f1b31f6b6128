"""Windows of clips become tensors: what the encoder hears, and which clip each of its frames belongs to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int16, Int64, Shaped
from torch import Tensor
from torch.utils.data import Dataset

from valenza.errors import ClipError, DataError
from valenza.features.augment import Augmentation
from valenza.features.specaugment import mask
from valenza.features.spectrogram import SAMPLE_RATE, log_mel
from valenza.features.workers import PATIENCE, supply
from valenza.mixture.stream import Window
from valenza.shards.read import Reader

FRAME = 320
"""Samples between encoder frames: 50 a second, for Whisper as for Wav2Vec2."""
SILENCE = -1
DAMAGE = (ClipError, DataError)
"""What keeps one clip from being heard: its bytes are not those that were written, or a change made it infinite.

A shard that cannot be read at all is no such thing: a server that is down would make its clips vanish.
"""


@dataclass(frozen=True)
class Hearing:
    """What an encoder takes in."""

    kind: Literal["mel", "waveform"]
    mels: int = 80
    window_samples: int = 30 * SAMPLE_RATE
    normalise: bool = False
    """Whether waveforms are brought to zero mean and unit variance, as large Wav2Vec2 models were trained."""
    alone: bool = False
    """Whether each clip is scaled as if it were heard alone, rather than with its window."""


@dataclass(frozen=True)
class Wanted:
    """Sequences for the recordings of a batch, one recording a row."""

    ways: Float[Tensor, "batch ways frames classes"]
    """The teacher's mixtures; or the sequence that was chosen, and the one that was not."""
    reference: Float[Tensor, "batch frames"]
    """What a frozen reference thinks of the two: the difference of their log-densities."""
    weights: Float[Tensor, " batch"]
    """How much each comparison counts."""

    def to(self, device: torch.device) -> "Wanted":
        """Return the sequences on another device."""
        return Wanted(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


@dataclass(frozen=True)
class Batch:
    """Windows and the clips in them."""

    inputs: Shaped[Tensor, "batch ..."]
    """16-bit waveforms as they travel, what `hear` makes of them, or layers [batch, frames, layers, width]."""
    clip_of_frame: Int64[Tensor, "batch frames"]
    """Which clip of this batch is heard in each 50 Hz frame; −1 in silence."""
    rows: Int64[Tensor, " clips"]
    """Clip numbers: rows of the index."""
    targets: Float[Tensor, "clips classes"]
    known: Bool[Tensor, "clips classes"]
    counts: Bool[Tensor, " clips"]
    """False for the clips of stand-in windows, and for those that could not be heard."""
    wanted: "Wanted | None" = None
    """Where frames are learned from sequences rather than from what their clip is."""
    arrive: "Callable[[Batch], Batch] | None" = None
    """What is done to the batch as soon as it is on its device."""
    quarantined: tuple[tuple[int, str], ...] = ()
    """Rows that could not be heard, each with the reason: silence of their length stands in their place."""

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device, after what is done to it there."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {name: v.to(device, non_blocking=True) for name, v in values.items() if isinstance(v, Tensor)}
        wanted = None if self.wanted is None else self.wanted.to(device)
        moved = replace(self, **tensors, wanted=wanted, arrive=None, quarantined=self.quarantined)
        return moved if self.arrive is None else self.arrive(moved)


def whole_frames(samples: int) -> int:
    """Return the samples that a clip takes up: a clip begins on a frame, so that no frame holds two clips."""
    return -(-samples // FRAME) * FRAME


def join(clips: Sequence[Int16[np.ndarray, " _"]], samples: int | None = None) -> tuple[Tensor, Tensor]:
    """Put clips one after the other; returns 16-bit samples (padded with silence) and the clip heard in each frame.

    Raises `ValueError` if they do not fit into `samples`.
    """
    lengths = [whole_frames(len(clip)) for clip in clips]
    total = sum(lengths) if samples is None else samples
    if sum(lengths) > total:
        raise ValueError(f"clips of {sum(lengths)} samples do not fit into {total}")
    waveform = np.zeros(total, dtype=np.int16)
    clip_of_frame = np.full(total // FRAME, SILENCE, dtype=np.int64)
    start = 0
    for number, (clip, length) in enumerate(zip(clips, lengths, strict=True)):
        waveform[start : start + len(clip)] = clip
        clip_of_frame[start // FRAME : (start + length) // FRAME] = number
        start += length
    return torch.from_numpy(waveform), torch.from_numpy(clip_of_frame)


def hear(
    waveform: Int16[Tensor, "batch samples"], clip_of_frame: Int64[Tensor, "batch frames"], hearing: Hearing
) -> Float[Tensor, "batch ..."]:
    """Turn 16-bit samples into what the encoder takes in: log-mel spectrograms, or waveforms in −1 … 1."""
    samples = waveform.float() / 32768.0
    if hearing.kind == "mel":
        return log_mel(samples, hearing.mels, clip_of_frame if hearing.alone else None)
    if hearing.normalise:
        spoken = (clip_of_frame != SILENCE).repeat_interleave(FRAME, dim=1).float()
        count = spoken.sum(dim=1, keepdim=True).clamp(min=1)
        mean = (samples * spoken).sum(dim=1, keepdim=True) / count
        variance = ((samples - mean).square() * spoken).sum(dim=1, keepdim=True) / count
        samples = (samples - mean) / (variance + 1e-7).sqrt() * spoken
    return samples


class WindowDataset(Dataset[Batch]):
    """Serves a pass of windows as one batch; it keeps no state, so any worker may serve any pass."""

    def __init__(
        self,
        reader: Reader,
        hearing: Hearing,
        targets: Float[np.ndarray, "clips classes"],
        known: Bool[np.ndarray, "clips classes"],
        *,
        augment: Augmentation | None = None,
        on_device: bool = False,
        arrive: Callable[[Batch], Batch] | None = None,
        ids: Sequence[str] = (),
    ) -> None:
        self.reader, self.hearing, self.augment, self.on_device = reader, hearing, augment, on_device
        self.arrive, self.ids = arrive, ids
        self.targets, self.known = torch.from_numpy(targets).float(), torch.from_numpy(known)

    def __getitem__(self, windows: Sequence[Window]) -> Batch:
        """Read and join the clips of these windows; features are left to the device if `on_device`.

        Spectrograms that change are made here all the same, since each clip draws from its own key. A clip that is
        damaged is silent, so that the others are heard where they would be, and none of its frames is its own.
        """
        damaged: dict[int, str] = {}
        inputs: list[Tensor] = []
        frames: list[Tensor] = []
        rows: list[int] = []
        counts: list[bool] = []
        for window in windows:
            clips = [self._clip(row, window.epoch, damaged) for row in window.clips]
            waveform, clip_of_frame = join(clips, self.hearing.window_samples)
            for number, row in enumerate(window.clips):
                if row in damaged:
                    clip_of_frame[clip_of_frame == number] = SILENCE
            inputs.append(self._heard(window, waveform, clip_of_frame))
            frames.append(torch.where(clip_of_frame == SILENCE, SILENCE, clip_of_frame + len(rows)))
            rows += window.clips
            counts += [window.real and row not in damaged for row in window.clips]
        numbers = torch.tensor(rows)
        return Batch(
            inputs=torch.stack(inputs),
            clip_of_frame=torch.stack(frames),
            rows=numbers,
            targets=self.targets[numbers],
            known=self.known[numbers],
            counts=torch.tensor(counts),
            arrive=self.arrive,
            quarantined=tuple(damaged.items()),
        )

    def name(self, row: int) -> str:
        """Return the id of a clip."""
        return self.ids[row] if self.ids else f"row {row}"

    def _clip(self, row: int, epoch: int, damaged: dict[int, str]) -> Int16[np.ndarray, " samples"]:
        """Return a clip as an epoch hears it; silence, and the reason into `damaged`, where it cannot be heard."""
        try:
            audio = self.reader.audio(row)
            return audio if self.augment is None else self.augment(audio, row, epoch)
        except DAMAGE as error:
            damaged[row] = str(error)
            return np.zeros(self.reader.samples(row), dtype=np.int16)

    def _heard(
        self, window: Window, waveform: Int16[Tensor, " samples"], clip_of_frame: Int64[Tensor, " frames"]
    ) -> Shaped[Tensor, "..."]:
        masks = self.augment.settings.spectrogram if self.augment is not None else {}
        if self.on_device and not masks:
            return waveform
        heard = hear(waveform[None], clip_of_frame[None], self.hearing)
        if self.augment is not None and masks:
            keys = [self.augment.key(row, window.epoch) for row in window.clips]
            heard = mask(heard, clip_of_frame[None], keys, masks)
        return heard[0]


@runtime_checkable
class Named(Protocol):
    """A dataset that says what the clips of its windows are called."""

    def name(self, row: int) -> str:
        """Return the id of a clip."""
        ...


def load(
    dataset: Dataset[Batch],
    passes: Iterator[list[Window]],
    *,
    workers: int,
    pin: bool = False,
    patience: float = PATIENCE,
) -> Iterator[Batch]:
    """Yield one batch per pass, in order, prepared by so many worker processes (0: in this one).

    Raises `PeerError` that names the clips in hand where a worker dies or sends nothing for `patience` seconds.
    """
    name = dataset.name if isinstance(dataset, Named) else "row {}".format
    yield from supply(dataset, passes, workers=workers, pin=pin, patience=patience, name=name)
