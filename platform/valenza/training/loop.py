"""The one training loop: it knows windows, named losses and steps, and nothing of what a stage wants."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import Dataset

from valenza.errors import NonFiniteError, UsageError
from valenza.features.batch import Batch, load
from valenza.mixture.stream import Position, Window, WindowStream, share
from valenza.recipe import Training
from valenza.training import checkpoint
from valenza.training.average import WeightAverage
from valenza.training.growth import windows_at
from valenza.training.optimizer import build_optimizer, set_rates, trained
from valenza.training.report import Record
from valenza.training.runtime import add_up, reseed

_NETWORK = "network."
"""How the names of the network's weights begin in its task."""


class Task(Protocol):
    """A module that returns the summed losses of a pass, and says how much they were summed over."""

    network: nn.Module
    progress: float
    """Share of the steps that are done, set before each."""

    def count(self, batch: Batch) -> int:
        """Return what the losses of a pass are divided by, once added up over the step."""
        ...

    def __call__(self, batch: Batch) -> Any:
        """Return `Losses`."""
        ...


@dataclass
class Loop:
    """Trains one task to its last step, from wherever it was left."""

    accelerator: Accelerator
    task: nn.Module
    stream: WindowStream
    dataset: Dataset[Batch]
    settings: Training
    seed: int
    run: Path
    record: Record
    fingerprint: dict[str, str]
    validate: Callable[[], dict[str, Any]]
    workers: int = 0

    def train(self, resume_from: Path | None) -> Path:
        """Run the remaining steps and return the last checkpoint.

        Every step is a function of the weights, the optimizer and (seed, step, windows), so a run that was killed
        and resumed is the run that was left alone. Raises `NonFiniteError` before weights become non-finite.
        """
        network: nn.Module = self.task.network  # type: ignore[assignment]
        optimizer = build_optimizer(self.task, network, self.settings)
        average = WeightAverage(network, self.settings) if self.settings.average != "none" else None
        step, position = self._restore(optimizer, average, resume_from) if resume_from else (0, Position())
        self.record.rewind(step)
        wrapped = self.accelerator.prepare(self.task) if trained(self.task.parameters()) else self.task
        optimizer = self.accelerator.prepare(optimizer)
        last = resume_from
        batches = load(
            self.dataset, self._passes(step, position), workers=self.workers, pin=self.accelerator.device.type == "cuda"
        )
        while step < self.settings.steps:
            began = time.perf_counter()
            windows = windows_at(step, self.settings)
            _, position = self.stream.take(position, windows)
            each = ceil(windows / self.accelerator.num_processes)
            held = [next(batches) for _ in range(ceil(each / self.settings.windows_per_pass))]
            waited = time.perf_counter() - began
            self.task.progress = step / self.settings.steps  # type: ignore[assignment]
            values = self._step(wrapped, optimizer, held, step)
            if average is not None:
                average.update(step)
            step += 1
            values |= {
                "windows": position.window,
                "epoch": position.epoch,
                "seconds": time.perf_counter() - began,
                "waited": waited,
            }
            self.record.add(step, values)
            done = step == self.settings.steps
            if done or step % max(1, self.settings.steps // 20) == 0:
                self.record.tell(
                    f"step {step}/{self.settings.steps}  loss {values['loss']:.4f}  {values['seconds']:.2f} s"
                )
            if done or step % self.settings.validate_every == 0:
                with average.used() if average is not None else nullcontext():
                    scores = self.validate()
                if scores:
                    self.record.add(step, {"validation": scores})
                    self.record.tell(f"step {step}  validation {_spoken(scores)}")
            if done or step % self.settings.checkpoint_every == 0:
                last = self._save(optimizer, average, step, position)
        if last is None:
            raise UsageError(f"{self.run}: there is nothing to train")
        return last

    def _passes(self, step: int, position: Position) -> Iterator[list[Window]]:
        """Yield the passes of this process from a step on."""
        for number in range(step, self.settings.steps):
            windows, position = self.stream.take(position, windows_at(number, self.settings))
            yield from share(
                windows,
                rank=self.accelerator.process_index,
                ranks=self.accelerator.num_processes,
                per_pass=self.settings.windows_per_pass,
            )

    def _step(
        self, wrapped: nn.Module, optimizer: torch.optim.Optimizer, held: list[Batch], step: int
    ) -> dict[str, Any]:
        """Do one step: the gradient of the sum of all losses, divided by what the whole step holds."""
        device = self.accelerator.device
        total = add_up(self.accelerator, [float(sum(self.task.count(b) for b in held))])[0]  # type: ignore[operator]
        rate = set_rates(optimizer, step, self.settings)
        reseed(self.seed, step, self.accelerator.process_index)
        wrapped.train()
        sums: dict[str, float] = {"loss": 0.0}
        for i, batch in enumerate(held):
            last_pass = i == len(held) - 1
            with nullcontext() if last_pass else self.accelerator.no_sync(wrapped):
                losses = wrapped(batch.to(device))
                # Processes average their gradients; the loss is a sum over all of them.
                scale = self.accelerator.num_processes / max(total, 1.0)
                self.accelerator.backward(losses.total * scale)
            for name, value in {"loss": losses.total, **losses.named}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
        means = dict(
            zip(sums, (s / max(total, 1.0) for s in add_up(self.accelerator, list(sums.values()))), strict=True)
        )
        norm = self.accelerator.clip_grad_norm_(trained(wrapped.parameters()), self.settings.clip_norm)
        norm = float(norm) if isinstance(norm, Tensor) else norm or 0.0
        if not (math.isfinite(means["loss"]) and math.isfinite(norm)):
            clips = sorted({int(row) for batch in held for row in batch.rows})
            raise NonFiniteError(
                f"step {step + 1}: loss {means['loss']}, gradient norm {norm}; the weights were not changed. "
                f"Process {self.accelerator.process_index} held the clips {clips[:8]} … ({len(clips)})"
            )
        optimizer.step()
        optimizer.zero_grad()
        return {**means, "lr": rate, "gradient_norm": norm}

    def _save(
        self, optimizer: torch.optim.Optimizer, average: WeightAverage | None, step: int, position: Position
    ) -> Path:
        state = checkpoint.State(step, position, self.fingerprint)
        folder = self.run / "checkpoints"
        if self.accelerator.is_main_process:
            whole = self.task.state_dict()
            used = {n.removeprefix(_NETWORK): v for n, v in whole.items() if n.startswith(_NETWORK)}
            beside = {n: v for n, v in whole.items() if average is not None or not n.startswith(_NETWORK)}
            weights = used if average is None else average.weights()
            keep = self.settings.keep_checkpoints
            checkpoint.save(folder, weights, optimizer.state_dict(), state, keep=keep, beside=beside)
        self.accelerator.wait_for_everyone()
        return folder / f"step-{step:08d}"

    def _restore(
        self, optimizer: torch.optim.Optimizer, average: WeightAverage | None, source: Path
    ) -> tuple[int, Position]:
        state, held = checkpoint.load_state(source)
        for name, value in self.fingerprint.items():
            if name != "processes" and state.fingerprint.get(name) != value:
                raise UsageError(f"{source} belongs to another {name}; use another --out, or --resume never")
        weights = checkpoint.load_weights(source)
        self.task.load_state_dict({_NETWORK + n: v for n, v in weights.items()} | checkpoint.load_beside(source))
        if average is not None:
            average.load(weights)
        optimizer.load_state_dict(held)
        self.record.tell(f"resuming after step {state.step} from {source}")
        return state.step, state.position


def _spoken(scores: dict[str, Any]) -> str:
    return "  ".join(f"{k} {v:.3f}" for k, v in scores.items() if isinstance(v, float))
