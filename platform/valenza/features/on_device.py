"""Changes all clips of a batch at once with torch-audiomentations, where the model is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int16, Int64
from torch import Tensor

from valenza.errors import UsageError
from valenza.features.augment import LOUDEST, Augmentation
from valenza.features.batch import FRAME, Batch, Hearing, WindowDataset, hear
from valenza.features.specaugment import mask
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.recipe import Augment, Change
from valenza.recipe import augment as changes
from valenza.shards.read import Reader

_FULL = 32768.0
_RINGS = 8192
"""Samples after which an equaliser has fallen silent: with ±12 dB its narrowest band needs half of them for 60 dB."""


def training_windows(
    reader: Reader,
    hearing: Hearing,
    targets: Float[np.ndarray, "clips classes"],
    known: Bool[np.ndarray, "clips classes"],
    augment: Augmentation | None,
    *,
    on_device: bool,
    ids: Sequence[str] = (),
) -> WindowDataset:
    """Return windows whose clips are changed as a recipe wants it: in the workers, or on the device.

    Raises `UsageError` where spectrograms are to be changed for an encoder that hears waveforms, and where
    torch-audiomentations is wanted and not installed.
    """
    if augment is None:
        return WindowDataset(reader, hearing, targets, known, on_device=on_device, ids=ids)
    if augment.settings.spectrogram and hearing.kind != "mel":
        names = ", ".join(f"augment.{name}" for name in augment.settings.spectrogram)
        raise UsageError(f"{names}: this encoder hears waveforms, and has no spectrogram to change")
    if augment.settings.drawn == "clip":
        return WindowDataset(reader, hearing, targets, known, augment=augment, on_device=on_device, ids=ids)
    library()
    arrive = BatchAugmentation(augment.settings, hearing)
    return WindowDataset(reader, hearing, targets, known, on_device=True, arrive=arrive, ids=ids)


@dataclass(frozen=True)
class BatchAugmentation:
    """What a recipe changes in a batch once it has arrived on its device.

    It draws from torch's generators, which the loop sets from (seed, step, process).
    """

    settings: Augment
    hearing: Hearing

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with all its clips changed."""
        if self.settings.waveform:
            batch = replace(batch, inputs=change_waveforms(batch.inputs, batch.clip_of_frame, self.settings.waveform))
        if not self.settings.spectrogram:
            return batch
        keys = [str(seed) for seed in torch.randint(2**62, (len(batch.rows),)).tolist()]
        mel = hear(batch.inputs, batch.clip_of_frame, self.hearing)
        return replace(batch, inputs=mask(mel, batch.clip_of_frame, keys, self.settings.spectrogram))


class Clips:
    """The clips of a batch of windows as rows, and their way back."""

    def __init__(self, clip_of_frame: Int64[Tensor, "batch frames"]) -> None:
        device, flat = clip_of_frame.device, clip_of_frame.flatten().cpu()
        spoken = (flat >= 0).nonzero()[:, 0]
        frames = flat[spoken].bincount()
        frames = frames[frames > 0]  # an empty clip has no frame
        first = spoken[frames.cumsum(0) - frames] * FRAME
        self.lengths = (frames * FRAME).to(device)
        self.time = torch.arange(int(frames.max()) * FRAME if len(frames) else 0, device=device)
        self.inside: Bool[Tensor, "clips longest"] = self.time < self.lengths[:, None]
        self._places = (first.to(device)[:, None] + self.time)[self.inside]

    def take(self, waveform: Int16[Tensor, "batch samples"]) -> Float32[Tensor, "clips longest"]:
        """Return each clip's samples in −1 … 1, and silence after its end."""
        rows = torch.zeros(self.inside.shape, device=waveform.device)
        rows[self.inside] = waveform.flatten()[self._places].float() / _FULL
        return rows

    def put(
        self, rows: Float32[Tensor, "clips longest"], waveform: Int16[Tensor, "batch samples"]
    ) -> Int16[Tensor, "batch samples"]:
        """Return the waveform with these clips in the place of its own, turned down where they would clip.

        A clip of which a change made samples that are not finite stays as it was.
        """
        changed = waveform.clone().flatten()
        own = self.take(waveform)
        rows = torch.where(rows.isfinite().all(dim=1, keepdim=True), rows, own) * self.inside
        before = own.abs().amax(dim=1).clamp(min=LOUDEST / _FULL)
        turned = (before / rows.abs().amax(dim=1).clamp(min=1e-9)).clamp(max=1.0)
        whole = (rows * turned[:, None] * _FULL).round().clamp(-_FULL, _FULL - 1).to(torch.int16)
        changed[self._places] = whole[self.inside]
        return changed.view(waveform.shape)


def change_waveforms(
    waveform: Int16[Tensor, "batch samples"],
    clip_of_frame: Int64[Tensor, "batch frames"],
    settings: Mapping[str, Change],
) -> Int16[Tensor, "batch samples"]:
    """Return windows whose clips are changed, each by itself, as torch's generators draw.

    A clip keeps its place and length: what a crop or faster speech leaves free is filled with its beginning.
    """
    clips = Clips(clip_of_frame)
    if not len(clips.lengths):
        return waveform
    rows = clips.take(waveform)
    for each in settings.values():
        rows = _changed(rows, clips, each) * clips.inside
    return clips.put(rows, waveform)


