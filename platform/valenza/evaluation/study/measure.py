"""What each system of a study makes of the test tracks."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Int16, Int64

from valenza.evaluation.dynamic.intervals import Measured
from valenza.evaluation.dynamic.metrics import track_sums
from valenza.evaluation.dynamic.picture import Shown, loudness
from valenza.evaluation.dynamic.timing import race
from valenza.evaluation.study.plan import Plan
from valenza.features.batch import FRAME
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.sequences import Sequence
from valenza.model.student import Student
from valenza.recipe.dynamic import Head
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.stages.heard import sharpen
from valenza.stages.lessons import Heard, Recordings, hear_moments
from valenza.stages.once import logits, mixtures
from valenza.stages.prepare import read_prior
from valenza.stages.sliding import Sliding, slide
from valenza.stages.trained import device, load_network, load_student, newest_checkpoint, read_recipe

Said = dict[str, list[Float[np.ndarray, "frames classes"]]]
"""System → its mixtures for the tracks of a test set, at 50 Hz."""
SHARPENED = "sliding window + Dirichlet, sharpened"
NAMES: Mapping[tuple[str, Head], str] = {
    ("utterance", "cross_entropy"): "sliding window + CE",
    ("utterance", "dirichlet"): "sliding window + Dirichlet",
    ("student", "cross_entropy"): "student + CE",
    ("student", "dirichlet"): "student + Dirichlet",
}
DPO = "student + DPO"


@dataclass(frozen=True)
class TestSet:
    """The test tracks of one corpus."""

    __test__ = False
    corpus: str
    """Whose clips they are joined from."""
    language: str
    ids: list[str]
    speakers: list[str]
    reader: Reader
    recordings: Recordings

    @classmethod
    def read(cls, plan: Plan, corpus: str, name: str) -> "TestSet":
        """Read the tracks called `name`."""
        index = read_index(plan.tracks, [name])
        columns = {column: index[column].to_pylist() for column in ("id", "speaker", "language")}
        reader = Reader(plan.tracks, index)
        samples: Int64[np.ndarray, " tracks"] = index["samples"].to_numpy().astype(np.int64)
        marks = [f"{track} {reader.checksum(row)}" for row, track in enumerate(columns["id"])]
        recordings = Recordings(samples, reader.audio, marks)
        return cls(corpus, columns["language"][0], columns["id"], columns["speaker"], reader, recordings)

    @property
    def frames(self) -> list[int]:
        """How many frames each track has."""
        return [int(frames) for frames in self.recordings.frames]


def test_sets(plan: Plan) -> dict[str, list[TestSet]]:
    """Return the test tracks under the two headings of the tables: new speakers, and a new language."""
    found: dict[str, list[TestSet]] = {}
    for corpus in plan.roles["test"]:
        known = corpus in plan.settings.train
        own = TestSet.read(plan, corpus, f"{corpus}-test")
        heading = "unseen speakers of known languages" if known else f"unheard language ({own.language})"
        found.setdefault(heading, []).append(own)
    return found


def measure(plan: Plan, seed: int) -> list[Measured]:
    """Return the sums of every system of a seed on every test track, those of all β included."""
    seen = read_prior(plan.run("utterance", seed, head="dirichlet")) > 0
    found = []
    for heading, sets in test_sets(plan).items():
        for tracks in sets:
            columns = plan.columns(tracks.corpus, seen)
            truth = [tracks.reader.frames(row).astype(np.float64) for row in range(len(tracks.ids))]
            for system, said in says(plan, seed, tracks):
                for number, mixture in enumerate(said):
                    sums = track_sums(mixture, truth[number], columns)
                    speaker = f"{tracks.corpus}/{tracks.speakers[number]}"
                    found.append(Measured(system, seed, heading, tracks.ids[number], speaker, sums))
    return found


def says(plan: Plan, seed: int, tracks: TestSet) -> Iterator[tuple[str, list[Float[np.ndarray, "frames classes"]]]]:
    """Yield every system of a seed with its mixtures for these tracks."""
    for head in ("cross_entropy", "dirichlet"):
        sliding = _slid(plan, seed, head, tracks)
        yield NAMES["utterance", head], [one.frames(n) for one, n in zip(sliding, tracks.frames, strict=True)]
        if head == "dirichlet":
            yield SHARPENED, [_sharper(plan, one).frames(n) for one, n in zip(sliding, tracks.frames, strict=True)]
        yield NAMES["student", head], one_pass(plan.run("student", seed, head=head), tracks)
    for beta in plan.settings.preference.betas:
        said = one_pass(plan.run("preference", seed, beta=beta), tracks)
        yield f"β = {beta:g}", said
        if beta == plan.settings.preference.beta:
            yield DPO, said


def _sharper(plan: Plan, said: Sequence) -> Sequence:
    return replace(said, mixtures=sharpen(said.mixtures, plan.settings.teacher.temperature))


def one_pass(run: Path, tracks: TestSet) -> list[Float[np.ndarray, "frames classes"]]:
    """Return what a student says of tracks; a frozen encoder is asked once for all students that have it."""
    student, seen = load_student(read_recipe(run), newest_checkpoint(run)), read_prior(run) > 0
    heard = hear_moments(student, tracks.recordings, Accelerator())
    return [mixtures(_logits(student, tracks.recordings, heard, n), seen) for n in range(len(tracks.ids))]


@torch.inference_mode()
def _logits(
    student: Student, recordings: Recordings, heard: Heard | None, number: int
) -> Float[np.ndarray, "frames classes"]:
    device = next(student.parameters()).device
    known = recordings.waveform(number) if heard is None else heard[number]
    clip_of_frame = torch.zeros(1, int(recordings.frames[number]), dtype=torch.long, device=device)
    said = student(torch.from_numpy(known)[None].to(device), clip_of_frame)
    return np.asarray(said[0].float().cpu().numpy())


def _slid(plan: Plan, seed: int, head: Head, tracks: TestSet) -> list[Sequence]:
    run = plan.run("utterance", seed, head=head)
    network, seen = load_network(read_recipe(run), newest_checkpoint(run)), read_prior(run) > 0
    slider = slide(network, Sliding(plan.settings.teacher.window, plan.settings.teacher.step))
    rows = range(len(tracks.ids))
    means = slider.means(tracks.reader, tracks.ids, rows, label=f"{tracks.corpus}: sliding")
    return [slider.sequence(network, each, n, seen) for each, n in zip(means, tracks.frames, strict=True)]


def shown(plan: Plan, seed: int, each: int = 2) -> dict[str, list[Shown]]:
    """Return a few tracks of every heading, of as many corpora as there are, to be drawn with what systems say."""
    systems = (NAMES["utterance", "dirichlet"], NAMES["student", "dirichlet"], DPO)
    seen = read_prior(plan.run("utterance", seed, head="dirichlet")) > 0
    found: dict[str, list[Shown]] = {}
    for heading, sets in test_sets(plan).items():
        for tracks in sets[:each]:
            said = {system: mixture for system, mixture in says(plan, seed, tracks) if system in systems}
            longest = sorted(range(len(tracks.ids)), key=lambda row: -tracks.frames[row])
            for row in longest[: -(-each // min(each, len(sets)))]:
                samples = tracks.reader.audio(row)
                found.setdefault(heading, []).append(
                    Shown(
                        name=tracks.ids[row],
                        note=f"speaker {tracks.speakers[row]}",
                        loudness=loudness(samples.astype(np.float64) / 32768),
                        truth=tracks.reader.frames(row).astype(np.float64),
                        systems={system: said[system][row] for system in systems},
                        columns=tuple(plan.columns(tracks.corpus, seen)),
                        audio=tracks.reader.flac(row),
                    )
                )
    return found


def race_of(plan: Plan, seed: int) -> dict[str, Any]:
    """Time the tuned student's one pass against the batched sliding window, both from samples to mixtures."""
    settings = plan.settings.race
    samples = recording(plan, settings.seconds)
    frames = -(-len(samples) // FRAME)
    run, tuned = (
        plan.run("utterance", seed, head="dirichlet"),
        plan.run("preference", seed, beta=plan.settings.preference.beta),
    )
    network, seen = load_network(read_recipe(run), newest_checkpoint(run)), read_prior(run) > 0
    student = load_student(read_recipe(tuned), newest_checkpoint(tuned))
    slider = slide(network, Sliding(plan.settings.teacher.window, plan.settings.teacher.step))
    timing = race(
        lambda: slider.sequence(network, slider.hear(samples), frames, seen).frames(frames),
        lambda: mixtures(logits(student, samples), seen),
        rounds=settings.rounds,
    )
    told = {"window": slider.sliding.window, "step": slider.sliding.step, "threads": torch.get_num_threads()}
    return {**asdict(timing), "seconds": len(samples) / SAMPLE_RATE, **told, "device": str(device())}


def recording(plan: Plan, seconds: float) -> Int16[np.ndarray, " samples"]:
    """Return so many seconds of test tracks, one after the other."""
    parts: list[np.ndarray] = []
    wanted = round(seconds * SAMPLE_RATE)
    for tracks in (tracks for sets in test_sets(plan).values() for tracks in sets):
        for row in range(len(tracks.ids)):
            parts.append(tracks.reader.audio(row))
            if sum(map(len, parts)) >= wanted:
                return np.concatenate(parts)[:wanted]
    whole = np.concatenate(parts)
    return np.tile(whole, -(-wanted // len(whole)))[:wanted]
