"""A server of the project as a process of its own, and what it says."""

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Self, TypeVar

import httpx

S = TypeVar("S", bound="Served")


@dataclass
class Served:
    """A server process, the lines that it has said and those that it has printed."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    url: str = ""
    _readers: list[threading.Thread] = field(default_factory=list)

    def wait(self, seconds: float = 90) -> Self:
        """Wait until it serves."""
        for pipe, lines in ((self.process.stderr, self.said), (self.process.stdout, self.printed)):
            self._readers.append(threading.Thread(target=_listen, args=(pipe, lines), daemon=True))
            self._readers[-1].start()
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            if found := re.search(r"serving at ([^\s,]+)", "\n".join(self.said)):
                self.url = found[1]
                httpx.get(f"{self.url}/healthz", timeout=30).raise_for_status()
                return self
            time.sleep(0.02)
        raise AssertionError("it does not serve: " + "\n".join(self.said))

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(40)
        for reader in self._readers:
            reader.join(20)
        assert "Traceback" not in "\n".join(self.said), "\n".join(self.said)
        return code


def _listen(pipe: IO[str] | None, lines: list[str]) -> None:
    lines.extend(line.rstrip() for line in pipe or ())  # each is there as soon as it is said


@contextmanager
def starting(kind: type[S], environment: Mapping[str, str]) -> Iterator[Callable[[Sequence[object]], S]]:
    """Give a function that runs a command and waits until it serves; all that it started is killed at the end."""
    started: list[S] = []

    def run(command: Sequence[object]) -> S:
        process = subprocess.Popen(
            [*map(str, command)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(kind(process))
        return started[-1].wait()

    yield run
    for server in started:
        server.stop(signal.SIGKILL)
        for pipe in (server.process.stdout, server.process.stderr):
            if pipe is not None:
                pipe.close()