def library() -> Any:
    """Return torch-audiomentations; raises `UsageError` where it is not installed."""
    try:
        import torch_audiomentations
    except (ImportError, OSError) as error:  # OSError: a torchaudio that was built for another torch
        raise UsageError(
            f"augment.drawn: `batch` needs torch-audiomentations: pip install 'valenza[gpu]' ({error})"
        ) from None
    return torch_audiomentations


Rows = Float32[Tensor, "clips longest"]


def _changed(rows: Rows, clips: Clips, change: Change) -> Rows:
    """Return the rows after one change, drawn for each."""
    match change:
        case changes.Polarity():
            return _by_library("PolarityInversion", rows, change.p)[0]
        case changes.Gain():
            return _by_library("Gain", rows, change.p, min_gain_in_db=-change.db, max_gain_in_db=change.db)[0]
        case changes.Reversal():
            turned, happened = _by_library("TimeInversion", rows, change.p)
            padding = (len(clips.time) - clips.lengths) * happened  # it is at the front now
            return turned.gather(1, (clips.time + padding[:, None]).clamp(max=len(clips.time) - 1))
        case changes.Noise():
            low, high = change.snr_db
            options = {"min_snr_in_db": low, "max_snr_in_db": high, "min_f_decay": 0.0, "max_f_decay": 0.0}
            noisy = _by_library("AddColoredNoise", rows, change.p, **options)[0]
            # The library measures the clip with its padding, which is silent.
            return rows + (noisy - rows) * (len(clips.time) / clips.lengths).sqrt()[:, None]
        case changes.Equaliser():
            return _filtered(rows, change, _RINGS)
        case changes.Echo():
            return _filtered(rows, change, len(clips.time))
        case changes.Speed():
            return _sped(rows, clips, change)
        case _:
            return _moved(rows, clips, change)


def _by_library(name: str, rows: Rows, p: float, **options: float) -> tuple[Rows, Bool[Tensor, " clips"]]:
    """Return the rows after a transform of the library, and in which of them it happened."""
    transform = getattr(library(), name)(p=p, mode="per_example", output_type="dict", **options)
    changed = transform(rows[:, None], sample_rate=SAMPLE_RATE).samples[:, 0]
    return changed, transform.transform_parameters["should_apply"]


def _filtered(rows: Rows, change: Change, taps: int) -> Rows:
    """Convolve rows with what audiomentations makes of an impulse, so that both libraries have one equaliser."""
    from valenza.features.waveform import seeded, transform

    happened = (torch.rand(len(rows)) < change.p).nonzero()[:, 0]
    if not len(happened):
        return rows
    responses = []
    for seed in torch.randint(2**32, (len(happened),)).tolist():
        impulse = np.zeros(taps + 1, dtype=np.float32)
        impulse[1] = 1.0  # a filter takes the first sample for what came before it
        with seeded(seed):
            responses.append(transform(change)(impulse, SAMPLE_RATE)[1:])
    response = torch.from_numpy(np.stack(responses)).to(rows.device)
    changed = rows.clone()
    chosen = happened.to(rows.device)
    changed[chosen] = library().convolve(rows[chosen], response)[:, : rows.shape[1]]
    return changed


def _sped(rows: Rows, clips: Clips, change: changes.Speed) -> Rows:
    """Resample rows by their spectra; slower speech keeps its middle, faster speech begins again."""
    changed = rows.clone()
    slowest, fastest = change.ratio
    for row in (torch.rand(len(rows)) < change.p).nonzero()[:, 0].tolist():
        length = int(clips.lengths[row])
        target = 1 / fastest + float(torch.rand(())) * (1 / slowest - 1 / fastest)
        size = max(1, round(length * target))
        heard = torch.fft.irfft(torch.fft.rfft(rows[row, :length]), n=size) * (size / length)
        start = max(size - length, 0) // 2
        changed[row, :length] = heard[(start + clips.time[:length]) % size]
    return changed


def _moved(rows: Rows, clips: Clips, change: Change) -> Rows:
    """Return rows whose samples come from another time of the same clip."""
    draw: Callable[[], Tensor] = partial(torch.rand, (len(rows), 1), device=rows.device)
    happened, length = draw() < change.p, clips.lengths[:, None]
    match change:
        case changes.Crop():
            kept = ((change.keep + (1 - change.keep) * draw()) * length).round().clamp(min=1)
            source = (draw() * (length - kept)).round() + clips.time % kept
        case changes.Roll() | changes.Shift():
            source = clips.time - ((2 * draw() - 1) * change.share * length).round()
        case _:
            raise ValueError(f"{change!r} is not done to waveforms")
    source = source.long()
    heard = rows.gather(1, source % length)
    if isinstance(change, changes.Shift):
        heard = heard * ((source >= 0) & (source < length))
    return torch.where(happened, heard, rows)
