"""Recordings whose frames are learned: what is heard of them, once where the encoder is frozen, and what is wanted."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Float32, Int16, Int64
from torch import Tensor
from torch.utils.data import Dataset

from valenza.errors import ClipError
from valenza.features.batch import FRAME, SILENCE, Batch, Wanted
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.taxonomy import EMOTIONS
from valenza.mixture.stream import Window, WindowStream
from valenza.model.student import Student, moments
from valenza.recipe import Augment, Recipe
from valenza.shards.read import Reader
from valenza.stages.frozen import Damaged, Listener, cache, keep, of_all
from valenza.terminal import track

_LARGEST = 4 << 30
"""Bytes of what was heard that are held in memory; beyond, recordings are heard anew whenever they are learned."""
_ONE = 1e-9
"""A window that is full as soon as it holds anything: one recording."""


@dataclass(frozen=True)
class Recordings:
    """Recordings by number, whatever they are stored in."""

    samples: Int64[np.ndarray, " recordings"]
    audio: Callable[[int], Int16[np.ndarray, " samples"]]
    marks: Sequence[str]
    """Of each its id, and something that changes with its samples."""

    @property
    def frames(self) -> Int64[np.ndarray, " recordings"]:
        """How many frames each has."""
        return np.asarray(np.maximum(1, -(-self.samples // FRAME)))

    @property
    def seconds(self) -> Float[np.ndarray, " recordings"]:
        """Seconds that each takes up, in whole frames."""
        return np.asarray(self.frames * (FRAME / SAMPLE_RATE))

    def waveform(self, number: int) -> Int16[np.ndarray, " samples"]:
        """Return a recording with silence up to the end of its last frame."""
        samples = self.audio(number)
        return np.pad(samples, (0, int(self.frames[number]) * FRAME - len(samples)))

    def name(self, number: int) -> str:
        """Return a recording's id."""
        return self.marks[number].split()[0]


@dataclass(frozen=True)
class Heard:
    """What a frozen encoder says around each moment of recordings, one after the other."""

    values: Float32[np.ndarray, "moments layers both"]
    starts: Int64[np.ndarray, " bounds"]
    """Where each recording's moments begin, and where the last one's end."""
    damaged: Damaged = field(default_factory=dict)
    """Recordings that could not be heard, and why; their moments are zero."""

    def __getitem__(self, number: int) -> Float32[np.ndarray, "moments layers both"]:
        return self.values[self.starts[number] : self.starts[number + 1]]


def hear_moments(student: Student, recordings: Recordings, accelerator: Accelerator) -> Heard | None:
    """Return what a student's frozen encoder says of recordings, shared among the processes, and keep it on disk.

    Nothing where something in the encoder is trained, or where it would not fit into memory. With damaged recordings
    it is not kept.
    """
    encoder = student.encoder
    counts = np.array([moments(int(frames)) for frames in recordings.frames])
    starts = np.concatenate([[0], np.cumsum(counts)])
    shape = (int(starts[-1]), encoder.depth, 2 * encoder.width)
    size = 4 * shape[0] * shape[1] * shape[2]
    if any(p.requires_grad for p in encoder.parameters()) or size > _LARGEST:
        return None
    file = _file(student, recordings)
    kept = torch.tensor(float(file.exists()), device=accelerator.device)
    if float(accelerator.reduce(kept, "min")):
        return Heard(np.load(file), starts)
    values = np.zeros(shape, dtype=np.float32)
    own = range(accelerator.process_index, len(counts), accelerator.num_processes)
    damaged: Damaged = {}
    for number in track(own, "hearing recordings", len(own)):
        try:
            values[starts[number] : starts[number + 1]] = _hear(student, recordings.waveform(number))
        except ClipError as error:
            damaged[number] = str(error)
    if accelerator.num_processes > 1:
        moved = torch.from_numpy(values).to(accelerator.device)
        torch.distributed.all_reduce(moved)
        values = moved.cpu().numpy()
    damaged = of_all(accelerator, damaged)
    if accelerator.is_main_process and not damaged:
        keep(file, values)
    return Heard(values, starts, damaged)


