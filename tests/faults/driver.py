"""`valenza` with faults: `python driver.py '[{"at": "pass", "step": 5, "do": "kill"}]' train RECIPE …`.

A fault says where: `at` a point, on a `step`, for the `number`-th time there, on a `rank` (all where absent); and what
it does. The points are found from outside; nothing in the package knows of them.
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from valenza.objectives import sequences, task
from valenza.objectives.task import Losses
from valenza.stages import adapt, course, preference, student, utterance
from valenza.training import report

TASKS: tuple[Any, ...] = (task.UtteranceTask, sequences.StudentTask, sequences.PreferenceTask)
NAN, INFINITE = float("nan"), float("inf")


class Faults:
    """What is to go wrong, and where this process is."""

    def __init__(self, faults: list[dict[str, Any]]) -> None:
        rank = int(os.environ.get("RANK", "0"))
        self.faults = [fault for fault in faults if fault.get("rank", rank) == rank]
        self.done = 0
        """Steps that are done."""
        self.times: dict[str, int] = {}
        """Point → how often it was passed since the last step was done."""
        self.validating = False

    def step_done(self, step: int) -> None:
        self.done, self.times = step, {}

    def reach(self, point: str, path: str | None = None) -> set[str]:
        """Do what is to be done at a point; returns what its caller has to do."""
        self.times[point] = self.times.get(point, 0) + 1
        left = set()
        for fault in self.faults:
            if fault["at"] != point or fault.get("number", self.times[point]) != self.times[point]:
                continue
            if fault.get("step", self.done) != self.done:
                continue
            left |= {fault["do"]} - {do(fault["do"], path)}
        return left


def do(deed: str, path: str | None) -> str:
    """Do what can be done anywhere; returns the deed, or nothing for one that is its caller's."""
    kind, _, value = deed.partition(":")
    match kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill all":
            os.killpg(0, signal.SIGKILL)
        case "term":
            os.kill(os.getpid(), signal.SIGTERM)
        case "term all":
            os.killpg(0, signal.SIGTERM)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleep":
            time.sleep(float(value))
        case "spin":
            while True:
                pass
        case "fill":
            pages, _, folder = value.partition(":")
            fill(Path(folder), int(pages))
        case "read-only":
            if os.geteuid():
                Path(value).chmod(0o500)
            else:
                subprocess.run(["mount", "-o", "remount,ro", value], check=True)
        case "flip":
            file = Path(str(path)) / "model.safetensors"
            whole = bytearray(file.read_bytes())
            whole[-1] ^= 0x10
            file.write_bytes(whole)
        case "small files":
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (int(value), resource.RLIM_INFINITY))
        case "error":
            number = int(vars(errno)[value])
            raise OSError(number, os.strerror(number), path)
        case "runtime error":
            raise RuntimeError(value)
        case _:
            return ""
    return deed


def fill(folder: Path, pages: int) -> None:
    """Leave so many pages of a file system free."""
    with (folder / "filler").open("wb", buffering=0) as filler:
        while (free := os.statvfs(folder).f_bavail) > pages:
            filler.write(bytes(4096 * min(free - pages, 64)))


def run(faults: list[dict[str, Any]]) -> None:
    """Lay the faults and run the command of `sys.argv`."""
    laid = Faults(faults)
    for kind in TASKS:
        kind.forward = passes(kind.forward, laid)
    for stage in (utterance, student, preference, adapt):
        vars(stage)["validate"] = validation(vars(stage)["validate"], laid)
    vars(course)["load"] = between_batches(vars(course)["load"], laid)
    record(laid)
    disk(laid)
    told(laid)
    tracker(laid)
    ends(laid)
    from valenza.cli import main

    main()


def passes(forward: Callable[..., Losses], laid: Faults) -> Callable[..., Losses]:
    """The point `pass`: in step `step` (from 1), before its `number`-th pass."""

    def reached(self: Any, batch: Any) -> Losses:
        if not self.training:
            return forward(self, batch)
        laid.done += 1  # the step that is being done
        deeds = laid.reach("pass")
        laid.done -= 1
        if "show weights" in deeds:
            whole = b"".join(value.numpy().tobytes() for value in self.state_dict().values())
            print(f"weights {hashlib.sha256(whole).hexdigest()}")
        if "nan label" in deeds:
            batch = replace(batch, targets=torch.full_like(batch.targets, NAN))
            if batch.wanted is not None:
                batch = replace(batch, wanted=replace(batch.wanted, ways=torch.full_like(batch.wanted.ways, NAN)))
        if "nan audio" in deeds:
            batch = replace(batch, inputs=torch.full_like(batch.inputs, NAN))
        losses = forward(self, batch)
        if "infinite gradient" in deeds:
            losses = Losses(Exploding.apply(losses.total), losses.named)  # type: ignore[no-untyped-call]
        if "nan loss" in deeds:
            losses = Losses(losses.total * NAN, losses.named)
        if "infinite loss" in deeds:
            losses = Losses(losses.total + INFINITE, losses.named)
        return losses

    return reached


