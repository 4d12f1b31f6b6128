"""What every stage that trains needs beside its task: who takes part, what is read, and the loop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.utils.data import Dataset

from valenza.features.batch import Batch
from valenza.mixture.stream import WindowStream
from valenza.recipe import Recipe
from valenza.training.loop import Loop
from valenza.training.report import Record
from valenza.training.runtime import agree, fingerprint, reseed

CALIBRATION = 32
"""Training windows on which the scales of the encoder's layers are measured before the first step."""


@dataclass
class Course:
    """One training run of a recipe."""

    recipe: Recipe
    run: Path
    accelerator: Accelerator
    workers: int
    record: Record
    mark: dict[str, str]
    """What must be the same on all processes, and in a resumed run."""

    @classmethod
    def begin(cls, recipe: Recipe, run: Path, accelerator: Accelerator, workers: int, digest: str) -> "Course":
        """See that all processes read the same, which `digest` tells, and seed torch for the network to be built."""
        writes, values = accelerator.is_main_process, recipe.model_dump(mode="json")
        record = Record(run, writes=writes, tracker=recipe.training.tracker, recipe=values)
        mark = fingerprint(recipe, digest, accelerator.num_processes)
        agree(accelerator, mark)
        reseed(recipe.seed)
        return cls(recipe, run, accelerator, workers, record, mark)

    def train(
        self,
        task: nn.Module,
        *,
        stream: WindowStream,
        dataset: Dataset[Batch],
        validate: Callable[[], dict[str, Any]],
        resume_from: Path | None,
    ) -> Path:
        """Train a task to the last step of the recipe; returns the last checkpoint."""
        loop = Loop(
            accelerator=self.accelerator,
            task=task,
            stream=stream,
            dataset=dataset,
            settings=self.recipe.training,
            seed=self.recipe.seed,
            run=self.run,
            record=self.record,
            fingerprint=self.mark,
            validate=validate,
            workers=self.workers,
        )
        return loop.train(resume_from)