@torch.inference_mode()
def _hear(student: Student, waveform: Int16[np.ndarray, " samples"]) -> Float32[np.ndarray, "moments layers both"]:
    student.eval()
    device = next(student.parameters()).device
    inputs = torch.from_numpy(waveform)[None].to(device)
    layers = student.layers(inputs, torch.zeros(1, len(waveform) // FRAME, dtype=torch.long, device=device))
    return torch.stack(layers, dim=2)[0].float().cpu().numpy()


def _file(student: Student, recordings: Recordings) -> Path:
    """Return where what was heard is kept: a name that changes with weights, samples, and how the encoder hears."""
    encoder = Listener(student.encoder, Augment())
    digest = hashlib.sha256(f"3 {encoder.digest} {student.encoder} {student.context.groups}".encode())
    for mark in recordings.marks:
        digest.update(f"{mark}\n".encode())
    return cache(f"moments-{digest.hexdigest()[:32]}.npy")


def one_by_one(recipe: Recipe, seconds: Float[np.ndarray, " rows"], rows: Mapping[str, Int64[np.ndarray, " _"]],
               weights: Mapping[str, float]) -> WindowStream:  # fmt: skip
    """Return the endless stream of windows that hold one row each."""
    longest = max(recipe.data.window_seconds, float(seconds.max()))
    return WindowStream(seconds, rows, weights, window_seconds=longest, fill=_ONE, seed=recipe.seed)


@dataclass(frozen=True)
class Lessons:
    """What is learned, row by row: of a row's recording, the mixtures that are wanted of its frames."""

    recording: Int64[np.ndarray, " rows"]
    """Number of each row's recording."""
    ways: Callable[[int], Float[np.ndarray, "ways frames classes"]]
    """Row → its sequences, at the recording's frames: the teacher's, or the one that was chosen and the one that was
    not."""
    known: Bool[np.ndarray, "rows classes"]
    reference: Callable[[int], Float[np.ndarray, " frames"]] | None = None
    weights: Float[np.ndarray, " rows"] | None = None


class LessonDataset(Dataset[Batch]):
    """Serves windows of one row each, as long as the longest of a pass."""

    def __init__(self, recordings: Recordings, lessons: Lessons, heard: Heard | None) -> None:
        self.recordings, self.lessons, self.heard = recordings, lessons, heard

    def __getitem__(self, windows: Sequence[Window]) -> Batch:
        """Return the recordings of these windows' rows with what is wanted of them.

        A row of which the recording or what is wanted is damaged is silent, and has no frame of its own.
        """
        rows = [row for window in windows for row in window.clips]
        of = [int(self.lessons.recording[row]) for row in rows]
        frames = [int(self.recordings.frames[number]) for number in of]
        damaged: Damaged = {}
        inputs = self._inputs(rows, of, max(frames), damaged)
        wanted = self._wanted(rows, frames, damaged)
        clip_of_frame = torch.full((len(rows), max(frames)), SILENCE)
        for i, row in enumerate(rows):
            if row not in damaged:
                clip_of_frame[i, : frames[i]] = i
        known = torch.from_numpy(self.lessons.known[rows])
        return Batch(
            inputs=inputs,
            clip_of_frame=clip_of_frame,
            rows=torch.tensor(rows),
            targets=torch.zeros(len(rows), known.shape[1]),
            known=known,
            counts=torch.tensor([w.real and row not in damaged for w, row in zip(windows, rows, strict=True)]),
            wanted=wanted,
            quarantined=tuple(damaged.items()),
        )

    def name(self, row: int) -> str:
        """Return the id of a row's recording."""
        return self.recordings.name(int(self.lessons.recording[row]))

    def _wanted(self, rows: Sequence[int], frames: Sequence[int], damaged: Damaged) -> Wanted:
        longest, classes = max(frames), self.lessons.known.shape[1]
        ways: list[Tensor | None] = []
        reference = torch.zeros(len(rows), longest)
        for i, row in enumerate(rows):
            try:
                ways.append(torch.from_numpy(np.asarray(self.lessons.ways(row), np.float32)))
            except ClipError as error:
                damaged[row] = str(error)
                ways.append(None)
            if self.lessons.reference is not None:
                reference[i, : frames[i]] = torch.from_numpy(self.lessons.reference(row))
        number = next((len(way) for way in ways if way is not None), 1)
        nothing = torch.zeros(number, longest, classes)
        weights = np.ones(len(rows)) if self.lessons.weights is None else self.lessons.weights[rows]
        each = [nothing if way is None else _longer(way, longest, dim=1) for way in ways]
        return Wanted(torch.stack(each), reference, torch.from_numpy(weights).float())

    def _inputs(self, rows: Sequence[int], numbers: Sequence[int], frames: int, damaged: Damaged) -> Tensor:
        if self.heard is not None:
            damaged |= {r: self.heard.damaged[n] for r, n in zip(rows, numbers, strict=True) if n in self.heard.damaged}
            return torch.stack([_longer(torch.from_numpy(self.heard[n]), moments(frames), dim=0) for n in numbers])
        waveforms = []
        for row, number in zip(rows, numbers, strict=True):
            try:
                waveforms.append(_longer(torch.from_numpy(self.recordings.waveform(number)), frames * FRAME, dim=0))
            except ClipError as error:
                damaged[row] = str(error)
                waveforms.append(torch.zeros(frames * FRAME, dtype=torch.int16))
        return torch.stack(waveforms)


def mass(reader: Reader, rows: Sequence[int]) -> Float[np.ndarray, " classes"]:
    """Return how much of each class the frame labels of clips hold; those that are damaged are left out."""
    total: Float[np.ndarray, " classes"] = np.zeros(len(EMOTIONS))
    for row in rows:
        try:
            total = total + reader.frames(row).sum(axis=0, dtype=np.float64)
        except ClipError:  # the dataset meets it too, and says so
            continue
    return total


def _longer(values: Tensor, length: int, *, dim: int) -> Tensor:
    """Return values with zeros up to a length."""
    shape = list(values.shape)
    shape[dim] = length - shape[dim]
    return torch.cat([values, values.new_zeros(shape)], dim=dim)


def passes_of(rows: Sequence[int], *, rank: int, ranks: int, per_pass: int) -> Iterator[list[Window]]:
    """Yield each row once, in windows of its own; every process as many passes, stand-ins filling the last."""
    each = -(-len(rows) // ranks)
    own = [Window((int(row),), 0, i) for i, row in enumerate(rows[rank::ranks])]
    own += [Window((int(rows[0]),), 0, 0, real=False)] * (each - len(own))
    for at in range(0, each, per_pass):
        yield own[at : at + per_pass]
