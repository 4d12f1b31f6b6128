"""Which pair comes next for an annotator, and on which side each candidate stands."""

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from valenza.stages.pairs.folder import Pair, Study


def draw(seed: int, annotator: str, what: str, name: str) -> float:
    """Return a number in [0, 1) that these four words fix for good."""
    words = "\0".join((str(seed), annotator, what, name)).encode()
    return int.from_bytes(hashlib.blake2b(words, digest_size=7).digest()) / 2**56


def left_side(seed: int, annotator: str, pair: Pair) -> Literal["a", "b"]:
    """Return which candidate stands on the left.

    A repeat is drawn with its original, so that its exchanged candidates are exchanged on the screen too.
    """
    return "a" if draw(seed, annotator, "side", pair.repeats or pair.id) < 0.5 else "b"


@dataclass(frozen=True)
class Course:
    """The order in which an annotator meets plain pairs and catch trials, a pure function of study and annotator.

    Pairs that others have settled are passed over, so two annotators' courses never depend on who came first.
    """

    plain: tuple[Pair, ...]
    """Those that a catch trial repeats lie within the first third, so that the repeat can come well after."""
    catch: tuple[Pair, ...]
    """Repeats come late."""
    slots: tuple[int, ...]
    """Places of the catch trials: one within each of as many equal stretches, so their rate is exact and their moment
    cannot be foreseen."""

    @cached_property
    def gap(self) -> int:
        """How many places lie at least between a pair and its repeat."""
        return max(2, min(20, (len(self.plain) + len(self.catch)) // 5))

    def due(self, place: int) -> int:
        """How many catch trials belong to the places up to this one, from 0."""
        return bisect_right(self.slots, place)


def course(study: Study, annotator: str) -> Course:
    """Return the course of an annotator through a study."""

    def drawn(pair: Pair) -> float:
        return draw(study.seed, annotator, "order", pair.id)

    plain = sorted((p for p in study.pairs if p.kind == "plain"), key=drawn)
    repeated = {p.repeats for p in study.pairs if p.kind == "swapped"}
    early = [p for p in plain if p.id in repeated]
    others = [p for p in plain if p.id not in repeated]
    spare = max(0, len(plain) // 3 - len(early))
    first = sorted([*early, *others[:spare]], key=drawn)
    catch = sorted(
        (p for p in study.pairs if p.kind != "plain"),
        key=lambda p: 0.5 + drawn(p) / 2 if p.kind == "swapped" else drawn(p),
    )
    slots = tuple(_slots(study.seed, annotator, len(catch), len(study.pairs)))
    return Course((*first, *others[spare:]), tuple(catch), slots)


def _slots(seed: int, annotator: str, catch: int, places: int) -> Iterable[int]:
    for number in range(catch):
        start, end = number * places // catch, (number + 1) * places // catch
        yield start + int(draw(seed, annotator, "slot", str(number)) * (end - start))


def choose(course: Course, seen: Mapping[str, int], wanted: Collection[str]) -> Pair | None:
    """Return the pair for the next place, or nothing where all is done.

    `seen` gives the place of every pair that the annotator has had; `wanted` names the plain pairs that need a vote.
    """
    given = sum(pair.id in seen for pair in course.catch)
    if given < course.due(len(seen)):
        ready = (pair for pair in course.catch if _ready(course, pair, seen))
        if (trial := next(ready, None)) is not None:
            return trial
    return next((pair for pair in course.plain if pair.id not in seen and pair.id in wanted), None)


def remaining(course: Course, seen: Mapping[str, int], wanted: Collection[str]) -> int:
    """Return how many more pairs an annotator will be shown if nobody else votes."""
    plain = {pair.id for pair in course.plain if pair.id not in seen and pair.id in wanted}
    if not plain:  # the few trials that end a course are walked through, since a repeat may still be too near
        ahead = dict(seen)
        while (pair := choose(course, ahead, wanted)) is not None:
            ahead[pair.id] = len(ahead)
        return len(ahead) - len(seen)
    unseen = [pair for pair in course.catch if pair.id not in seen]
    catch = sum(p.kind != "swapped" or p.repeats in seen or p.repeats in plain for p in unseen)
    given = len(course.catch) - len(unseen)
    place, left = len(seen), len(plain)
    while True:
        if given < course.due(place) and catch:
            given, catch = given + 1, catch - 1
        elif left:
            left -= 1
        else:
            return place - len(seen)
        place += 1


def _ready(course: Course, pair: Pair, seen: Mapping[str, int]) -> bool:
    if pair.id in seen:
        return False
    if pair.kind != "swapped" or pair.repeats is None:
        return True
    return pair.repeats in seen and len(seen) - seen[pair.repeats] > course.gap


@dataclass(frozen=True)
class Overlap:
    """How many annotators judge a plain pair: `least` always, and up to `most` while they do not agree."""

    least: int = 1
    most: int = 3

    def wants(self, votes: Collection[int], held: int = 0) -> bool:
        """Whether a pair needs another vote; `votes` counts each answer, `held` counts those who look at it now.

        Annotators disagree where no answer has more than half of the votes.
        """
        cast = sum(votes)
        if cast + held < self.least:
            return True
        disputed = cast >= self.least and 2 * max(votes, default=0) <= cast
        return disputed and cast < self.most and not held
