"""Clips that cannot be heard: silent, listed once, counted for nothing, and only so many."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from valenza.errors import DataError, NonFiniteError, ShardError, WriteError
from valenza.features import augment as augmentation
from valenza.features.augment import Augmentation
from valenza.features.batch import SILENCE, Batch, Hearing, WindowDataset, load
from valenza.features.quarantine import Bad, Quarantine
from valenza.mixture.stream import Window
from valenza.model.encoders import load_encoder
from valenza.model.heads import FrameHead
from valenza.model.layers import LayerMixture
from valenza.model.network import Network
from valenza.objectives.adversarial import DomainAdversary
from valenza.objectives.task import UtteranceTask
from valenza.recipe import Augment, Domain, Encoder, Objective
from valenza.shards.read import Reader
from valenza.shards.stored import read_index

Stored = tuple[Reader, pa.Table]
BAD = 3
PASS = [Window((0, BAD, 2), 0, 0), Window((1, 4), 0, 1)]
LAST = [Window((0, 2, BAD), 0, 0), Window((1, 4), 0, 1)]
"""With the damaged clip where silence follows in any case."""
WAVE = Hearing("waveform", window_samples=5 * 16_000)


def spoil(shards: Path, row: int) -> pa.Table:
    """Flip one bit of a clip's audio where it is stored; returns the index."""
    index = read_index(shards, ["toy"])
    clip = index.slice(row, 1).to_pylist()[0]
    path = shards / "toy" / clip["shard"]
    data = bytearray(path.read_bytes())
    data[clip["offset"] + clip["size"] // 2] ^= 4
    path.write_bytes(data)
    return index


@pytest.fixture
def spoiled(shards: Path, tmp_path: Path) -> Stored:
    """The same shards, with one bit of one clip flipped."""
    shutil.copytree(shards / "toy", tmp_path / "shards" / "toy")
    index = spoil(tmp_path / "shards", BAD)
    return Reader(tmp_path / "shards", index), index


def dataset(stored: Stored, hearing: Hearing = WAVE, **more: Any) -> WindowDataset:
    reader, index = stored
    targets = np.eye(8)[[i % 2 for i in range(len(index))]]
    return WindowDataset(reader, hearing, targets, np.ones_like(targets, dtype=bool), **more)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_clip_is_silent_and_the_others_stay_where_they_are(
    stored: Stored, spoiled: Stored, workers: int
) -> None:
    (whole,) = load(dataset(stored, on_device=True), iter([PASS]), workers=0)
    (found,) = load(dataset(spoiled, on_device=True), iter([PASS]), workers=workers)
    gone = whole.clip_of_frame == 1
    assert gone.any()
    samples = gone.repeat_interleave(320, dim=1)
    torch.testing.assert_close(found.inputs, torch.where(samples, 0, whole.inputs))
    torch.testing.assert_close(found.clip_of_frame, torch.where(gone, SILENCE, whole.clip_of_frame))
    assert found.rows.tolist() == [0, BAD, 2, 1, 4]
    assert found.counts.tolist() == [True, False, True, True, True]
    ((row, reason),) = found.quarantined
    assert row == BAD
    assert spoiled[1]["id"][BAD].as_py() in reason
    assert "toy-000000.tar" in reason
    assert found.to(torch.device("cpu")).quarantined == found.quarantined
    assert whole.quarantined == ()


def test_a_shard_that_is_gone_is_no_damaged_clip(spoiled: Stored, tmp_path: Path) -> None:
    reader, index = spoiled
    (tmp_path / "shards" / "toy" / index["shard"][0].as_py()).unlink()
    with pytest.raises(ShardError, match=r"cannot be read"):
        list(load(dataset((reader, index)), iter([PASS]), workers=1))


def task(kind: str, level: str, domain: bool) -> UtteranceTask:
    torch.manual_seed(3)
    attention = {"attention": "clip"} if kind == "whisper" else {}
    new = {"family": kind, "width": 16, "layers": 1, "attention_heads": 2, "mels": 16}
    encoder = load_encoder(Encoder.model_validate({"new": new, **attention}))
    head = FrameHead(16, 8, 0.0, projection=6, hidden="tanh", per_clip=level == "clip")
    network = Network(encoder, LayerMixture(encoder.depth, 16), head)
    settings = Domain.model_validate({"mode": "reversal", "weight": 0.1, "warmup": 0.5})
    adversary = DomainAdversary(settings, torch.arange(6) % 2, 6) if domain else None
    return UtteranceTask(network, Objective.model_validate({"level": level}), adversary=adversary).eval()


@pytest.mark.parametrize("level", ["frame", "clip"])
@pytest.mark.parametrize("domain", [False, True])
def test_it_takes_no_part_in_any_loss_or_count(stored: Stored, spoiled: Stored, level: str, domain: bool) -> None:
    """The losses are those of the windows without it, to the last frame."""
    wanted = task("whisper", level, domain)
    hearing = wanted.network.encoder.hearing
    found = dataset(spoiled, hearing)[LAST]
    without = dataset(stored, hearing)[[Window((0, 2), 0, 0), PASS[1]]]
    assert wanted.count(found) == wanted.count(without) > 0
    told, other = wanted(found), wanted(without)
    assert told.named.keys() == other.named.keys()
    for name, value in told.named.items():
        torch.testing.assert_close(value, other.named[name], msg=name)
    torch.testing.assert_close(told.total, other.total)
    told.total.backward()
    gradients = [p.grad for p in wanted.parameters() if p.grad is not None]
    other.total.backward()
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2"])
@pytest.mark.parametrize("level", ["frame", "clip"])
def test_a_pass_of_nothing_but_damage_costs_nothing(spoiled: Stored, kind: str, level: str) -> None:
    wanted = task(kind, level, domain=True)
    found = dataset(spoiled, wanted.network.encoder.hearing)[[Window((BAD,), 0, 0)]]
    assert wanted.count(found) == 0
    losses = wanted(found)
    losses.total.backward()
    assert float(losses.total.detach()) == 0
    assert all(float(value) == 0 for value in losses.named.values())
    assert all(p.grad is None or not p.grad.any() for p in wanted.parameters())


@pytest.mark.parametrize("level", ["frame", "clip"])
def test_the_layers_are_measured_without_it(stored: Stored, spoiled: Stored, level: str) -> None:
    wanted = task("whisper", level, domain=False).network
    scales = []
    for source, windows in ((spoiled, LAST), (stored, [Window((0, 2), 0, 0), PASS[1]])):
        wanted.calibrate([dataset(source, wanted.encoder.hearing)[windows]])
        scales.append((wanted.layer_reader.mean.clone(), wanted.layer_reader.scale.clone()))
    for one, other in zip(*scales, strict=True):
        torch.testing.assert_close(one, other)


class _Broken:
    """A change whose filter has run away."""

    parameters: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, samples: np.ndarray, rate: int) -> np.ndarray:
        changed = samples.copy()
        changed[len(changed) // 2] = self.value
        return changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_change_that_is_not_finite_is_never_rounded_to_a_number(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    import valenza.features.waveform as waveform

    monkeypatch.setattr(waveform, "transform", lambda change: _Broken(value))
    augment = Augmentation(Augment.model_validate({"gain": 1}), stored[1]["id"].to_pylist(), 7)
    with pytest.raises(DataError, match=r"toy_3.*gain.*not finite"):
        augmentation.change(stored[0].audio(BAD), "toy_3", augment.settings.waveform)
    changed = {row for row in range(5) if augment.key(row, 0) is not None}
    batch = dataset(stored, augment=augment, on_device=True)[PASS]
    assert {row for row, _ in batch.quarantined} == changed > set()
    assert batch.counts.tolist() == [row not in changed for row in batch.rows.tolist()]


# ---- the list of them


def table(count: int) -> pa.Table:
    return pa.table(
        {
            "id": [f"c{i}" for i in range(count)],
            "corpus": ["one"] * count,
            "shard": [f"one-{i // 4:06d}.tar" for i in range(count)],
        }
    )


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Quarantine]:
    return lambda share=0.2, writes=True: Quarantine(tmp_path, table(20), clips=20, share=share, writes=writes)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]


