"""Stage `utterance`: every clip has one soft label, and windows of clips teach it to every frame."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import Dataset

from valenza.features.augment import Augmentation
from valenza.features.batch import Batch, WindowDataset, load
from valenza.labels.taxonomy import EMOTIONS
from valenza.mixture.plan import plan_windows
from valenza.mixture.stream import Position, Window, share
from valenza.model.heads import clip_means
from valenza.model.network import build_network
from valenza.objectives.task import UtteranceTask
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.frozen import HeardDataset, Listener, hear_once, may_hear_once
from valenza.stages.prepare import Prepared, prepare, training_stream, write_prior
from valenza.training.loop import Loop
from valenza.training.report import Record
from valenza.training.runtime import add_up, agree, fingerprint, reseed

CALIBRATION = 32
"""Training windows on which the scales of the encoder's layers are measured before the first step."""


def train(recipe: Recipe, run: Path, accelerator: Accelerator, *, resume_from: Path | None, workers: int) -> Path:
    """Train the network of a recipe; returns its last checkpoint."""
    record = Record(
        run, writes=accelerator.is_main_process, tracker=recipe.training.tracker, recipe=recipe.model_dump(mode="json")
    )
    prepared = prepare(recipe)
    mark = fingerprint(recipe, prepared.digest, accelerator.num_processes)
    agree(accelerator, mark)
    if accelerator.is_main_process:
        write_prior(recipe, prepared, run)
    reseed(recipe.seed)
    task = UtteranceTask(build_network(recipe), recipe.objective)
    task.to(accelerator.device)
    data = _datasets(recipe, prepared, task, accelerator)
    stream = training_stream(recipe, prepared)
    if resume_from is None:
        record.tell(f"measuring the layers on {CALIBRATION} windows")
        windows, _ = stream.take(Position(), CALIBRATION)
        passes = share(windows, rank=0, ranks=1, per_pass=recipe.training.windows_per_pass)
        # Every process measures the same windows, so that all begin with the same weights.
        task.network.calibrate(b.to(accelerator.device) for b in load(data.frames, passes, workers=0))
    validation = Validation(recipe, prepared, data.plain, task, accelerator, workers)
    loop = Loop(
        accelerator=accelerator,
        task=task,
        stream=stream,
        dataset=data.training,
        settings=recipe.training,
        seed=recipe.seed,
        run=run,
        record=record,
        fingerprint=mark,
        validate=validation.run,
        workers=workers,
    )
    return loop.train(resume_from)


@dataclass(frozen=True)
class _Datasets:
    """The same clips, served for three purposes."""

    training: Dataset[Batch]
    plain: Dataset[Batch]
    """Without augmentation, for validation."""
    frames: WindowDataset
    """Frame by frame, also where training is on what was heard once."""


def _datasets(recipe: Recipe, prepared: Prepared, task: UtteranceTask, accelerator: Accelerator) -> _Datasets:
    reader = Reader(recipe.data.shards, prepared.index)
    ids = prepared.index["id"].to_pylist()
    targets, known, encoder = prepared.scores.targets, prepared.scores.known, task.network.encoder
    augment = Augmentation(recipe.augment, ids, recipe.seed) if recipe.augment.versions > 1 else None
    on_device = accelerator.device.type == "cuda"
    frames = WindowDataset(reader, encoder.hearing, targets, known, on_device=on_device)
    if may_hear_once(recipe, encoder, len(ids)):
        heard = hear_once(Listener(encoder, recipe.augment), reader, ids, prepared.corpora, accelerator)
        return _Datasets(
            HeardDataset(heard, targets, known, augment), HeardDataset(heard, targets, known, None), frames
        )
    training = WindowDataset(reader, encoder.hearing, targets, known, augment=augment, on_device=on_device)
    return _Datasets(training, frames, frames)


@dataclass
class Validation:
    """Scores the held-back speakers of the training corpora, in packed windows as in training."""

    recipe: Recipe
    prepared: Prepared
    dataset: Dataset[Batch]
    task: UtteranceTask
    accelerator: Accelerator
    workers: int

    def run(self) -> dict[str, Any]:
        """Return loss, micro-F1 and UA over all validation clips, on the classes that each corpus knows."""
        rows = self.prepared.parts["validation"]
        if not len(rows):
            return {}
        planned = plan_windows(
            self.prepared.durations[rows],
            window_seconds=self.recipe.data.window_seconds,
            seed=self.recipe.seed,
            epoch=0,
        )
        windows = [Window(tuple(rows[w].tolist()), 0, i) for i, w in enumerate(planned)]
        passes = share(
            windows,
            rank=self.accelerator.process_index,
            ranks=self.accelerator.num_processes,
            per_pass=self.recipe.training.windows_per_pass,
        )
        self.task.eval()
        loss, clips = 0.0, 0
        hits, of = np.zeros(len(EMOTIONS)), np.zeros(len(EMOTIONS))
        with torch.no_grad():
            for batch in load(self.dataset, passes, workers=self.workers):
                moved = batch.to(self.accelerator.device)
                with self.accelerator.autocast():
                    frames = self.task.network(moved.inputs, moved.clip_of_frame).float()
                logits = clip_means(frames, moved.clip_of_frame, len(moved.rows)).masked_fill(~moved.known, -torch.inf)
                counted = moved.counts.cpu().numpy()
                truth = moved.targets.argmax(dim=1).cpu().numpy()[counted]
                right = (logits.argmax(dim=1) == moved.targets.argmax(dim=1)).cpu().numpy()[counted]
                log_p = logits.log_softmax(dim=1).masked_fill(~moved.known, 0.0)
                loss -= float((moved.targets * log_p).sum(dim=1)[moved.counts].sum())
                clips += int(counted.sum())
                hits += np.bincount(truth, weights=right, minlength=len(EMOTIONS))
                of += np.bincount(truth, minlength=len(EMOTIONS))
        loss, total, *both = add_up(self.accelerator, [loss, float(clips), *hits.tolist(), *of.tolist()])
        hits, of = np.array(both[: len(EMOTIONS)]), np.array(both[len(EMOTIONS) :])
        recall = hits[of > 0] / of[of > 0]
        return {
            "loss": loss / total,
            "micro_f1": float(hits.sum() / total),
            "ua": float(recall.mean()),
            "clips": int(total),
        }
