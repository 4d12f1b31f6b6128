"""Stage `student`: a frame-level network learns to say in one pass what a teacher said window by window."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from valenza.features.batch import SILENCE, load
from valenza.features.quarantine import QUARANTINED
from valenza.mixture.stream import Position, share
from valenza.model.student import build_student
from valenza.objectives.sequences import StudentTask, wanted
from valenza.objectives.task import weigh
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.course import CALIBRATION, Course
from valenza.stages.lessons import LessonDataset, Lessons, Recordings, hear_moments, mass, one_by_one, passes_of
from valenza.stages.prepare import Prepared, prepare, write_shares
from valenza.training.peers import add_up
from valenza.training.runtime import Machine


def train(recipe: Recipe, run: Path, machine: Machine, *, resume_from: Path | None) -> Path:
    """Train a student on frame labels; returns its last checkpoint (Fedorov & Korobchenko, §4.2, stage 2)."""
    prepared = prepare(recipe)
    course = Course.begin(recipe, run, machine, prepared.digest)
    accelerator = machine.accelerator
    task = StudentTask(build_student(recipe), recipe.objective).to(accelerator.device)
    reader = Reader(recipe.data.shards, prepared.index)
    recordings = stored(reader, prepared)
    lessons = Lessons(np.arange(len(reader)), lambda row: reader.frames(row)[None], prepared.known)
    if accelerator.is_main_process and resume_from is None:
        write_shares(run, mass(reader, prepared.parts["train"].tolist()))
    dataset = LessonDataset(recordings, lessons, hear_moments(task.network, recordings, accelerator))
    stream = one_by_one(recipe, recordings.seconds, prepared.rows_of("train"), recipe.data.train)
    if resume_from is None:
        course.record.tell(f"measuring the layers on {CALIBRATION} recordings")
        windows, _ = stream.take(Position(), CALIBRATION)
        passes = share(windows, rank=0, ranks=1, per_pass=recipe.training.windows_per_pass)
        task.network.calibrate(b.to(accelerator.device) for b in load(dataset, passes, workers=0))
    held = prepared.parts["validation"]
    return course.train(
        task,
        stream=stream,
        dataset=dataset,
        validate=lambda: validate(course, task, dataset, held.tolist()) if len(held) else {},
        resume_from=resume_from,
        clips=prepared,
    )


def stored(reader: Reader, prepared: Prepared) -> Recordings:
    """Return the clips of shards as recordings."""
    ids = prepared.index["id"].to_pylist()
    samples = prepared.index["samples"].to_numpy().astype(np.int64)
    return Recordings(samples, reader.audio, [f"{clip} {reader.checksum(row)}" for row, clip in enumerate(ids)])


@torch.no_grad()
def validate(course: Course, task: StudentTask, dataset: LessonDataset, rows: list[int]) -> dict[str, Any]:
    """Return the loss and the mean absolute error to the teacher, over the frames of these rows and their classes."""
    accelerator, settings = course.accelerator, course.recipe.training
    rank, ranks = accelerator.process_index, accelerator.num_processes
    passes = passes_of(rows, rank=rank, ranks=ranks, per_pass=settings.windows_per_pass)
    sums = np.zeros(3)
    damaged: dict[int, str] = {}
    task.eval()
    for held in course.batches(dataset, passes):
        damaged |= dict(held.quarantined)
        batch = held.to(accelerator.device)
        loss = weigh(course.recipe.objective, task(batch).named)
        own = (batch.clip_of_frame != SILENCE) & batch.counts[:, None]
        known = batch.known[:, None].expand(*own.shape, -1)[own]
        said = task.network(batch.inputs, batch.clip_of_frame)[own].masked_fill(~known, -torch.inf).softmax(dim=-1)
        errors = (said - wanted(batch).ways[:, 0][own]).abs().masked_fill(~known, 0.0).sum(dim=-1) / known.sum(dim=-1)
        sums += [float(loss), float(errors.sum()), float(own.sum())]
    total, wrong, frames = add_up(accelerator, sums.tolist())
    scores = {"loss": total / max(frames, 1.0), "mae": wrong / max(frames, 1.0), "frames": int(frames)}
    return scores | ({QUARANTINED: damaged} if damaged else {})