def test_a_clip_is_listed_once(begin: Callable[..., Quarantine], tmp_path: Path) -> None:
    held = begin()
    assert held.take([], step=1, epoch=0) == []
    assert not (tmp_path / "quarantine.jsonl").exists()
    (new,) = held.take([(5, "cut"), (5, "cut")], step=2, epoch=0)
    assert new == Bad("c5", "one", "one-000001.tar", "cut", 2, 0)
    assert held.take([(5, "cut again")], step=9, epoch=1) == []
    assert [bad.id for bad in held.take([(7, "flipped"), (1, "flipped")], step=9, epoch=1)] == ["c1", "c7"]
    assert [line["id"] for line in lines(tmp_path)] == ["c5", "c1", "c7"]
    assert lines(tmp_path)[0] == {
        "id": "c5", "corpus": "one", "shard": "one-000001.tar", "reason": "cut", "step": 2, "epoch": 0,
    }  # fmt: skip


@pytest.mark.parametrize(("share", "allowed"), [(0.0, 0), (0.001, 0), (0.05, 1), (0.1, 2), (0.29, 5), (0.3, 6)])
def test_no_more_than_the_share_of_the_clips(begin: Callable[..., Quarantine], share: float, allowed: int) -> None:
    held = begin(share)
    assert held.allowed == allowed
    for row in range(allowed):
        held.take([(row, "flipped")], step=row, epoch=0)
    with pytest.raises(
        DataError, match=r"c0 in one-000000\.tar: flipped.*quarantine\.jsonl.*shards verify one"
    ) as told:
        held.take([(row, "flipped") for row in range(10)], step=20, epoch=0)
    assert told.value.code == 65
    assert "and 5 more" in str(told.value)
    assert f"allows {allowed}:" in str(told.value)


