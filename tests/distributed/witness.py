"""Runs `valenza` and writes down every window that reaches the network in training; torchrun starts it instead."""

import json
import os
from pathlib import Path
from typing import Any

from valenza.cli import main
from valenza.features.batch import SILENCE, Batch
from valenza.objectives.task import UtteranceTask

forward = UtteranceTask.forward
file = (Path(os.environ["WITNESS"]) / f"rank-{os.environ.get('RANK', '0')}.jsonl").open("a", encoding="utf-8")


def seen(task: UtteranceTask, batch: Batch) -> Any:
    """Note the clips of each window in the order in which they are heard, the frames of each, and their audio."""
    if task.training:
        for window, heard in zip(batch.clip_of_frame, batch.inputs, strict=True):
            own = window[window != SILENCE]
            clips = [int(batch.rows[number]) for number in own.unique_consecutive()]
            frames = own.unique_consecutive(return_counts=True)[1].tolist()
            real = bool(batch.counts[own[0]])
            line = [round(task.progress * 1e6), real, clips, frames, float(heard.double().sum())]
            file.write(json.dumps(line) + "\n")
        file.flush()
    return forward(task, batch)


UtteranceTask.forward = seen  # type: ignore[method-assign]
main()
