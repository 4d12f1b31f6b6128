"""What a run writes while it goes: metrics as JSON lines, a log for people, and trackers that may fail."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

from valenza.errors import PEER_FAILURE, WriteError
from valenza.terminal import say

EXIT = "exit.json"
"""How the run ended; absent while it goes on."""


class Record:
    """The files of a run folder that grow with it; only the first process writes them."""

    def __init__(self, run: Path, *, writes: bool, tracker: str, recipe: dict[str, Any]) -> None:
        self.metrics, self.log = run / "metrics.jsonl", run / "log.txt"
        self.writes = writes
        self._tracker = _Tracker(tracker, run, recipe) if writes and tracker != "none" else None

    def rewind(self, step: int) -> None:
        """Drop the lines after a step, which a resumed run writes again, and a line that was cut short."""
        if not self.writes or not self.metrics.exists():
            return
        kept = [line for line in read_metrics(self.metrics) if line["step"] <= step]
        partial = self.metrics.with_suffix(".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        partial.replace(self.metrics)

    def add(self, step: int, values: dict[str, Any]) -> None:
        """Append one line; a number that is not finite is written as null, since NaN is not JSON."""
        if not self.writes:
            return
        line = {
            "step": step,
            **{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()},
        }
        self._append(self.metrics, json.dumps(line, allow_nan=False))
        if self._tracker is not None:
            self._tracker.add(step, values)

    def tell(self, text: str) -> None:
        """Say a line to the user and keep it in the log with the time."""
        if self.writes:
            say(text)
            self._append(self.log, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")

    def _append(self, file: Path, line: str) -> None:
        try:
            with file.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise WriteError(f"{file}: cannot be written: {error.strerror}") from None


def leave(run: Path, code: int, reason: str) -> None:
    """Leave with which code and why a run ended, since a launcher tells one code of its own for any.

    A process that only lost another one does not write over what that one left.
    """
    file = run / EXIT
    if code == PEER_FAILURE and file.exists():
        return
    try:
        partial = file.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps({"code": code, "reason": reason}) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError:
        return  # what is told here is also the process's own exit code and message


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a metrics file; a line that a crash cut short is left out."""
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


class _Tracker:
    """An experiment tracker behind Accelerate's interface; its failures are said once and never stop a run."""

    def __init__(self, kind: str, run: Path, recipe: dict[str, Any]) -> None:
        self._tracker: Any = None
        try:
            from accelerate.tracking import TensorBoardTracker, WandBTracker

            self._tracker = (
                TensorBoardTracker("tensorboard", logging_dir=str(run))
                if kind == "tensorboard"
                else WandBTracker("valenza", dir=str(run), name=run.name, config=recipe)
            )
            self._tracker.start()
        except Exception as error:
            self._fail(error)

    def add(self, step: int, values: dict[str, Any]) -> None:
        if self._tracker is None:
            return
        try:
            self._tracker.log({k: v for k, v in values.items() if isinstance(v, int | float)}, step=step)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._tracker = None
        say(f"the tracker is off for the rest of this run: {type(error).__name__}: {error}")
