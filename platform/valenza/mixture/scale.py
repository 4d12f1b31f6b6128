"""An epoch for any number of hours and processes, planned block by block from a generated index, and measured."""

import math
import time
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped, UInt16

from valenza.mixture.bench import peak_memory
from valenza.mixture.blocks import Layout
from valenza.mixture.generated import FLAC_BYTES_PER_SECOND, FRAMES_PER_SECOND, GeneratedIndex
from valenza.mixture.lanes import Order
from valenza.mixture.plan import may_compile, plan
from valenza.mixture.stream import Blocks, Peers, Position, WindowStream
from valenza.terminal import track

_ROUNDS = 256
"""Rounds through the lanes that are dealt to processes at once."""
_PLANNED_BYTES = 2
"""What the plan needs of a clip: its duration in frames."""
_SUMS_BYTES = 16
"""What it needs of a shard: clips and seconds."""


def measure_scale(
    hours: float,
    *,
    ranks: int,
    lanes: int | None = None,
    block_hours: float = 60.0,
    window_seconds: float = 30.0,
    fill: float = 0.8,
    seed: int = 7,
) -> dict[str, Any]:
    """Plan an epoch of `hours` for `ranks` processes with the training stream itself, and measure it.

    There are as many lanes as processes where it is not said. A block at a time is held, and of each window its two
    bytes of length. Raises `ValueError` where a clip would be in no window or in two.
    """
    lanes = ranks if lanes is None else lanes
    began = time.process_time()
    index = GeneratedIndex(hours, seed=seed)
    indexed = time.process_time() - began
    compiled = may_compile(int(index.clips.sum()))
    plan(np.ones(1), window_seconds=window_seconds, fill=fill, key=(seed,), compiled=compiled)  # loads what plans

    def stream(peers: Peers) -> WindowStream:
        weights = dict.fromkeys(index.names, 1.0)
        of_blocks = {"index": index, "lanes": lanes, "block_hours": block_hours, "peers": peers}
        return WindowStream(np.empty(0), {}, weights, window_seconds, fill, seed, **of_blocks)  # type: ignore[arg-type]

    started, worked = time.perf_counter(), time.process_time()
    counts, frames = _plan_all(stream(Peers()))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    whole = FRAMES_PER_SECOND * window_seconds
    clips, order = int(index.clips.sum()), Order(counts, lanes)
    return {
        "hours": hours,
        "ranks": ranks,
        "lanes": lanes,
        "block_hours": block_hours,
        "clips": clips,
        "mean_clip_seconds": round(float(index.seconds.sum()) / clips, 3),
        "shards": len(index.clips),
        "blocks": len(counts),
        "windows": len(order),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "clips_per_cpu_second": round(clips / cpu_seconds),
        "index_cpu_seconds": round(indexed, 1),
        "mean_fill": round(float(frames.mean()) / whole, 4),
        "lowest_fill": round(float(frames.min()) / whole, 4),
        "windows_below_fill": int((frames < fill * whole - 1e-6).sum()),
        **_shares(order, frames, ranks),
        **_reads(stream(Peers()).blocks(0), index, ranks, lanes),
        "restart_cpu_seconds": round(_restart(stream, counts, order, ranks), 2),
        "peak_memory_mb": round(peak_memory() / 2**20, 1),
    }


def _plan_all(stream: WindowStream) -> tuple[Int64[np.ndarray, " blocks"], UInt16[np.ndarray, " windows"]]:
    """Return how many windows each block has, and the frames of each window, block after block."""
    blocks = len(stream.blocks(0))
    counts = np.zeros(blocks, dtype=np.int64)
    frames: list[UInt16[np.ndarray, " _"]] = []
    seen, numbers = 0, 0
    for block in track(range(blocks), "blocks", blocks):
        planned = stream.plan_block(0, block)
        if not (np.bincount(planned.windows.clips, minlength=len(planned.rows)) == 1).all():
            raise ValueError(f"block {block}: a clip is not in exactly one window")
        seen, numbers = seen + len(planned.rows), numbers + int(planned.rows.sum())
        counts[block] = len(planned.windows)
        if counts[block]:
            starts = np.concatenate([[0], planned.windows.ends[:-1]])
            sums = np.add.reduceat(planned.seconds[planned.windows.clips], starts)
            frames.append(np.rint(sums * FRAMES_PER_SECOND).astype(np.uint16))
    if stream.index is not None and (seen, numbers) != _sums(int(stream.index.clips.sum())):
        raise ValueError(f"{seen} clips were planned, and not each of {int(stream.index.clips.sum())} once")
    return counts, np.concatenate(frames) if frames else np.empty(0, np.uint16)


