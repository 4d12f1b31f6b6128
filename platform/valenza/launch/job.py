"""What every launcher needs to know of a run, checked before a job is rendered."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from valenza.errors import UsageError

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?")
"""What Slurm, Kubernetes and SkyPilot all take as a name; Kubernetes adds up to 12 characters for its pods."""

GRACE = 300
"""Seconds between the first SIGTERM and the end: for one step and one checkpoint."""

SHUTDOWN = GRACE - 30
"""Seconds that torchrun leaves its processes after a SIGTERM; its own default is 30."""

AGAIN = (75, 76)
"""Exit codes of runs that go on when they are started again."""


@dataclass(frozen=True)
class Job:
    """A training run and the machines that it wants."""

    recipe: Path
    out: Path
    name: str
    overrides: tuple[str, ...] = ()
    engine: Path | None = None
    nodes: int = 1
    gpus: int = 0
    processes: int = 1
    """Per node, as `gpus` are."""
    cpus: int = 0
    """Per node; 0: what the cluster gives."""
    workers: int = 0
    precision: str | None = None
    restarts: int = 20
    python: str = "python"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(f"--name: {self.name!r} is not a name: at most 50 small letters, digits and hyphens")
        if self.precision not in {None, "no", "bf16", "fp16"}:
            raise UsageError(f"--precision: {self.precision!r} is not one of no, bf16, fp16")
        if self.gpus and self.processes % self.gpus:
            raise UsageError(f"--processes-per-node {self.processes}: not a multiple of --gpus-per-node {self.gpus}")

    def rows(self) -> list[list[str]]:
        """Return what follows `valenza train`, a list for each option."""
        rows = [["--out", str(self.out)], ["--resume", "auto"]]
        if self.engine is not None:
            rows.append(["--engine", str(self.engine)])
        if self.workers:
            rows.append(["--workers", str(self.workers)])
        if self.precision is not None:
            rows.append(["--precision", self.precision])
        return [*rows, ["--", str(self.recipe), *self.overrides]]

    @property
    def size(self) -> str:
        """How many processes this is, in words."""
        on = "GPU" if self.gpus else "CPU"
        return f"{self.nodes} × {self.processes} processes on {on}"


def name_of(recipe: Path) -> str:
    """Return a job name from a recipe's file name."""
    name = re.sub(r"[^a-z0-9]+", "-", recipe.stem.lower())[:50].strip("-")
    return name or "valenza"


def check_words(option: str, words: Iterable[str | None], pattern: str) -> None:
    """Raise `UsageError` unless each of `words` that is said is wholly of this pattern."""
    for word in words:
        if word is not None and not re.fullmatch(pattern, word):
            raise UsageError(f"{option}: {word!r} is not a value that can be used there")
