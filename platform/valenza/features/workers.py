"""Worker processes that prepare passes of windows, and what is said when one of them dies."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from valenza.errors import PeerError, ValenzaError
from valenza.mixture.stream import Window

PATIENCE = 540.0
"""Seconds after which a worker that sends nothing is taken for stuck: after servers of shards are given up, and before
the other processes of a run give up waiting for this one."""
_SPARED = (signal.SIGTERM, signal.SIGINT)
"""What workers never hear: a scheduler sends these to every process, and the run still needs its next batch."""
_PR_SET_PDEATHSIG = 1
_MOST_NAMED = 8

T = TypeVar("T")


def supply(
    dataset: Dataset[T],
    passes: Iterator[list[Window]],
    *,
    workers: int,
    pin: bool,
    patience: float,
    name: Callable[[int], str],
) -> Iterator[T]:
    """Yield what a dataset makes of each pass, in order, prepared by so many worker processes (0: in this one).

    Raises what the dataset raises, and `PeerError` that names the clips in hand where a worker dies, has no memory left
    or sends nothing for `patience` seconds. Workers ignore SIGTERM and SIGINT, and end with this process.
    """
    at = torch.full((max(workers, 1), 2), -1)
    at.share_memory_()  # type: ignore[no-untyped-call]
    crew = _Crew([], at, {}, name)
    loader: DataLoader[Any] = DataLoader(
        _Noted(dataset, crew.at),
        sampler=crew.hand_out(passes),  # an iterator of passes is all that a loader asks for
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        timeout=patience if workers else 0,
        worker_init_fn=partial(_begin, at=crew.at, parent=os.getpid()) if workers else None,
    )
    with _inherited():
        before = set(active_children())
        batches = iter(loader)
        crew.workers += [child for child in active_children() if child not in before]
    if workers and threading.current_thread() is threading.main_thread():
        # In place of torch's own, which raises wherever the main thread happens to be, in a checkpoint too.
        signal.signal(signal.SIGCHLD, _of_child)
    try:
        while (found := crew.receive(batches, patience)) is not None:
            if isinstance(found[0], ValenzaError):
                raise found[0]
            yield found[0]
    except Exception:
        _abandoned.append(batches)  # its end would wait for what a dead worker holds
        raise
    finally:
        del batches  # where nothing else holds it, its workers end now
        for worker in crew.workers:
            if worker.is_alive():
                worker.kill()


_abandoned: list[Any] = []
_awaited: "list[_Crew]" = []
"""Whose batch the main thread waits for."""


def _of_child(number: int, frame: Any) -> None:
    """Break off a wait for workers of which one is dead; a worker that dies at another time is found at the next."""
    if _awaited:
        crew = _awaited[0]
        if crew.dead() is not None:
            _awaited.clear()
            raise crew.lost()


@dataclass
class _Crew:
    """The workers of one loader, and what each has in hand."""

    workers: list[BaseProcess]
    at: Int64[Tensor, "workers 2"]
    """Process id and pass of each worker, in memory that they share."""
    handed: dict[int, list[Window]]
    """Passes that were handed out and not received."""
    name: Callable[[int], str]

    def hand_out(self, passes: Iterator[list[Window]]) -> Iterator[tuple[int, list[Window]]]:
        """Yield the passes with their numbers."""
        for number, windows in enumerate(passes):
            self.handed[number] = windows
            yield number, windows

    def receive(self, batches: Iterator[Any], patience: float) -> tuple[Any] | None:
        """Return what was made of the next pass, or nothing after the last; raises `PeerError`."""
        try:
            _awaited[:] = [self]
            if self.dead() is not None:
                raise self.lost()
            number, found = next(batches)
        except StopIteration:
            return None
        except (RuntimeError, OSError, EOFError) as error:  # how torch says that it cannot hear from a worker
            if not self.workers:
                raise
            connection.wait([worker.sentinel for worker in self.workers], timeout=1.0)
            if self.dead() is not None:
                raise self.lost() from None
            if "timed out" in str(error):
                raise self.stuck(patience) from None
            raise
        finally:
            _awaited.clear()
        del self.handed[number]
        return (found,)

    def dead(self) -> BaseProcess | None:
        """Return a worker that ended otherwise than at the end of its work."""
        return next((worker for worker in self.workers if worker.exitcode not in (None, 0)), None)

    def lost(self) -> PeerError:
        """Return what is said of a dead worker."""
        worker = self.dead()
        code = worker.exitcode if worker is not None and worker.exitcode is not None else 0
        pid = worker.pid if worker is not None else None
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        held = [int(number) for of, number in self.at.tolist() if of == pid]
        why = _HINTS.get(-code, "")
        return PeerError(f"a worker (process {pid}) {how} while it prepared {self._clips(held)}; {why}{_AGAIN}")

    def stuck(self, patience: float) -> PeerError:
        """Return what is said where no worker sends what is awaited."""
        held = [int(number) for _, number in self.at.tolist()]
        return PeerError(f"no worker sent anything for {patience:g} s; in hand are {self._clips(held)}; {_AGAIN}")

    def _clips(self, numbers: list[int]) -> str:
        windows = [window for number in numbers for window in self.handed.get(number, [])]
        names = list(dict.fromkeys(self.name(row) for window in windows for row in window.clips))
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        return ", ".join(names[:_MOST_NAMED]) + more if names else "nothing"


_AGAIN = "the same command resumes the run, and `--workers 0` does without workers"
_HINTS: dict[int, str] = {
    signal.SIGKILL: "that is how a memory limit ends processes, and fewer `--workers` need less; ",
    signal.SIGBUS: "that is how a full /dev/shm or a shard that was cut while it was read ends processes; ",
}


class _Noted(Dataset[Any]):
    """Serves numbered passes; a worker notes first which one it is at."""

    def __init__(self, dataset: Dataset[Any], at: Int64[Tensor, "workers 2"]) -> None:
        self.dataset, self.at = dataset, at

    def __getitem__(self, numbered: tuple[int, list[Window]]) -> tuple[int, Any]:
        """Return the number and the batch, or an error: torch would put a traceback into its message."""
        number, windows = numbered
        worker = get_worker_info()
        if worker is not None:
            self.at[worker.id, 1] = number
        try:
            return number, self.dataset[windows]
        except ValenzaError as error:
            return number, error
        except MemoryError:
            if worker is None:
                raise
            told = f"a worker (process {os.getpid()}) has no memory left for {len(windows)} windows"
            return number, PeerError(f"{told}; fewer `--workers` need less; {_AGAIN}")


def _as_it_is(value: T) -> T:
    return value


def _begin(worker: int, *, at: Int64[Tensor, "workers 2"], parent: int) -> None:
    """Make this worker end with its parent, whose sockets and locks it has inherited."""
    at[worker, 0] = os.getpid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


@contextmanager
def _inherited() -> Iterator[None]:
    """Hold back the signals that workers never hear while they are started: they inherit that for good."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _SPARED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
