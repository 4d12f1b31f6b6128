"""Candidate sequences of one recording, none similar to another."""

import hashlib
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int16

from valenza.errors import UsageError
from valenza.labels.sequences import FRAME_RATE, Sequence, distance
from valenza.model.network import Network
from valenza.shards.read import Reader
from valenza.stages.frozen import Listener
from valenza.stages.pairs.draws import draw_mixtures
from valenza.stages.pairs.folder import Candidate, Track
from valenza.stages.pairs.given import Given
from valenza.stages.pairs.keys import few_keys, plain_numbers
from valenza.stages.sliding import Slider, Sliding

SIMILAR = 0.01
"""Two sequences of a track are similar when their mean absolute difference, over frames and all 8 classes, is less.

At .01 they have 96 % of their shares in common, which nobody sees on a face. The errors of two sequences to any truth
differ by no more than the sequences do, so those within the simulated annotator's tie zone of .005 could only be a tie;
twice that leaves pairs that can be decided.
"""


@dataclass(frozen=True)
class Slides:
    """A network of whole clips, to be slid over recordings."""

    listener: Listener
    network: Network
    name: str
    """Of its run."""
    seen: Bool[np.ndarray, " classes"] | None = None
    """Which classes its training has seen, and it says; all where absent."""


@dataclass(frozen=True)
class Student:
    """A network of frames at one of its checkpoints, however it is built."""

    name: str
    """Of its run."""
    checkpoint: str
    alpha: Callable[[Int16[np.ndarray, " samples"]], Float[np.ndarray, "frames classes"]]
    """Returns the concentrations of every 20 ms of a recording; of a softmax head, its shares."""
    dirichlet: bool = True
    """Whether `alpha` are concentrations, from which mixtures can be drawn."""


@dataclass(frozen=True)
class Draw:
    """How candidates are drawn."""

    low: float = 0.25
    high: float = 1.25
    """Seconds between which windows and steps lie, all equally likely."""
    similar: float = SIMILAR
    tries: int = 20
    """Draws of a kind for a track at most; a track that then has too few candidates falls short."""

    def __post_init__(self) -> None:
        if not 1 / FRAME_RATE <= self.low <= self.high:
            raise UsageError(f"windows from {self.low:g} to {self.high:g} s: at least a frame of .02 s, and rising")
        if not 0 <= self.similar < 0.25:
            raise UsageError(f"similar {self.similar:g}: from 0 to .25, which is how far two sequences can be apart")


@dataclass
class Found:
    """The candidates of one track."""

    track: Track
    candidates: list[Candidate] = field(default_factory=list)
    similar: int = 0
    """How many were left out because they were similar to another."""
    short: int = 0
    """How many drawn candidates are lacking."""

    def add(self, mark: str, source: dict[str, Any], sequence: Sequence, similar: float) -> bool:
        """Take a candidate unless it is similar to one that was taken; returns whether it was."""
        times, mixtures = plain_numbers(sequence)
        name = f"c-{short_id(self.track.id)}-{mark}"
        new = Candidate(id=name, track=self.track.id, source=source, times=times, mixtures=mixtures)
        frames = self.track.frames
        if any(distance(new.sequence, other.sequence, frames) < similar for other in self.candidates):
            self.similar += 1
            return False
        self.candidates.append(new)
        return True


@dataclass(frozen=True)
class Caller:
    """Makes the candidates of tracks; what is drawn for a track depends on the seed and the track's id alone."""

    reader: Reader
    ids: Many[str]
    slide: Slides
    students: Many[Student]
    given: Given
    draw: Draw
    k: int
    samples: int
    """Of the `k` drawn candidates, so many come from the students that have a Dirichlet head, in turn."""
    seed: int

    def candidates(self, row: int, track: Track) -> Found:
        """Return the candidates of a clip: given, of checkpoints, sampled, and of windows, in this order.

        Whatever cannot be drawn anew comes first, so that draws make way for it. A student whose samples are too much
        alike leaves its places to windows.
        """
        found = Found(track)
        for number, (name, sequence) in enumerate(self.given.get(self.ids[row], ())):
            found.add(f"f{number}", {"kind": "file", "file": name}, sequence, self.draw.similar)
        audio = self.reader.audio(row) if self.students else None
        said = [] if audio is None else [(student, student.alpha(audio)) for student in self.students]
        for number, (student, alpha) in enumerate(said):
            mean = few_keys(alpha / alpha.sum(axis=1, keepdims=True))
            found.add(f"k{number}", _of("checkpoint", student), mean, self.draw.similar)
        drawn = self._sample(found, [(student, alpha) for student, alpha in said if student.dirichlet])
        found.short = self.k - drawn - self._slide(found, row, self.k - drawn)
        return found

    def _sample(self, found: Found, said: Many[tuple[Student, np.ndarray]]) -> int:
        taken = 0
        for number in range(self.draw.tries if said else 0):
            if taken == self.samples:
                break
            student, alpha = said[number % len(said)]
            mixtures = draw_mixtures(alpha, generator(self.seed, found.track.id, f"sample {number}"))
            source = {**_of("sample", student), "draw": number}
            taken += found.add(f"s{number}", source, few_keys(mixtures), self.draw.similar)
        return taken

    def _slide(self, found: Found, row: int, wanted: int) -> int:
        taken = 0
        for number, sliding in enumerate(slidings(self.seed, found.track.id, self.draw)):
            if taken == wanted:
                break
            slider = Slider(self.slide.listener, sliding)
            means = slider.means(self.reader, self.ids, [row], label="")[0]
            sequence = slider.sequence(self.slide.network, means, found.track.frames, self.slide.seen)
            source = {"kind": "window", "run": self.slide.name, "window": sliding.window, "step": sliding.step}
            taken += found.add(f"w{number}", {**source, "draw": number}, sequence, self.draw.similar)
        return taken


def slidings(seed: int, track: str, draw: Draw) -> Iterator[Sliding]:
    """Yield the windows and steps that are tried for a track, in whole frames; every network gets the same."""
    rng = generator(seed, track, "windows")
    for _ in range(draw.tries):
        window, step = (max(1, round(value * FRAME_RATE)) / FRAME_RATE for value in rng.uniform(draw.low, draw.high, 2))
        yield Sliding(window, step)


def generator(seed: int, *words: str) -> np.random.Generator:
    """Return randomness that a seed and these words fix for good."""
    digest = hashlib.sha256(repr((seed, *words)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


def short_id(track: str) -> str:
    """Return what the ids of a track's candidates and pairs begin with."""
    return hashlib.sha256(track.encode()).hexdigest()[:12]


def _of(kind: str, student: Student) -> dict[str, Any]:
    return {"kind": kind, "run": student.name, "checkpoint": student.checkpoint}