class Exploding(torch.autograd.Function):
    """A loss that is as it should be, with a gradient that is not finite."""

    @staticmethod
    def forward(ctx: Any, loss: torch.Tensor) -> torch.Tensor:
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
        return torch.full_like(slope, INFINITE)


def validation(validate: Callable[..., Any], laid: Faults) -> Callable[..., Any]:
    """The point `validation`: after step `step`, once the first pass of the validation was heard."""

    def reached(*arguments: Any) -> Any:
        laid.validating = True
        try:
            return validate(*arguments)
        finally:
            laid.validating = False

    return reached


def between_batches(load: Callable[..., Iterator[Any]], laid: Faults) -> Callable[..., Iterator[Any]]:
    def reached(*arguments: Any, **options: Any) -> Iterator[Any]:
        for batch in load(*arguments, **options):
            yield batch
            if laid.validating:
                laid.reach("validation")

    return reached


def record(laid: Faults) -> None:
    """The point `recorded`: step `step` is done and in the metrics, and nothing else was done since."""
    add, rewind = report.Record.add, report.Record.rewind

    def added(self: report.Record, step: int, values: dict[str, Any]) -> None:
        add(self, step, values)
        if "loss" in values:
            laid.step_done(step)
            laid.reach("recorded")

    def rewound(self: report.Record, step: int) -> None:
        rewind(self, step)
        laid.step_done(step)

    report.Record.add = added  # type: ignore[method-assign]
    report.Record.rewind = rewound  # type: ignore[method-assign]


def disk(laid: Faults) -> None:
    """The points of a checkpoint: a file is `opened`, `written` to the disk; before its `rename`; and `named`."""
    fsync = os.fsync

    def synced(handle: Any) -> None:
        path = str(Path(f"/proc/self/fd/{handle}").readlink())
        if "/checkpoints/" in path:
            laid.reach("written", path)
        fsync(handle)

    def moved(move: Callable[..., None]) -> Callable[..., None]:
        def reached(source: Any, target: Any, **options: Any) -> None:
            if Path(target).parent.name == "checkpoints":
                laid.reach("rename", str(target))
            move(source, target, **options)
            if Path(target).parent.name == "checkpoints":
                laid.reach("named", str(target))

        return reached

    def opened(event: str, arguments: Any) -> None:
        if event != "open" or arguments[2] & os.O_ACCMODE == os.O_RDONLY:
            return
        path = str(arguments[0])
        if "/checkpoints/" in path and not path.endswith("/filler"):
            laid.reach("opened", path)

    if any(fault["at"] == "opened" for fault in laid.faults):
        sys.addaudithook(opened)
    os.fsync = synced
    os.rename, os.replace = moved(os.rename), moved(os.replace)
    if any(fault["do"] == "boast" for fault in laid.faults):  # a disk that fills after it was asked for its space
        usage = shutil.disk_usage("/")
        shutil.disk_usage = lambda path: usage._replace(free=1 << 60)


def told(laid: Faults) -> None:
    """The point `told`: this process tells the others what it was started with, and what it says is not so."""
    agree = vars(course)["agree"]

    def lied(accelerator: Any, mark: dict[str, str]) -> None:
        for deed in laid.reach("told"):
            mark = {**mark, deed.removeprefix("another "): "another"}
        agree(accelerator, mark)

    vars(course)["agree"] = lied


def tracker(laid: Faults) -> None:
    """Experiment trackers some calls of which fail, or tell."""
    from accelerate import tracking

    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to the tracker")

    def counted(_: Any, values: Any, step: int) -> None:
        print(f"tracked {step}")

    def made(*_: Any, **__: Any) -> None:
        return None

    for fault in laid.faults:
        if fault["at"] != "tracker":
            continue
        for kind in (tracking.TensorBoardTracker, tracking.WandBTracker):
            for name in ("__init__", "start", "log", "store_init_configuration", "finish"):
                failing = broken if fault["do"] == "broken tracker" else counted
                setattr(kind, name, failing if name in fault["calls"] else made)


def ends(laid: Faults) -> None:
    """The points `entered` and `left`: before and after all that training does."""
    from valenza.stages import session as room

    train = room.train

    def reached(*arguments: Any, **options: Any) -> Any:
        laid.reach("entered")
        last = train(*arguments, **options)
        laid.reach("left")
        return last

    room.train = reached


if __name__ == "__main__":
    faults = json.loads(sys.argv.pop(1))
    run(faults)
