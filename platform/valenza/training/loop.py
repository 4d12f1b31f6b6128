"""The one training loop: it knows windows, named losses and steps, and nothing of what a stage wants."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from torch.utils.data import Dataset

from valenza.errors import PreemptedError, UsageError
from valenza.features.batch import Batch, load
from valenza.features.quarantine import QUARANTINED, Quarantine
from valenza.mixture.stream import Window, WindowStream
from valenza.recipe import Training
from valenza.training import snapshot
from valenza.training.engines.engine import Engine, build
from valenza.training.growth import windows_at
from valenza.training.pace import Pace
from valenza.training.peers import add_up, first_of, gather
from valenza.training.report import Record
from valenza.training.runtime import Machine
from valenza.training.snapshot import Place, Restored
from valenza.training.step import Stepper


class Task(Protocol):
    """A module that returns the summed losses of a pass, and says how much they were summed over."""

    network: nn.Module
    progress: float
    """Share of the steps that are done, set before each."""

    def count(self, batch: Batch) -> int:
        """Return what the losses of a pass are divided by, once added up over the step."""
        ...

    def __call__(self, batch: Batch) -> Any:
        """Return `Losses`."""
        ...


@dataclass
class Loop:
    """Trains one task to its last step, from wherever it was left."""

    machine: Machine
    task: nn.Module
    stream: WindowStream
    dataset: Dataset[Batch]
    settings: Training
    seed: int
    run: Path
    record: Record
    fingerprint: dict[str, str]
    validate: Callable[[], dict[str, Any]]
    quarantine: Quarantine

    def train(self, resume_from: Path | None) -> Path:
        """Run the remaining steps and return the last checkpoint.

        Every step is a function of the weights, the optimizer and (seed, step, windows), so a run that was killed
        and resumed is the run that was left alone. Raises `PreemptedError` when any process was asked to end, after a
        checkpoint of the step that was reached, and `NonFiniteError` before weights become non-finite.
        """
        accelerator = self.machine.accelerator
        engine, place = self._begin(resume_from)
        stepper = Stepper(self.machine, engine, self.task, self.settings, self.seed)
        pace, saved = Pace(accelerator), resume_from
        batches = load(
            self.dataset,
            self._passes(place),
            workers=self.machine.workers,
            pin=accelerator.device.type == "cuda",
        )
        with self.machine.watch.answered():
            while True:
                place, saved = self._look_around(engine, place, saved)
                if place.step == self.settings.steps:
                    break
                began = time.perf_counter()
                held = self._fetch(batches, place.step)
                waited = time.perf_counter() - began
                total = self._counted(stepper, engine, held, place, saved)
                values = stepper(held, place.step, total)
                if engine.average is not None:
                    engine.average.update(place.step)
                position = self.stream.after(place.position, windows_at(place.step, self.settings))
                place = Place(place.step + 1, position, validated=False)
                pace.add(waited + values.pop("ready"), waited)
                self._note(place, values | {"seconds": time.perf_counter() - began, "waited": waited}, pace)
        if saved is None:
            raise UsageError(f"{self.run}: there is nothing to train")
        return saved

    def _begin(self, resume_from: Path | None) -> tuple[Engine, Place]:
        """Put the weights where they were, and then into the hands of the engine."""
        accelerator = self.machine.accelerator
        restored = Restored()
        if resume_from is not None:
            restored = snapshot.restore(resume_from, self.task, self.fingerprint)
            self.record.tell(f"resuming after step {restored.place.step} from {resume_from}")
        engine = build(self.machine.choice, accelerator, self.task, self.settings)
        if restored.moments is not None:
            engine.restore(restored.moments, restored.weights)
        place = restored.place
        self.record.rewind(place.step)
        self.quarantine.go_on(first_of(accelerator, self.quarantine.read(place.step)))
        return engine, place

    def _fetch(self, batches: Iterator[Batch], step: int) -> list[Batch]:
        """Return this process's passes of a step."""
        watch = self.machine.watch
        each = ceil(windows_at(step, self.settings) / self.machine.accelerator.num_processes)
        held = []
        for _ in range(ceil(each / self.settings.windows_per_pass)):
            watch.beat(step, "data")
            held.append(next(batches))
        return held

    def _counted(self, stepper: Stepper, engine: Engine, held: list[Batch], place: Place, saved: Path | None) -> float:
        """Return what the step's losses are divided by; ends the run if any process was asked to."""
        accelerator = self.machine.accelerator
        bad = [each for batch in held for each in batch.quarantined]
        told = [stepper.count(held), float(self.machine.watch.asked), float(len(bad))]
        total, asked, damaged = add_up(accelerator, told)
        if asked:
            self._save(engine, place, saved)
            raise PreemptedError(
                f"{self.run}: asked to end after step {place.step}; the same command goes on from there"
            )
        if damaged:
            self._set_aside(bad, place, place.step + 1)
        return total

    def _look_around(self, engine: Engine, place: Place, saved: Path | None) -> tuple[Place, Path | None]:
        """Do the validation and write the checkpoint that are due after a step."""
        done = place.step == self.settings.steps
        if place.step and not place.validated and (done or place.step % self.settings.validate_every == 0):
            self.machine.watch.beat(place.step, "validation")
            try:
                with engine.shown():
                    scores = self.validate()
            except PreemptedError:
                self._save(engine, place, saved)
                raise
            bad = scores.pop(QUARANTINED, {})
            if add_up(self.machine.accelerator, [float(len(bad))])[0]:
                self._set_aside(list(bad.items()), place, place.step)
            if scores:
                self.record.add(place.step, {"validation": scores})
                self.record.tell(f"step {place.step}  validation {_spoken(scores)}")
        place = replace(place, validated=True)
        if place.step and (done or place.step % self.settings.checkpoint_every == 0):
            saved = self._save(engine, place, saved)
        return place, saved

    def _save(self, engine: Engine, place: Place, saved: Path | None) -> Path | None:
        """Write a checkpoint unless this very step has one; nothing before the first step."""
        folder = self.run / "checkpoints"
        if place.step == 0 or saved == folder / f"step-{place.step:08d}":
            return saved
        self.machine.watch.beat(place.step, "checkpoint")
        keep = self.settings.keep_checkpoints
        written = snapshot.save(folder, engine, place, self.fingerprint, self.machine.accelerator, keep)
        self.machine.watch.beat(place.step, "checkpoint")
        return written

    def _set_aside(self, bad: list[tuple[int, str]], place: Place, step: int) -> None:
        """Note the clips that no process could hear; raises `DataError` where there are too many of them."""
        met = [each for of_one in gather(self.machine.accelerator, bad) for each in of_one]
        for each in self.quarantine.take(met, step=step, epoch=place.position.epoch):
            self.record.tell(f"left out: {each.id} in {each.shard}: {each.reason}")

    def _passes(self, place: Place) -> Iterator[list[Window]]:
        """Yield the passes of this process from a place on."""
        position = place.position
        rank, ranks = self.machine.accelerator.process_index, self.machine.accelerator.num_processes
        for number in range(place.step, self.settings.steps):
            windows = windows_at(number, self.settings)
            each = self.settings.windows_per_pass
            yield from self.stream.passes(position, windows, rank=rank, ranks=ranks, per_pass=each)
            position = self.stream.after(position, windows)

    def _note(self, place: Place, values: dict[str, Any], pace: Pace) -> None:
        """Record a step, and tell of some."""
        at = {"windows": place.position.window, "epoch": place.position.epoch}
        step, steps = place.step, self.settings.steps
        self.record.add(step, values | at)
        if not (math.isfinite(values["loss"]) and math.isfinite(values["gradient_norm"])):
            self.record.tell(
                f"step {step} was not taken: loss {values['loss']}, gradient norm {values['gradient_norm']}"
            )
        if step == steps or step % max(1, steps // 20) == 0:
            self.record.tell(f"step {step}/{steps}  loss {values['loss']:.4f}  {values['seconds']:.2f} s")
        for line in pace.told(step):
            self.record.tell(line)


def _spoken(scores: dict[str, Any]) -> str:
    return "  ".join(f"{k} {v:.3f}" for k, v in scores.items() if isinstance(v, float))
