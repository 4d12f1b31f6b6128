"""An annotator made of arithmetic, who prefers the sequence nearer to the truth: for tests and studies."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from valenza.errors import UsageError
from valenza.stages.pairs.folder import Pair, Study

Choice = Literal["a", "b", "tie"]
ERROR_RATE = 0.15
TIE_ZONE = 0.005
_WHOLE = 2.0**64


@dataclass(frozen=True)
class Vote:
    """An answer to a pair."""

    pair: str
    choice: Choice
    meant: Choice
    """What an annotator without errors answers."""


@dataclass(frozen=True)
class Simulation:
    """The answers of a simulated annotator to all pairs of a study."""

    annotator: str
    error_rate: float
    tie_zone: float
    seed: int
    answers: tuple[Vote, ...]

    @property
    def votes(self) -> list[dict[str, str]]:
        """The answers as the annotation page would have them, in the study's order."""
        return [{"pair": vote.pair, "choice": vote.choice} for vote in self.answers]

    @property
    def summary(self) -> dict[str, Any]:
        """How many answers are ties, and how many are not what was meant."""
        told = {name: value for name, value in asdict(self).items() if name != "answers"}
        counts = {choice: sum(vote.choice == choice for vote in self.answers) for choice in ("a", "b", "tie")}
        flips = sum(vote.choice != vote.meant for vote in self.answers)
        return {**told, "pairs": len(self.answers), **counts, "flips": flips}

    @property
    def note(self) -> str:
        """A sentence for the tables that are made from these answers."""
        return (
            f"Preferences are those of a simulated annotator, who prefers the sequence with the smaller mean absolute "
            f"error to the ground truth, says tie where the two differ by less than {self.tie_zone:g}, and errs "
            f"with probability {100 * self.error_rate:g} %."
        )


def simulate(
    study: Study,
    truth: Mapping[str, Float[np.ndarray, "frames classes"]],
    *,
    seed: int,
    error_rate: float = ERROR_RATE,
    tie_zone: float = TIE_ZONE,
    annotator: str = "a-simulated",
) -> Simulation:
    """Answer every pair of a study, catch trials like any other.

    `truth` holds the true mixtures of each track at 50 Hz, over the study's classes. The sequence with the smaller
    mean absolute error to it, over frames and all classes, is preferred; a difference under `tie_zone` is a tie. With
    probability `error_rate` an answer is wrong: the other side, or either side of a tie. What is drawn depends on seed,
    annotator and pair id alone, so order and other pairs do not matter. Raises `UsageError` for a rate outside
    0…1, a negative zone, or a track without truth of the study's classes.
    """
    if not 0 <= error_rate <= 1:
        raise UsageError(f"error rate {error_rate}: a probability lies between 0 and 1")
    if not tie_zone >= 0:
        raise UsageError(f"tie zone {tie_zone}: it cannot be negative")
    _refuse(study, truth)
    errors: dict[str, float] = {}
    for name in dict.fromkeys(name for pair in study.pairs for name in (pair.a, pair.b)):
        candidate = study.candidates[name]
        true = truth[candidate.track]
        errors[name] = float(np.abs(candidate.sequence.frames(len(true)) - true).mean())
    answers = []
    for pair in study.pairs:
        meant = _meant(errors[pair.a], errors[pair.b], tie_zone)
        answers.append(Vote(pair.id, _said(pair, meant, error_rate, seed, annotator), meant))
    return Simulation(annotator, error_rate, tie_zone, seed, tuple(answers))


def _meant(a: float, b: float, tie_zone: float) -> Choice:
    if a == b or abs(a - b) < tie_zone:
        return "tie"
    return "a" if a < b else "b"


def _said(pair: Pair, meant: Choice, error_rate: float, seed: int, annotator: str) -> Choice:
    digest = hashlib.sha256(repr((seed, annotator, pair.id)).encode()).digest()
    errs, side = (int.from_bytes(digest[i : i + 8]) / _WHOLE for i in (0, 8))
    if errs >= error_rate:
        return meant
    if meant == "tie":
        return "a" if side < 0.5 else "b"
    return "b" if meant == "a" else "a"


def _refuse(study: Study, truth: Mapping[str, np.ndarray]) -> None:
    for track in dict.fromkeys(pair.track for pair in study.pairs):
        true = truth.get(track)
        if true is None:
            raise UsageError(f"{study.folder}: track {track}: there is no ground truth of it to judge by")
        if true.ndim != 2 or true.shape[1] != len(study.classes) or not len(true):
            told = f"its ground truth has the shape {true.shape}"
            raise UsageError(f"{study.folder}: track {track}: {told} instead of frames × {len(study.classes)} classes")
