"""Stage `preference`: a student is tuned to what people preferred (Fedorov & Korobchenko, eq. 7)."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from valenza.errors import DataError, UsageError
from valenza.features.batch import SILENCE, load
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.student import Student, build_student
from valenza.objectives.sequences import PreferenceTask, wanted
from valenza.recipe import Recipe
from valenza.shards import audio
from valenza.stages.course import Course
from valenza.stages.frozen import keep
from valenza.stages.lessons import LessonDataset, Lessons, Recordings, hear_moments, one_by_one, passes_of
from valenza.stages.pairs.folder import PREFERENCES, Track, read_pairs
from valenza.stages.pairs.preferences import Preference, read_preferences
from valenza.stages.prepare import PRIOR, read_prior
from valenza.stages.trained import newest_checkpoint
from valenza.training import checkpoint
from valenza.training.peers import add_up
from valenza.training.runtime import Machine

REFERENCE = "reference.npy"
"""What the frozen reference thinks of every frame of every preference, in the run folder."""


def train(recipe: Recipe, run: Path, machine: Machine, *, resume_from: Path | None) -> Path:
    """Tune a student; returns its last checkpoint.

    The student that it starts from is the frozen reference; its log-densities are computed once and kept in the run
    folder. Raises `DataError` where there are no preferences, or of another folder of pairs.
    """
    if recipe.preference is None:
        raise UsageError("preference: a recipe of this stage says what it starts from")
    asked = read_asked(recipe.preference.pairs)
    source = newest_checkpoint(recipe.preference.source)
    digest = hashlib.sha256(f"{asked.digest} {(source / 'COMPLETE').read_text(encoding='utf-8')}".encode()).hexdigest()
    course = Course.begin(recipe, run, machine, digest)
    accelerator = machine.accelerator
    network = build_student(recipe)
    begin_with(network, source)
    task = PreferenceTask(network, recipe.objective, recipe.preference.beta).to(accelerator.device)
    if accelerator.is_main_process:
        shutil.copyfile(recipe.preference.source / PRIOR, run / PRIOR)
    seen = read_prior(recipe.preference.source) > 0
    known = np.broadcast_to(seen, (len(asked.preferences), len(EMOTIONS)))
    heard = hear_moments(network, asked.recordings, accelerator)
    plain = LessonDataset(asked.recordings, Lessons(asked.recording, asked.ways, known), heard)
    told = hashlib.sha256(f"{digest} {recipe.heads} {recipe.objective.label_smoothing}".encode()).hexdigest()
    reference = Reference(run / REFERENCE, told, asked.recordings.frames[asked.recording])
    if accelerator.is_main_process and not reference.there():
        reference.write(task, plain, recipe.training.windows_per_pass)
    accelerator.wait_for_everyone()
    weights = np.array([preference.weight for preference in asked.preferences])
    lessons = Lessons(asked.recording, asked.ways, known, reference.read(), weights)
    dataset = LessonDataset(asked.recordings, lessons, heard)
    held = asked.held_back(recipe.data.validation, recipe.seed)
    rows = np.flatnonzero(~held)
    stream = one_by_one(recipe, asked.recordings.seconds[asked.recording], {"preferences": rows}, {"preferences": 1.0})
    return course.train(
        task,
        stream=stream,
        dataset=dataset,
        validate=lambda: validate(course, task, dataset, np.flatnonzero(held).tolist()) if held.any() else {},
        resume_from=resume_from,
    )


def begin_with(network: Student, source: Path) -> None:
    """Give a network the weights of a student's checkpoint; raises `UsageError` where it is another network."""
    weights, own = checkpoint.load_weights(source), network.state_dict()
    shapes = [{name: w.shape for name, w in of.items()} for of in (weights, own)]
    other = sorted(name for name in {*weights, *own} if shapes[0].get(name) != shapes[1].get(name))
    if other:
        raise UsageError(f"preference.from: {source} is of another network than `encoder` and `heads` say: {other[0]}")
    network.load_state_dict(weights)


@dataclass(frozen=True)
class Asked:
    """The preferences of a folder of pairs, and the recordings that they are about."""

    preferences: list[Preference]
    tracks: list[Track]
    recording: Int64[np.ndarray, " preferences"]
    """Number of each one's track."""
    recordings: Recordings
    digest: str

    def ways(self, row: int) -> Float32[np.ndarray, "2 frames classes"]:
        """Return the sequence that was chosen and the one that was not."""
        preference, frames = self.preferences[row], int(self.recordings.frames[self.recording[row]])
        ways = [ranked.sequence.frames(frames) for ranked in (preference.chosen, preference.rejected)]
        return np.stack(ways).astype(np.float32)

    def held_back(self, share: float, seed: int) -> np.ndarray:
        """Return which preferences are kept for validation: those of a share of the tracks, drawn by hash."""
        order = [hashlib.sha256(f"{seed} held {track.id}".encode()).digest() for track in self.tracks]
        first = sorted(range(len(order)), key=order.__getitem__)[: int(share * len(order))]
        return np.isin(self.recording, first)


