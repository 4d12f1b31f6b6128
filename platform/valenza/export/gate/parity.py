"""The gate: an exported model must say what the network says, on real recordings of many lengths and batches."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int16

from valenza.evaluation.results import finite
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.model import SHORTEST, Engine, TorchEngine
from valenza.inference.recogniser import Recogniser
from valenza.model.student import Student
from valenza.stages.once import logits
from valenza.terminal import track

SECONDS = (0.3, 1.0, 5.0, 30.0)
BATCHES = (1, 3, 8)
_TRAINED = 64
"""Recordings of each length, at most, that the network itself is asked about too, as training runs it."""
_STEPS = 8
"""Recordings of one nominal length are 8/8, 7.5/8, … of it long, so that every batch has padded rows."""

Clip = Int16[np.ndarray, " _"]


@dataclass(frozen=True)
class Limits:
    """The most by which the outputs may differ from the network's; None where any finite difference is only told."""

    logits: float | None
    probabilities: float | None
    """Of the mixtures of recordings."""
    frames: float | None
    """Of the mixtures of single frames: no mean over time evens out what single precision itself is wrong by."""
    concentration: float | None
    """Relative."""
    same_label: float
    """The least share of recordings whose likeliest emotion is the same."""
    same_frames: float
    """The least share of frames whose likeliest emotion is the same, of networks that are trained on frames."""
    network: float = 5e-4
    """Of single frames, between the recogniser that is exported and the network as training runs it."""


LIMITS = {
    "fp32": Limits(1e-4, 1e-5, 5e-4, 1e-3, 1.0, 0.999),
    "fp16": Limits(None, 0.05, None, None, 0.99, 0.99),
    "int8": Limits(None, 0.1, None, None, 0.7, 0.7),
}
"""By precision. What eight bits cost is judged by the score on real corpora (`gate.cost`): recordings here are joined
of several speakers' clips, so that mixtures are even and a label turns on little.

A frame of Whisper base is up to 3e-5 from the same in double precision, in PyTorch as in ONNX Runtime; of the millions
of frames of 1,000 recordings, the worst were 1.3e-4 apart.
"""
_TOLD = 1e-3
"""Share of a class whose logarithm is compared. Where logits are logarithms of small numbers (log(x² + 10⁻⁶) of a
Dirichlet head, log of a mean mixture), a rounding error of x grows a thousandfold as the class vanishes."""


@dataclass
class Cell:
    """What was found for recordings of one nominal length in batches of one size."""

    seconds: float
    batch: int
    recordings: int = 0
    logits: float = 0.0
    """The greatest absolute difference from the network alone."""
    probabilities: float = 0.0
    frames: float = 0.0
    concentration: float = 0.0
    same_label: int = 0
    frames_asked: int = 0
    same_frames: int = 0
    past_end: float = 0.0
    """The greatest value past a recording's end, where all is 0."""


@dataclass
class Parity:
    """The whole comparison."""

    limits: Limits
    cells: list[Cell] = field(default_factory=list)
    network: float = 0.0
    """The greatest difference in a frame's mixture between the recogniser and the network as it is trained."""
    framewise: bool = False
    """Whether the network is trained on frames."""

    @property
    def faults(self) -> list[str]:
        """What exceeds its limit, in words."""
        found = []
        if not self.network <= self.limits.network:
            found.append(f"the network as it was trained is {self.network:.2g} away, more than {self.limits.network:g}")
        for cell in self.cells:
            where = f"{cell.seconds:g} s in batches of {cell.batch}"
            for name in ("logits", "probabilities", "frames", "concentration"):
                limit, value = getattr(self.limits, name), getattr(cell, name)
                if not np.isfinite(value):
                    found.append(f"{name} hold what is no number at {where}")
                elif limit is not None and value > limit:
                    found.append(f"{name} differ by {value:.2g}, more than {limit:g}, at {where}")
            if cell.same_label < self.limits.same_label * cell.recordings:
                found.append(f"only {cell.same_label} of {cell.recordings} recordings keep their label at {where}")
            if self.framewise and cell.same_frames < self.limits.same_frames * cell.frames_asked:
                found.append(f"only {cell.same_frames} of {cell.frames_asked} frames keep their label at {where}")
            if cell.past_end != 0:
                found.append(f"frames past a recording's end hold {cell.past_end:.2g} at {where}")
        return found

    def report(self) -> dict[str, Any]:
        """Return what stands in the file beside the model."""
        return {
            "passed": not self.faults,
            "faults": self.faults,
            "limits": asdict(self.limits),
            "cells": [finite(asdict(cell)) for cell in self.cells],
            "network": finite(self.network),
            "framewise": self.framewise,
        }


