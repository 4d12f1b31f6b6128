"""Looks after this process while it trains: a request to end, the life signs it leaves, and a wait that never ends."""

import faulthandler
import json
import math
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from valenza.errors import PEER_FAILURE, PREEMPTED, PreemptedError, UsageError
from valenza.terminal import say
from valenza.training.report import leave

T = TypeVar("T")
HEARTBEATS, STACKS = "heartbeat", "stacks"
_EVERY = 5.0
"""Seconds between life signs."""
_GRACE = 3.0
"""Seconds that a request to end has to reach the other thread before the loop, where nothing can be lost."""
_KILLED = 128 + signal.SIGTERM


def patience() -> float:
    """Return after how many seconds without progress a process gives up: $VALENZA_TIMEOUT_SECONDS, or 600."""
    told = os.environ.get("VALENZA_TIMEOUT_SECONDS", "600")
    try:
        seconds = float(told)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise UsageError(f"$VALENZA_TIMEOUT_SECONDS: {told!r} is no number of seconds")
    return seconds


class Watch:
    """A thread beside the one that trains.

    The first SIGTERM is a request: before the loop it ends the process, inside it the loop answers at its next step.
    The second ends the process at once, whatever it waits for. A process that makes no progress for `limit` seconds
    where it should, since it hangs or since another one does, writes the stacks of its threads into the run folder and
    ends with 76.
    """

    def __init__(self, run: Path) -> None:
        """Watch over this process of those that torchrun launched."""
        self.run, self.limit = run, patience()
        self.rank, self.ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self.asked = False
        """Whether this process was asked to end."""
        self._step, self._phase, self._since = 0, "start-up", time.monotonic()
        self._guarded = self._answers = self.entered = False
        self._ended = threading.Event()

    @contextmanager
    def over(self) -> Iterator["Watch"]:
        """Watch over this process for a while; signals are as they were afterwards."""
        receives, tells = os.pipe()
        os.set_blocking(tells, False)
        thread = threading.Thread(target=self._look, args=(receives,), name="watch", daemon=True)
        mine = threading.current_thread() is threading.main_thread()
        if mine:
            told_before = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
            handler = signal.signal(signal.SIGTERM, self._request)
        thread.start()
        try:
            yield self
        finally:
            if mine:
                signal.signal(signal.SIGTERM, handler)
                signal.set_wakeup_fd(told_before)
            self._ended.set()
            os.write(tells, b"\0")
            thread.join()
            self._write_heartbeat()
            os.close(tells)
            os.close(receives)

    def enter(self) -> None:
        """Leave life signs from here on: the run folder is this run's."""
        self.entered = True
        self._write_heartbeat()

    @contextmanager
    def guarded(self, phase: str) -> Iterator[None]:
        """Expect progress for a while."""
        self.beat(self._step, phase)
        self._guarded = True
        try:
            yield
        finally:
            self._guarded = False

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Leave requests to the loop for a while."""
        self._answers = True
        if self.asked:
            raise PreemptedError("asked to end before the first step")
        with self.guarded("loop"):
            yield
        self._answers = False  # only of a loop that is done: what failed or was asked to end is on its way out

    def beat(self, step: int, phase: str) -> None:
        """Say that this process makes progress."""
        self._step, self._phase, self._since = step, phase, time.monotonic()

    def along(self, items: Iterable[T], phase: str) -> Iterator[T]:
        """Yield items, each of them a sign of progress."""
        for item in items:
            self.beat(self._step, phase)
            yield item

    def _request(self, number: int, frame: Any) -> None:
        self.asked = True
        if not self._answers:
            raise PreemptedError("asked to end before the first step")

    def _look(self, receives: int) -> None:
        """Run beside the process: count requests, write life signs, and end what hangs."""
        requests, asked, written = 0, math.inf, time.monotonic()
        while not self._ended.is_set():
            if select.select([receives], [], [], min(1.0, self.limit / 4))[0]:
                requests += os.read(receives, 64).count(signal.SIGTERM)
            now = time.monotonic()
            asked = min(asked, now) if requests else asked
            if requests > 1:
                say("asked to end twice: ending without a checkpoint")
                os._exit(_KILLED)
            if not self._answers and now - asked > _GRACE:  # the other thread waits for something and cannot answer
                self._end(PREEMPTED, "asked to end before the first step")
            if now - written > min(_EVERY, self.limit / 2):
                self._write_heartbeat()
                written = now
            if self._guarded and now - self._since > self.limit:
                self._give_up()

    def _end(self, code: int, reason: str) -> NoReturn:
        say(f"error: {reason}")
        if self.entered:
            leave(self.run, code, reason)
        os._exit(code)

    def _write_heartbeat(self) -> None:
        if not self.entered:
            return
        values = {
            "step": self._step,
            "phase": self._phase,
            "seconds": round(time.monotonic() - self._since, 1),
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        file = self.run / HEARTBEATS / f"rank-{self.rank}.json"
        partial = file.with_suffix(".partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(values), encoding="utf-8")
            partial.replace(file)
        except OSError:
            return  # a life sign that cannot be written must not end what lives

    def _give_up(self) -> NoReturn:
        """Leave the stacks of this process, and what is known of the others, and end."""
        told = f"process {self.rank} made no progress for {self.limit:g} s at step {self._step} ({self._phase})"
        if self.entered:
            self._write_heartbeat()
            self.write_stacks(told)
            others = "; ".join(self._others()) or "there is no other"
            told = f"{told}; stacks are in {self.run / STACKS}; other processes: {others}"
        elif self.ranks > 1:
            told = f"{told}; did all {self.ranks} start, with the same WORLD_SIZE, MASTER_ADDR and MASTER_PORT?"
        self._end(PEER_FAILURE, f"{told}; the same command resumes the run")

    def write_stacks(self, why: str) -> None:
        """Write what each thread of this process does, and what this machine tells of processes that cannot."""
        folder = self.run / STACKS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"rank-{self.rank}.txt").open("w", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {why}\n")
                file.flush()
                faulthandler.dump_traceback(file, all_threads=True)
            for rank, told in enumerate(self._states()):
                if told and "stopped" in told:  # it will write nothing until it goes on
                    (folder / f"rank-{rank}.txt").write_text(f"{told}\n", encoding="utf-8")
        except OSError as error:
            say(f"{folder}: stacks cannot be written: {error.strerror}")

    def _others(self) -> list[str]:
        return [told for rank, told in enumerate(self._states()) if told and rank != self.rank]

    def _states(self) -> list[str | None]:
        """Return what each process last said, and whether it is stopped or gone where it is on this machine."""
        return [self._state(rank) if rank != self.rank else None for rank in range(self.ranks)]

    def _state(self, rank: int) -> str | None:
        try:
            file = self.run / HEARTBEATS / f"rank-{rank}.json"
            said, age = json.loads(file.read_text(encoding="utf-8")), time.time() - file.stat().st_mtime
        except (OSError, ValueError):
            return f"process {rank} left no life sign"
        state = ""
        if said["host"] == socket.gethostname():
            try:
                letter = Path(f"/proc/{said['pid']}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
                state = {"T": ", stopped", "t": ", stopped", "Z": ", gone"}.get(letter, "")
            except OSError:
                state = ", gone" if Path("/proc/self").exists() else ""
        where = f"process {rank} ({said['pid']} on {said['host']}{state})"
        return f"{where} was at step {said['step']} ({said['phase']}), {age:.0f} s ago"
