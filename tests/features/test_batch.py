"""Windows of clips as tensors."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Wav2Vec2FeatureExtractor

from valenza.features.augment import Augmentation
from valenza.features.batch import FRAME, SILENCE, Batch, Hearing, WindowDataset, hear, join, load, whole_frames
from valenza.features.spectrogram import log_mel
from valenza.mixture.stream import Window
from valenza.recipe import Augment
from valenza.shards.read import Reader

MEL = Hearing("mel", mels=80, window_samples=3 * 16_000)
WAVE = Hearing("waveform", window_samples=3 * 16_000, normalise=True)
PASSES = [
    [Window((0, 3), 0, 0), Window((5,), 0, 1)],
    [Window((4, 1), 0, 2), Window((2,), 1, 0, real=False)],
    [Window((1,), 1, 1)],
]


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 2000), max_size=6), spare=st.integers(0, 5))
def test_joined_clips_begin_on_frames_and_are_found_again(lengths: list[int], spare: int) -> None:
    rng = np.random.default_rng(len(lengths))
    clips = [rng.integers(1, 100, n).astype(np.int16) for n in lengths]
    total = sum(map(whole_frames, lengths)) + FRAME * spare
    waveform, frames = join(clips, total)
    assert waveform.shape == (total,)
    assert frames.shape == (total // FRAME,)
    assert (frames[len(frames) - spare :] == SILENCE).all()
    for number, clip in enumerate(clips):
        heard = waveform[(frames == number).repeat_interleave(FRAME)]
        np.testing.assert_array_equal(heard[: len(clip)].numpy(), clip)
        assert (heard[len(clip) :] == 0).all()
        assert len(heard) == whole_frames(len(clip)) < len(clip) + FRAME
    assert (frames.diff() >= 0).all() or spare
    tight, _ = join(clips)
    torch.testing.assert_close(tight, waveform[: len(tight)])


def test_clips_that_do_not_fit_are_refused() -> None:
    clip = np.zeros(FRAME + 1, dtype=np.int16)
    with pytest.raises(ValueError, match="640 samples do not fit into 639"):
        join([clip], 639)


def test_waveforms_are_heard_in_minus_one_to_one() -> None:
    samples = torch.tensor([[-32768, 0, 16384, 32767] * 80], dtype=torch.int16)
    heard = hear(samples, torch.zeros(1, 1, dtype=torch.long), Hearing("waveform"))
    torch.testing.assert_close(heard[0, :4], torch.tensor([-1.0, 0.0, 0.5, 32767 / 32768]))


def test_normalised_waveforms_equal_wav2vec2s_own() -> None:
    rng = np.random.default_rng(2)
    clip = (3000 * rng.standard_normal(20 * FRAME) + 500).astype(np.int16)
    waveform, frames = join([clip], 30 * FRAME)
    heard = hear(waveform[None], frames[None], WAVE)[0]
    wanted = Wav2Vec2FeatureExtractor(do_normalize=True)(clip / 32768.0, sampling_rate=16_000, return_tensors="np")
    np.testing.assert_allclose(heard[: len(clip)], wanted["input_values"][0], atol=1e-4)
    assert (heard[len(clip) :] == 0).all(), "silence stays silent, and is not measured"
    assert hear(torch.zeros(1, 640, dtype=torch.int16), torch.full((1, 2), SILENCE), WAVE).isfinite().all()


def dataset(stored: tuple[Reader, pa.Table], hearing: Hearing, **options: object) -> WindowDataset:
    reader, index = stored
    targets = np.eye(8)[np.arange(len(index)) % 2]
    known = np.zeros((len(index), 8), dtype=bool)
    known[:, :2] = True
    return WindowDataset(reader, hearing, targets, known, **options)  # type: ignore[arg-type]


def test_a_pass_becomes_one_batch(stored: tuple[Reader, pa.Table]) -> None:
    reader, _ = stored
    batch = dataset(stored, MEL)[PASSES[1]]
    assert batch.inputs.shape == (2, 80, 300)
    assert batch.rows.tolist() == [4, 1, 2]
    assert batch.counts.tolist() == [True, True, False]
    assert batch.targets.argmax(dim=1).tolist() == [0, 1, 0]
    assert batch.known.sum(dim=1).tolist() == [2, 2, 2]
    frames = [whole_frames(len(reader.audio(row))) // FRAME for row in (4, 1, 2)]
    wanted = [0] * frames[0] + [1] * frames[1], [2] * frames[2]
    for row, numbers in enumerate(wanted):
        assert batch.clip_of_frame[row].tolist() == numbers + [SILENCE] * (150 - len(numbers))
    waveform, _ = join([reader.audio(2)], MEL.window_samples)
    torch.testing.assert_close(batch.inputs[1], log_mel(waveform[None] / 32768.0, 80)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("hearing", [MEL, WAVE, Hearing("mel", window_samples=3 * 16_000, alone=True)])
def test_features_are_the_same_wherever_they_are_made(stored: tuple[Reader, pa.Table], hearing: Hearing) -> None:
    here, there = dataset(stored, hearing)[PASSES[0]], dataset(stored, hearing, on_device=True)[PASSES[0]]
    assert there.inputs.dtype == torch.int16
    torch.testing.assert_close(hear(there.inputs, there.clip_of_frame, hearing), here.inputs, atol=1e-4, rtol=0)


def test_an_epoch_hears_its_own_version(stored: tuple[Reader, pa.Table]) -> None:
    reader, index = stored
    augment = Augmentation(Augment.model_validate({"crop": 1, "gain": 1}), index["id"].to_pylist(), 7)
    served = dataset(stored, WAVE, augment=augment, on_device=True)
    lengths = set()
    for epoch in range(5):
        wanted = augment(reader.audio(1), 1, epoch)
        batch = served[[Window((1,), epoch, 0)]]
        np.testing.assert_array_equal(batch.inputs[0, : len(wanted)].numpy(), wanted)
        assert not batch.inputs[0, len(wanted) :].any()
        assert (batch.clip_of_frame[0] == 0).sum() == whole_frames(len(wanted)) // FRAME, "labels end with the sound"
        lengths.add(len(wanted))
    assert len(lengths) == 5


def equal(one: Batch, other: Batch) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


EVERY = ("crop", "speed", "reversal", "equaliser", "echo", "noise", "polarity", "gain", "shift", "roll")
MELS = ("mel_noise", "frequency_mask", "time_mask")


@pytest.mark.parametrize("changes", [(), EVERY, (*EVERY, *MELS)])
def test_workers_give_the_same_batches_in_the_same_order(
    stored: tuple[Reader, pa.Table], changes: tuple[str, ...]
) -> None:
    chosen = Augment.model_validate(dict.fromkeys(changes, 0.5))
    augment = Augmentation(chosen, stored[1]["id"].to_pylist(), 7) if changes else None
    served = dataset(stored, MEL, augment=augment, on_device=True)
    alone = list(load(served, iter(PASSES), workers=0))
    shared = list(load(served, iter(PASSES), workers=2))
    assert len(alone) == len(shared) == len(PASSES)
    assert all(equal(a, b) for a, b in zip(alone, shared, strict=True))
    assert equal(alone[0].to(torch.device("cpu")), alone[0])
    if changes:
        plain = list(load(dataset(stored, MEL, on_device="mel_noise" not in changes), iter(PASSES), workers=0))
        assert not any(torch.equal(a.inputs, b.inputs) for a, b in zip(alone, plain, strict=True))


def test_a_batch_is_changed_as_soon_as_it_arrives(stored: tuple[Reader, pa.Table]) -> None:
    def halve(batch: Batch) -> Batch:
        return replace(batch, inputs=batch.inputs // 2)

    batch = dataset(stored, WAVE, on_device=True, arrive=halve)[PASSES[0]]
    there = batch.to(torch.device("cpu"))
    torch.testing.assert_close(there.inputs, batch.inputs // 2)
    assert equal(there, there.to(torch.device("cpu"))), "and not again"
