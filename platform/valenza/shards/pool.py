"""Encodes clips in other processes, in order, and survives a decoder that crashes or hangs."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from valenza.corpora.clip import Clip
from valenza.shards import audio

Outcome = list[audio.Part] | str
"""The stored parts of a clip, or what is wrong with it."""

_CHUNK = 4
_AHEAD = 3  # chunks in flight for each process: enough to keep all busy, little enough to keep memory flat
_PATIENCE_SECONDS = 300.0


def encode(clips: Sequence[Clip]) -> list[Outcome]:
    """Encode clips in this process."""
    outcomes: list[Outcome] = []
    with audio.quiet():
        for clip in clips:
            try:
                outcomes.append(audio.parts(clip))
            except audio.AudioError as error:
                outcomes.append(str(error))
            except MemoryError:
                outcomes.append("needs more memory than there is")
    return outcomes


def encode_all(clips: Sequence[Clip], jobs: int) -> Generator[Outcome, None, None]:
    """Yield what becomes of each clip, in order; with `jobs` of 1 nothing leaves this process.

    A clip whose decoder crashes or takes over five minutes is named as such, and the others go on.
    """
    chunks = [clips[i : i + _CHUNK] for i in range(0, len(clips), _CHUNK)]
    jobs = min(jobs, len(chunks))
    if jobs <= 1:
        for chunk in chunks:
            yield from encode(chunk)
        return
    pool = _start(jobs)
    try:
        waiting = deque(chunks)
        flying: deque[tuple[Sequence[Clip], Future[list[Outcome]]]] = deque()
        while waiting or flying:
            try:
                while waiting and len(flying) < jobs * _AHEAD:
                    flying.append((waiting[0], pool.submit(encode, waiting[0])))
                    waiting.popleft()
                outcomes = _result(pool, flying[0][1])
                flying.popleft()
            except (BrokenProcessPool, TimeoutError):
                # Nobody says which clip it was: those that were first in line are tried one by one.
                _stop(pool)
                pool = _start(jobs)
                waiting.extendleft(chunk for chunk, _ in reversed(flying))
                flying.clear()
                outcomes = [_alone(clip) for clip in waiting.popleft()]
            yield from outcomes
    finally:
        _stop(pool)


def _alone(clip: Clip) -> Outcome:
    pool = _start(1)
    try:
        return _result(pool, pool.submit(encode, [clip]))[0]
    except BrokenProcessPool:
        return "crashes its decoder"
    except TimeoutError:
        return f"cannot be decoded within {_PATIENCE_SECONDS:g} s"
    finally:
        _stop(pool)


def _start(jobs: int) -> ProcessPoolExecutor:
    # Not forked: a copy of a process with threads may hang.
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_follow_parent)


def _result(pool: ProcessPoolExecutor, future: Future[list[Outcome]]) -> list[Outcome]:
    """Wait for what a process makes; raises `BrokenProcessPool` where one is dead, `TimeoutError` where one hangs."""
    patience = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return future.result(timeout=min(1.0, max(0.0, patience - time.monotonic())))
        except TimeoutError:
            # One that died in the middle of an answer leaves the pool waiting for the rest of it.
            if not all(process.is_alive() for process in list((pool._processes or {}).values())):
                raise BrokenProcessPool("a process died in the middle of an answer") from None
            if time.monotonic() >= patience:
                raise


def _stop(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.kill()  # a hung decoder hears nothing else
    # The pool may be reading the first half of an answer whose writer is dead; it ends when nobody can write the rest.
    pool._result_queue._writer.close()  # type: ignore[attr-defined]
    pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """Leave interrupts to the parent, and end with it even where it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
