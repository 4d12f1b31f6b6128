"""How quick a TensorRT engine is on this machine's GPU, and how near it is to the ONNX file that it was made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from valenza.errors import DataError, UsageError
from valenza.export.engines.runner import EngineRunner
from valenza.export.engines.sidecar import Sidecar, mark
from valenza.features.batch import FRAME
from valenza.terminal import table

BATCHES, SECONDS = (1, 8), (1.0, 5.0, 30.0)
_WARM = 10
"""Runs that are not counted: the first ones compile kernels for the shape and raise the clock."""


@dataclass(frozen=True)
class Measured:
    """How long an engine takes for a batch whose audio is on the GPU, and how near it is to its ONNX file."""

    batch: int
    seconds: float
    """Of each recording."""
    milliseconds: dict[str, float]
    """p50, p95 and p99 of a run."""
    per_second: float
    """Milliseconds for a second of audio, at p50."""
    difference: dict[str, float]
    """Greatest difference of `logits` and `mixture` from those of the ONNX file; empty without one."""


def bench_engine(path: Path, *, onnx: Path | None = None, repeats: int = 100) -> list[Measured]:
    """Measure an engine over batches of 1 and 8 and recordings of 1, 5 and 30 s, those that its profiles take.

    The ONNX file that it is compared with, by onnxruntime on the CPU, is the one that its sidecar names, where it lies
    beside the engine or is given. Raises as `EngineRunner`, and `DataError` for another ONNX file.
    """
    runner = EngineRunner(path, eager=True)
    session = _session(path, runner.sidecar, onnx)
    noise = torch.Generator().manual_seed(7)
    measured = []
    for batch, seconds in _sizes(runner.sidecar):
        samples = round(seconds * runner.sidecar.sample_rate)
        audio = torch.rand(batch, samples, generator=noise) * 0.2 - 0.1
        lengths = samples - 37 * torch.arange(batch)
        inputs = runner.inputs(audio.cuda(), lengths.cuda())
        times = np.array(list(_times(runner, inputs, repeats)))
        said = runner.run(inputs)
        p50, p95, p99 = np.percentile(times, (50, 95, 99))
        difference = {} if session is None else _difference(session, inputs, said)
        figures = {"p50": float(p50), "p95": float(p95), "p99": float(p99)}
        measured.append(Measured(batch, seconds, figures, float(p50) / (batch * seconds), difference))
    return measured


def show_bench(measured: list[Measured]) -> None:
    """Print measurements of an engine."""
    rows = [
        (
            each.batch,
            f"{each.seconds:g}",
            *(f"{value:.2f}" for value in each.milliseconds.values()),
            f"{each.per_second:.3f}",
            *(f"{value:.1e}" for value in each.difference.values()),
        )
        for each in measured
    ]
    compared = [f"Δ {name}" for name in measured[0].difference] if measured else []
    table("", ("batch", "seconds", "ms p50", "p95", "p99", "ms a second of audio", *compared), rows)


def _sizes(sidecar: Sidecar) -> Iterator[tuple[int, float]]:
    rates = {"audio": sidecar.sample_rate, "mel": 2 * sidecar.sample_rate / FRAME}
    for batch in BATCHES:
        for seconds in SECONDS:
            for profile in sidecar.profiles.values():
                name = next(name for name in profile if name in rates)
                reach = profile[name]
                if reach.takes((batch, *reach.min[1:-1], round(seconds * rates[name]))):
                    yield batch, seconds
                    break


def _times(runner: EngineRunner, inputs: Mapping[str, Tensor], repeats: int) -> Iterator[float]:
    for number in range(_WARM + repeats):
        started = perf_counter()
        runner.run(inputs)
        if number >= _WARM:
            yield 1000 * (perf_counter() - started)


def _session(path: Path, sidecar: Sidecar, onnx: Path | None) -> Any:
    file = onnx if onnx is not None else path.with_name(sidecar.onnx.file)
    if onnx is None and not file.is_file():
        return None
    if mark(file).sha256 != sidecar.onnx.sha256:
        raise DataError(f"{file}: not the ONNX file that {path.name} was made of")
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("comparing with the ONNX file needs onnxruntime; `pip install valenza[export]`") from None
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def _difference(session: Any, inputs: Mapping[str, Tensor], said: Mapping[str, Tensor]) -> dict[str, float]:
    names = ["logits", "mixture"]
    theirs = session.run(names, {name: value.cpu().numpy() for name, value in inputs.items()})
    pairs = zip(names, theirs, strict=True)
    return {name: float(np.abs(said[name].float().cpu().numpy() - value).max()) for name, value in pairs}
