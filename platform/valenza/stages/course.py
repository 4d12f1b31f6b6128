"""What every stage that trains needs beside its task: who takes part, what is read, and the loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.utils.data import Dataset

from valenza.errors import PreemptedError
from valenza.features.batch import Batch, load
from valenza.features.quarantine import Quarantine
from valenza.mixture.stream import Window, WindowStream
from valenza.recipe import Recipe
from valenza.shards.index import SCHEMA
from valenza.stages.prepare import Prepared
from valenza.training.loop import Loop
from valenza.training.peers import add_up, agree
from valenza.training.report import Record
from valenza.training.runtime import Machine, fingerprint, mark, reseed

CALIBRATION = 32
"""Training windows on which the scales of the encoder's layers are measured before the first step."""


@dataclass
class Course:
    """One training run of a recipe."""

    recipe: Recipe
    run: Path
    machine: Machine
    record: Record
    mark: dict[str, str]
    """What must be the same in a resumed run."""

    @classmethod
    def begin(cls, recipe: Recipe, run: Path, machine: Machine, digest: str) -> "Course":
        """See that all processes read the same, which `digest` tells, and seed torch for the network to be built."""
        writes, values = machine.accelerator.is_main_process, recipe.model_dump(mode="json")
        record = Record(run, writes=writes, tracker=recipe.training.tracker, recipe=values)
        agree(machine.accelerator, mark(recipe, digest, machine))
        reseed(recipe.seed)
        return cls(recipe, run, machine, record, fingerprint(recipe, digest))

    @property
    def accelerator(self) -> Accelerator:
        """The processes that train."""
        return self.machine.accelerator

    def batches(self, dataset: Dataset[Batch], passes: Iterator[list[Window]]) -> Iterator[Batch]:
        """Yield the passes of a validation; every process has as many.

        Raises `PreemptedError` on all of them, at the same pass, when any was asked to end.
        """
        watch = self.machine.watch
        for batch in watch.along(load(dataset, passes, workers=self.machine.workers), "validation"):
            if add_up(self.accelerator, [float(watch.asked)])[0]:
                raise PreemptedError(f"{self.run}: asked to end during a validation; the same command goes on with it")
            yield batch

    def train(
        self,
        task: nn.Module,
        *,
        stream: WindowStream,
        dataset: Dataset[Batch],
        validate: Callable[[], dict[str, Any]],
        resume_from: Path | None,
        clips: Prepared | None = None,
    ) -> Path:
        """Train a task to the last step of the recipe; returns the last checkpoint.

        `clips` are what the rows of batches are, where they are clips of shards, of which some may be damaged.
        """
        quarantine = Quarantine(
            self.run,
            SCHEMA.empty_table() if clips is None else clips.index,
            clips=0 if clips is None else len(clips.parts["train"]),
            share=self.recipe.data.bad_clips,
            writes=self.accelerator.is_main_process,
        )
        loop = Loop(
            machine=self.machine,
            task=task,
            stream=stream,
            dataset=dataset,
            settings=self.recipe.training,
            seed=self.recipe.seed,
            run=self.run,
            record=self.record,
            fingerprint=self.mark,
            validate=validate,
            quarantine=quarantine,
        )
        return loop.train(resume_from)
