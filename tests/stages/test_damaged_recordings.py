"""Damaged clips where recordings are learned frame by frame, and where a frozen encoder hears clips once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from valenza.errors import ClipError, DataError, ShardError
from valenza.features.batch import SILENCE, Batch
from valenza.mixture.stream import Window
from valenza.model.encoders import load_encoder
from valenza.model.layers import LayerMixture
from valenza.model.student import Student, StudentHead
from valenza.objectives.sequences import StudentTask
from valenza.recipe import Augment, Encoder, Heads, Objective
from valenza.shards.read import Reader
from valenza.stages.frozen import HeardDataset, Listener, hear_once
from valenza.stages.lessons import LessonDataset, Lessons, Recordings, hear_moments, mass

SAMPLES = np.array([9_000, 16_000, 12_345, 400, 11_000])
BAD = 2
ROWS = [0, BAD, 3, 1]


@pytest.fixture(autouse=True)
def here(by_itself: Callable[[Path], AbstractContextManager[None]], tmp_path: Path) -> Iterator[None]:
    with by_itself(tmp_path / "cache"):
        yield


def sound(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(-3000, 3000, SAMPLES[number]).astype(np.int16)


class Clips(Reader):
    """What a reader of shards does, of which some clips are damaged."""

    def __init__(self, *bad: int, error: type[Exception] = ClipError) -> None:  # of no shards
        self.bad, self.error = bad, error

    def audio(self, row: int) -> np.ndarray:
        if row in self.bad:
            raise self.error(f"clip-{row}: is not as it was written")
        return sound(row)

    def frames(self, row: int) -> np.ndarray:
        if row in self.bad:
            raise self.error(f"clip-{row}: has other frame labels than were written")
        return np.full((-(-int(SAMPLES[row]) // 320), 8), 0.125, np.float32)

    def checksum(self, row: int) -> int:
        return row


def student(kind: str, *, frozen: bool) -> StudentTask:
    torch.manual_seed(3)
    new = {"family": kind, "width": 16, "layers": 1, "attention_heads": 2, "mels": 16}
    encoder = load_encoder(Encoder.model_validate({"new": new, "freeze": ["all"] if frozen else []}))
    reader = LayerMixture(encoder.depth, 32)
    heads = Heads.model_validate({"emotion": "dirichlet", "projection": 8, "hidden": "gelu"})
    network = Student(encoder, reader, StudentHead(reader.width, 8, heads), heads.context)
    return StudentTask(network, Objective.model_validate({"dirichlet": 0.1, "label_smoothing": 0.05})).eval()


def lessons(task: StudentTask, clips: Clips, labels: Clips) -> LessonDataset:
    recordings = Recordings(SAMPLES, clips.audio, [f"clip-{row} {row}" for row in range(len(SAMPLES))])
    wanted = Lessons(np.arange(5), lambda row: labels.frames(row)[None], np.ones((5, 8), dtype=bool))
    return LessonDataset(recordings, wanted, hear_moments(task.network, recordings, Accelerator(cpu=True)))


def served(dataset: LessonDataset, rows: list[int]) -> Batch:
    return dataset[[Window((row,), 0, i) for i, row in enumerate(rows)]]


@pytest.mark.parametrize("frozen", [False, True], ids=["heard anew", "heard once"])
@pytest.mark.parametrize("what", ["audio", "labels"])
def test_a_damaged_recording_costs_nothing_and_changes_no_other(frozen: bool, what: str) -> None:
    task = student("whisper", frozen=frozen)
    broken, whole = Clips(BAD), Clips()
    dataset = lessons(task, broken if what == "audio" else whole, broken if what == "labels" else whole)
    found, other = served(dataset, ROWS), served(dataset, [0, 3, 1])
    assert found.counts.tolist() == [True, False, True, True]
    assert (found.clip_of_frame[1] == SILENCE).all()
    assert [row for row, _ in found.quarantined] == [BAD]
    assert "clip-2" in found.quarantined[0][1]
    assert other.quarantined == ()
    assert dataset.name(BAD) == "clip-2"
    assert task.count(found) == task.count(other) > 0
    told, wanted = task(found), task(other)
    for name, value in told.named.items():
        torch.testing.assert_close(value, wanted.named[name], msg=name)
    told.total.backward()
    assert all(p.grad.isfinite().all() for p in task.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2"])
def test_a_pass_of_one_damaged_recording_has_no_slope(kind: str) -> None:
    task = student(kind, frozen=False)
    found = served(lessons(task, Clips(BAD), Clips(BAD)), [BAD])
    assert task.count(found) == 0
    loss = task(found).total
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad is None or not p.grad.any() for p in task.parameters())


def test_the_scales_are_measured_without_it() -> None:
    task = student("whisper", frozen=True)
    dataset = lessons(task, Clips(BAD), Clips())
    scales = []
    for rows in (ROWS, [0, 3, 1]):
        task.network.calibrate([served(dataset, rows)])
        scales.append(task.network.layer_reader.scale.clone())
    torch.testing.assert_close(*scales)


def test_what_was_heard_of_damaged_recordings_is_not_kept(tmp_path: Path) -> None:
    """The file is named after the whole recordings: once the shard is mended, silence would be taken for them."""
    task = student("whisper", frozen=True)
    lessons(task, Clips(BAD), Clips())
    assert not list(tmp_path.glob("cache/heard/*"))
    mended = lessons(task, Clips(), Clips())
    assert mended.heard is not None
    assert mended.heard[BAD].any()
    assert len(list(tmp_path.glob("cache/heard/*"))) == 1


def test_shares_of_the_labels_leave_out_what_is_damaged() -> None:
    reader = Clips(BAD)
    frames = -(-SAMPLES // 320)
    np.testing.assert_allclose(mass(reader, [0, BAD, 3]), np.full(8, (frames[0] + frames[3]) / 8))


def test_a_server_that_is_down_stops_the_hearing() -> None:
    with pytest.raises(ShardError, match="clip-2"):
        lessons(student("whisper", frozen=True), Clips(BAD, error=ShardError), Clips())


IDS = [f"clip-{row}" for row in range(5)]
CORPORA = {"one": [0, 1, BAD], "two": [3, 4]}


def listener(**changes: Any) -> Listener:
    torch.manual_seed(3)
    new = {"width": 16, "layers": 1, "attention_heads": 2, "mels": 16}
    encoder = load_encoder(Encoder.model_validate({"new": new, "freeze": ["all"], "attention": "clip"}))
    return Listener(encoder, Augment.model_validate(changes))


@pytest.mark.parametrize("versions", [1, 2])
def test_clips_are_heard_once_without_the_damaged_one(tmp_path: Path, versions: int) -> None:
    changes: dict[str, Any] = {"gain": 1, "versions": versions} if versions > 1 else {}
    broken = Clips(BAD)
    means, damaged = hear_once(listener(**changes), broken, IDS, CORPORA, Accelerator(cpu=True))
    assert list(damaged) == [BAD]
    assert not means[:, BAD].any()
    assert means[:, [0, 1, 3, 4]].any(axis=(2, 3)).all()
    assert len(list(tmp_path.glob("cache/heard/*"))) == versions, "of the corpus that is whole"
    targets = np.eye(8)[:5]
    dataset = HeardDataset(means, targets, targets > -1, None, damaged=damaged, ids=IDS)
    batch = dataset[[Window((0, BAD), 0, 0), Window((4,), 0, 1)]]
    assert batch.clip_of_frame.tolist() == [[0, SILENCE, 2]]
    assert batch.counts.tolist() == [True, False, True]
    assert batch.quarantined == ((BAD, "clip-2: is not as it was written"),)
    assert dataset.name(BAD) == "clip-2"


def test_probes_and_evaluations_stop_at_a_damaged_clip() -> None:
    broken = Clips(BAD)
    with pytest.raises(ClipError, match="clip-2") as told:
        listener().means(broken, IDS, [0, BAD])
    assert told.value.code == 74


def test_recordings_that_people_compared_are_no_shards(tmp_path: Path) -> None:
    """A damaged file of a folder of pairs stops the run: what people preferred cannot be had again."""
    with pytest.raises(DataError, match="clip-2"):
        lessons(student("whisper", frozen=False), Clips(), Clips(BAD, error=DataError))[[Window((BAD,), 0, 0)]]