def read_asked(folder: Path) -> Asked:
    """Read a folder of pairs and its preferences; raises `DataError` naming what is wrong."""
    study, file = read_pairs(folder), folder / PREFERENCES
    if not file.is_file():
        raise UsageError(f"{folder}: has no {PREFERENCES}; `valenza pairs export {folder}` writes it")
    preferences = read_preferences(file)
    if not preferences:
        raise DataError(f"{file}: holds no preference, so there is nothing to learn")
    numbers = {name: number for number, name in enumerate(study.tracks)}
    for number, preference in enumerate(preferences, 1):
        if preference.prompt.track not in numbers:
            raise DataError(f"{file}:{number}: prompt.track: {folder} has no track {preference.prompt.track}")
    tracks = list(study.tracks.values())
    samples = np.array([round(track.seconds * audio.SAMPLE_RATE) for track in tracks], dtype=np.int64)

    def heard(number: int) -> np.ndarray:
        track = tracks[number]
        try:
            return audio.decode((folder / track.audio).read_bytes(), int(samples[number]))
        except (OSError, audio.AudioError) as error:
            raise DataError(f"{folder / track.audio}: {error}") from None

    digest = hashlib.sha256(study.digest.encode() + file.read_bytes()).hexdigest()
    marks = [f"{track.id} {hashlib.sha256((folder / track.audio).read_bytes()).hexdigest()}" for track in tracks]
    recording = np.array([numbers[preference.prompt.track] for preference in preferences])
    return Asked(preferences, tracks, recording, Recordings(samples, heard, marks), digest)


@dataclass(frozen=True)
class Reference:
    """log Dir(chosen) − log Dir(rejected) under the frozen reference, of every frame, preference after preference."""

    file: Path
    digest: str
    """Of the preferences, of the reference's weights and of what is done with both."""
    frames: Int64[np.ndarray, " preferences"]

    @property
    def mark(self) -> Path:
        """The file that tells what the values are of."""
        return self.file.with_suffix(".sha256")

    def there(self) -> bool:
        """Return whether the values of these preferences and weights have been kept."""
        return self.file.is_file() and self.mark.is_file() and self.mark.read_text(encoding="utf-8") == self.digest

    @torch.no_grad()
    def write(self, task: PreferenceTask, dataset: LessonDataset, per_pass: int) -> None:
        """Compute all values with the network as it is, and keep them."""
        task.eval()
        device = next(task.parameters()).device
        found: list[np.ndarray] = []
        passes = passes_of(range(len(self.frames)), rank=0, ranks=1, per_pass=per_pass)
        for held in load(dataset, passes, workers=0):
            batch = held.to(device)
            own = (batch.clip_of_frame != SILENCE).cpu().numpy()
            found += [row[mask] for row, mask in zip(task.preferred(batch).cpu().numpy(), own, strict=True)]
        self.mark.unlink(missing_ok=True)
        keep(self.file, np.concatenate(found))
        self.mark.write_text(self.digest, encoding="utf-8")

    def read(self) -> Any:
        """Return row → the values of its frames."""
        values, ends = np.load(self.file), np.cumsum(self.frames)

        def of_row(row: int) -> Float[np.ndarray, " frames"]:
            return np.asarray(values[ends[row] - self.frames[row] : ends[row]])

        return of_row


@torch.no_grad()
def validate(course: Course, task: PreferenceTask, dataset: LessonDataset, rows: list[int]) -> dict[str, Any]:
    """Return the loss and the implicit rewards' margin and accuracy over preferences that are not trained on."""
    accelerator, settings = course.accelerator, course.recipe.training
    rank, ranks = accelerator.process_index, accelerator.num_processes
    passes = passes_of(rows, rank=rank, ranks=ranks, per_pass=settings.windows_per_pass)
    names = ("preference", "margin", "accuracy")
    sums = np.zeros(4)
    task.eval()
    for held in course.batches(dataset, passes):
        batch = held.to(accelerator.device)
        losses = task(batch)
        sums += [*(float(losses.named[name]) for name in names), float((wanted(batch).weights * batch.counts).sum())]
    *values, weight = add_up(accelerator, sums.tolist())
    return {**{name: v / max(weight, 1e-9) for name, v in zip(names, values, strict=True)}, "preferences": len(rows)}