def _sums(clips: int) -> tuple[int, int]:
    return clips, clips * (clips - 1) // 2


def _shares(order: Order, frames: UInt16[np.ndarray, " windows"], ranks: int) -> dict[str, Any]:
    """Return how evenly the windows and their audio are dealt, and how many windows are of lanes of others."""
    windows, heard, elsewhere = _dealt(order, frames, ranks)
    return {
        "windows_per_rank": [int(windows.min()), int(windows.max())],
        "window_imbalance": _imbalance(windows),
        "audio_imbalance": _imbalance(heard),
        "lane_imbalance": _imbalance(order.lengths),
        "windows_of_other_lanes": round(elsewhere / max(1, len(order)), 6),
    }


def _reads(layout: Blocks, index: GeneratedIndex, ranks: int, lanes: int) -> dict[str, Any]:
    """Return what processes read: `shared` of them read each lane, where they do not divide the lanes.

    Where whole shards are fetched, a shard that two lanes cut is fetched by both.
    """
    if not isinstance(layout, Layout):
        raise TypeError("an epoch in one block has no pieces")
    shared = ranks // math.gcd(ranks, lanes)
    lane = np.repeat(np.arange(len(layout)), np.diff(layout.starts)) // (len(layout) // lanes)
    visits = len(np.unique(lane * len(index.clips) + layout.shards))
    clips = int(index.clips.sum())
    return {
        "bytes_read_per_rank": round(float(index.seconds.sum()) * FLAC_BYTES_PER_SECOND * shared / ranks),
        "read_amplification": float(shared),
        "read_amplification_whole_shards": round(shared * visits / len(index.clips), 4),
        "index_bytes": _PLANNED_BYTES * clips,
        "index_bytes_per_rank": round(_PLANNED_BYTES * clips * shared / ranks),
        "shard_sums_bytes": _SUMS_BYTES * len(index.clips),
    }


def _dealt(
    order: Order, frames: UInt16[np.ndarray, " windows"], ranks: int
) -> tuple[Int64[np.ndarray, " ranks"], Float64[np.ndarray, " ranks"], int]:
    """Return the windows and the seconds of audio of each process, and how many windows are of lanes not its own."""
    windows, heard, elsewhere = np.zeros(ranks, np.int64), np.zeros(ranks), 0
    starts = np.cumsum(order.lengths) - order.lengths
    for first, rounds, lanes in order.stretches():
        for at in range(rounds.start, rounds.stop, _ROUNDS):
            part = np.arange(at, min(at + _ROUNDS, rounds.stop))
            numbers = first + (part[:, None] - rounds.start) * len(lanes) + np.arange(len(lanes))
            of = (numbers % ranks).ravel()
            windows += np.bincount(of, minlength=ranks)
            lengths = frames[(starts[lanes] + part[:, None]).ravel()]
            heard += np.bincount(of, weights=lengths, minlength=ranks) / FRAMES_PER_SECOND
            elsewhere += int((np.broadcast_to(lanes % ranks, numbers.shape).ravel() != of).sum())
    return windows, heard, elsewhere


def _imbalance(loads: Shaped[np.ndarray, " loads"]) -> float:
    """Return by how much the largest load exceeds the mean, as a share of it."""
    return round(float(loads.max() / loads.mean() - 1), 6)


def _restart(stream: Any, counts: Int64[np.ndarray, " blocks"], order: Order, ranks: int) -> float:
    """Return the seconds until process 0 holds its first window again, where the last full step was cut off."""
    began = time.process_time()
    resumed = stream(Peers(0, ranks, lambda own: counts.astype(float).tolist()))
    resumed.own(Position(0, max(0, len(order) // ranks - 1) * ranks), min(ranks, len(order)), rank=0, ranks=ranks)
    return time.process_time() - began
