"""Stage `utterance`: every clip has one soft label, and windows of clips teach it to every frame."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from valenza.features.augment import Augmentation
from valenza.features.batch import Batch, WindowDataset, load
from valenza.features.on_device import training_windows
from valenza.features.quarantine import QUARANTINED
from valenza.mixture.domains import domains
from valenza.mixture.plan import plan_windows
from valenza.mixture.stream import Peers, Position, Window, share
from valenza.model.heads import clip_means
from valenza.model.network import build_network
from valenza.objectives.adversarial import DomainAdversary
from valenza.objectives.task import UtteranceTask
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.course import CALIBRATION, Course
from valenza.stages.frozen import HeardDataset, Listener, hear_once, may_hear_once
from valenza.stages.prepare import Prepared, prepare, training_stream, write_prior
from valenza.training.peers import add_up
from valenza.training.runtime import Machine


def train(recipe: Recipe, run: Path, machine: Machine, *, resume_from: Path | None) -> Path:
    """Train the network of a recipe; returns its last checkpoint."""
    course, prepared = begin(recipe, run, machine)
    network = build_network(recipe)
    task = UtteranceTask(network, recipe.objective, adversary=adversary(recipe, prepared, network.head.width))
    return teach(course, prepared, task, validate, resume_from=resume_from, scales=True)


def begin(recipe: Recipe, run: Path, machine: Machine) -> tuple[Course, Prepared]:
    """Read the corpora of a recipe and begin its run."""
    prepared = prepare(recipe)
    course = Course.begin(recipe, run, machine, prepared.digest)
    if machine.accelerator.is_main_process:
        write_prior(recipe, prepared, run)
    return course, prepared


def adversary(recipe: Recipe, prepared: Prepared, width: int) -> DomainAdversary | None:
    """Return the domain adversary that a recipe asks for."""
    settings = recipe.objective.domain
    if settings.mode == "none":
        return None
    found = domains(prepared.index, prepared.parts["train"], settings.of)
    return DomainAdversary(settings, torch.from_numpy(found.of_row), width)


def teach(
    course: Course,
    prepared: Prepared,
    task: UtteranceTask,
    scored: "Validate",
    *,
    resume_from: Path | None,
    scales: bool,
) -> Path:
    """Train a task to the last step; `scales` says to measure the layers' scales before the first."""
    recipe, accelerator = course.recipe, course.accelerator
    task.to(accelerator.device)
    data = _datasets(recipe, prepared, task, accelerator)
    peers = Peers(accelerator.process_index, accelerator.num_processes, partial(add_up, accelerator))
    stream = training_stream(recipe, prepared, peers)
    if resume_from is None and scales:
        course.record.tell(f"measuring the layers on {CALIBRATION} windows")
        windows, _ = stream.take(Position(), CALIBRATION)
        passes = share(windows, rank=0, ranks=1, per_pass=recipe.training.windows_per_pass)
        # Every process measures the same windows, so that all begin with the same weights.
        task.network.calibrate(b.to(accelerator.device) for b in load(data.plain, passes, workers=0))
    heard = Validation(course, prepared, data.plain, task)
    return course.train(
        task,
        stream=stream,
        dataset=data.training,
        validate=lambda: scored(heard) | heard.met() if len(prepared.parts["validation"]) else {},
        resume_from=resume_from,
        clips=prepared,
    )


@dataclass(frozen=True)
class _Datasets:
    """The same clips, served for three purposes."""

    training: Dataset[Batch]
    plain: Dataset[Batch]
    """Without augmentation, for validation and for the scales of the layers."""