def test_a_resumed_run_meets_the_rest_again(begin: Callable[..., Quarantine], tmp_path: Path) -> None:
    first = begin()
    first.take([(1, "a")], step=3, epoch=0)
    first.take([(2, "b"), (3, "c")], step=7, epoch=1)
    whole = (tmp_path / "quarantine.jsonl").read_text()
    with (tmp_path / "quarantine.jsonl").open("a") as file:
        file.write('{"id": "c9", "corp')  # killed while it wrote
    again = begin()
    again.go_on(again.read(5))
    assert [bad.id for bad in again.bad] == ["c1"]
    other = begin(writes=False)
    assert other.read(5) == [], "told by the process that writes"
    other.go_on(again.bad)
    for held in (again, other):
        held.take([(2, "b"), (3, "c"), (1, "a")], step=7, epoch=1)
    assert again.bad == other.bad
    assert (tmp_path / "quarantine.jsonl").read_text() == whole


def test_a_file_that_cannot_be_written_is_named(begin: Callable[..., Quarantine], tmp_path: Path) -> None:
    (tmp_path / "quarantine.jsonl").mkdir()
    with pytest.raises(WriteError, match=r"quarantine\.jsonl"):
        begin().take([(1, "a")], step=1, epoch=0)


def test_an_error_of_a_dataset_comes_out_of_a_worker_as_it_is() -> None:
    class Failing(torch.utils.data.Dataset[Batch]):
        def __getitem__(self, windows: list[Window]) -> Batch:
            raise NonFiniteError("said once")

    with pytest.raises(NonFiniteError) as told:
        list(load(Failing(), iter([PASS]), workers=1))
    assert str(told.value) == "said once"