def compare(
    recogniser: Recogniser,
    engine: Engine,
    clips: Sequence[Clip],
    limits: Limits,
    *,
    seconds: Sequence[float] = SECONDS,
    batches: Sequence[int] = BATCHES,
) -> Parity:
    """Ask an engine and the recogniser about these clips, cut or joined to each length, in batches of each size.

    The recogniser hears each by itself; the engine hears them padded in batches. So one comparison tells both that
    the file is the network and that padding changes nothing.
    """
    parity = Parity(limits, framewise=isinstance(recogniser.network, Student))
    torch_engine = TorchEngine(recogniser)
    told = _TOLD if recogniser.dirichlet or parity.framewise else 0.0
    for length in seconds:
        recordings = list(stretched(clips, length, recogniser.network.encoder.hearing.window_samples))
        label = f"the network on {length:g} s"
        alone = [
            torch_engine(clip[None] / np.float32(32768), np.array([len(clip)]))
            for clip in track(recordings, label, len(recordings))
        ]
        for number in range(0, len(recordings), -(-len(recordings) // _TRAINED)):
            parity.network = max(parity.network, _apart(recogniser, recordings[number], alone[number]["frames"][0]))
        for batch in batches:
            cell = Cell(length, batch)
            for start in track(range(0, len(recordings), batch), f"batches of {batch}", -(-len(recordings) // batch)):
                _ask(cell, engine, recordings[start : start + batch], alone[start : start + batch], told)
            parity.cells.append(cell)
    return parity


def stretched(clips: Sequence[Clip], seconds: float, longest: int) -> Iterator[Clip]:
    """Yield as many recordings as there are clips: each begins with its clip, and others follow up to the length."""
    for number in range(len(clips)):
        wanted = round(seconds * SAMPLE_RATE * (1 - (number % _STEPS) / (2 * _STEPS)))
        wanted = min(max(wanted, SHORTEST), longest)
        parts, total, other = [], 0, number
        while total < wanted:
            parts.append(clips[other % len(clips)])
            total, other = total + len(parts[-1]), other + 1
        yield np.concatenate(parts)[:wanted]


def _ask(
    cell: Cell, engine: Engine, clips: Sequence[Clip], alone: Sequence[dict[str, np.ndarray]], told: float
) -> None:
    lengths = np.array([len(clip) for clip in clips])
    audio = np.zeros((len(clips), lengths.max()), np.float32)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = clip / np.float32(32768)
    said = engine(audio, lengths)
    for row, each in enumerate(alone):
        wanted = {name: value[0] for name, value in each.items()}
        frames = len(wanted["frames"])
        compared = wanted["mixture"] >= told
        cell.recordings += 1
        cell.logits = max(cell.logits, _gap(said["logits"][row][compared], wanted["logits"][compared]))
        cell.probabilities = max(cell.probabilities, _gap(said["mixture"][row], wanted["mixture"]))
        cell.frames = max(cell.frames, _gap(said["frames"][row, :frames], wanted["frames"]))
        cell.same_label += int(said["mixture"][row].argmax() == wanted["mixture"].argmax())
        cell.frames_asked += frames
        cell.same_frames += int((said["frames"][row, :frames].argmax(-1) == wanted["frames"].argmax(-1)).sum())
        cell.past_end = max(cell.past_end, _gap(said["frames"][row, frames:], np.zeros(())))
        if "concentration" in wanted:
            whole = _gap(said["concentration"][row] / wanted["concentration"], np.ones(()))
            parts = _gap(said["frame_concentration"][row, :frames] / wanted["frame_concentration"], np.ones(frames))
            cell.concentration = max(cell.concentration, whole, parts)


def _gap(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the greatest difference; infinity where something is not a number."""
    apart = np.abs(np.asarray(found, np.float64) - wanted)
    return float(apart.max(initial=0.0)) if np.isfinite(apart).all() else float("inf")


@torch.inference_mode()
def _apart(recogniser: Recogniser, clip: Clip, frames: np.ndarray) -> float:
    """Return how far the recogniser's frames are from those of the network as training runs it."""
    said = torch.from_numpy(logits(recogniser.network, clip)).to(next(recogniser.parameters()).device)
    return _gap(frames, recogniser.shares(said).cpu().numpy())