def _datasets(recipe: Recipe, prepared: Prepared, task: UtteranceTask, accelerator: Accelerator) -> _Datasets:
    reader = Reader(recipe.data.shards, prepared.index)
    ids = prepared.index["id"].to_pylist()
    targets, known, encoder = prepared.targets, prepared.known, task.network.encoder
    augment = Augmentation(recipe.augment, ids, recipe.seed) if recipe.augment.changes else None
    on_device = accelerator.device.type == "cuda"
    if may_hear_once(recipe, encoder, len(ids)) and not recipe.augment.fresh:
        heard, damaged = hear_once(Listener(encoder, recipe.augment), reader, ids, prepared.corpora, accelerator)
        served = partial(HeardDataset, heard, targets, known, damaged=damaged, ids=ids)
        return _Datasets(served(augment), served(None))
    training = training_windows(reader, encoder.hearing, targets, known, augment, on_device=on_device, ids=ids)
    return _Datasets(training, WindowDataset(reader, encoder.hearing, targets, known, on_device=on_device, ids=ids))


@dataclass
class Validation:
    """The held-back speakers of the training corpora, in packed windows as in training."""

    course: Course
    prepared: Prepared
    dataset: Dataset[Batch]
    task: UtteranceTask
    damaged: dict[int, str] = field(default_factory=dict)
    """Clips that this process could not hear; they are not among those that `counts` tells to be real."""

    def heard(self) -> Iterator[tuple[Float[Tensor, "clips classes"], Batch]]:
        """Yield the logits of this process's clips and the batch they come from, of which `counts` tells the real."""
        rows, recipe, accelerator = self.prepared.parts["validation"], self.course.recipe, self.course.accelerator
        planned = plan_windows(
            self.prepared.durations[rows],
            window_seconds=recipe.data.window_seconds,
            seed=recipe.seed,
            epoch=0,
        )
        windows = [Window(tuple(rows[w].tolist()), 0, i) for i, w in enumerate(planned)]
        passes = share(
            windows,
            rank=accelerator.process_index,
            ranks=accelerator.num_processes,
            per_pass=recipe.training.windows_per_pass,
        )
        self.task.eval()
        network = self.task.network
        for batch in self.course.batches(self.dataset, passes):
            self.damaged |= dict(batch.quarantined)
            moved = batch.to(accelerator.device)
            with torch.no_grad(), accelerator.autocast():
                frames = network.read(moved.inputs, moved.clip_of_frame).float()
                logits = network.head(clip_means(frames, moved.clip_of_frame, len(moved.rows))).float()
            yield logits, moved

    def met(self) -> dict[str, Any]:
        """Return what could not be heard, where there is any, as the loop takes it out of scores."""
        return {QUARANTINED: self.damaged} if self.damaged else {}

    def sums(self, values: list[float]) -> list[float]:
        """Return the sums of these numbers over all processes."""
        return add_up(self.course.accelerator, values)


Validate = Callable[[Validation], dict[str, Any]]
"""Scores what a validation has heard."""


def validate(validation: Validation) -> dict[str, Any]:
    """Return loss, micro-F1 and UA over all validation clips, on the classes that each corpus knows."""
    classes = validation.prepared.targets.shape[1]
    loss, clips = 0.0, 0
    hits, of = np.zeros(classes), np.zeros(classes)
    for raw, batch in validation.heard():
        logits = raw.masked_fill(~batch.known, -torch.inf)
        counted = batch.counts.cpu().numpy()
        truth = batch.targets.argmax(dim=1).cpu().numpy()[counted]
        right = (logits.argmax(dim=1) == batch.targets.argmax(dim=1)).cpu().numpy()[counted]
        log_p = logits.log_softmax(dim=1).masked_fill(~batch.known, 0.0)
        loss -= float((batch.targets * log_p).sum(dim=1)[batch.counts].sum())
        clips += int(counted.sum())
        hits += np.bincount(truth, weights=right, minlength=classes)
        of += np.bincount(truth, minlength=classes)
    loss, total, *both = validation.sums([loss, float(clips), *hits.tolist(), *of.tolist()])
    hits, of = np.array(both[:classes]), np.array(both[classes:])
    recall = hits[of > 0] / of[of > 0]
    return {
        "loss": loss / max(total, 1.0),
        "micro_f1": float(hits.sum() / max(total, 1.0)),
        "ua": float(recall.mean()) if len(recall) else 0.0,
        "clips": int(total),
    }
