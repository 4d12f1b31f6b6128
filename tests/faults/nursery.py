"""Starts processes of `valenza` as forks of one that has imported everything, which saves each its seconds of imports.

They are processes of their own in every other way: a group, signals, files and random numbers of their own, and a
SIGKILL ends them. Reads orders and writes answers as lines of JSON.
"""

import importlib
import json
import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

WARM = (
    "torch.distributed",
    "torch.optim",
    "torch.utils.data",
    "accelerate",
    "accelerate.tracking",
    "accelerate.utils",
    "audiomentations",
    "librosa.effects",
    "librosa.util",
    "transformers.models.whisper.modeling_whisper",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "soundfile",
    "scipy.signal",
    "valenza.cli",
    "valenza.stages.session",
    "valenza.stages.adapt",
    "valenza.stages.preference",
    "valenza.stages.student",
    "valenza.stages.teacher",
    "valenza.stages.utterance",
    "driver",
)


def serve() -> None:
    """Answer every order until there is none left: a start with the process id, a question with how one ended."""
    for name in WARM:
        importlib.import_module(name)
    answer("ready")
    for line in sys.stdin:
        order = json.loads(line)
        answer(ended(order["ended"]) if "ended" in order else start(order))


def answer(value: Any) -> None:
    print(json.dumps(value), flush=True)


def ended(pid: int) -> int | None:
    """Return the exit code of a process, negative for a signal; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def start(order: dict[str, Any]) -> int:
    """Fork a process in the group of `order["group"]`, or in a new one; returns its id."""
    pid = os.fork()
    if pid == 0:
        try:
            become(order)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        os._exit(1)
    group = order["group"] or pid
    with suppress(OSError):
        os.setpgid(pid, group)  # by both, so that it is so for both
    return pid


def become(order: dict[str, Any]) -> None:
    """Be `valenza` with these words, environment and faults."""
    import numpy as np
    import torch

    os.setpgid(0, order["group"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for target, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    # A process that was started anew would not begin with the numbers of the one before it.
    random.seed()
    np.random.seed(int.from_bytes(os.urandom(4), "little"))  # noqa: NPY002
    torch.seed()
    sys.argv = ["valenza", *order["words"]]
    code: Any = 0
    try:
        importlib.import_module("driver").run(order["faults"])
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    serve()
