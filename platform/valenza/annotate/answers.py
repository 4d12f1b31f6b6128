"""The votes of a study, read back from its log."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from valenza.annotate.schema import Answer, Choice
from valenza.annotate.store import read_store
from valenza.stages.pairs.folder import Pair, Study

LEAST_CATCH = 0.7
"""Share of catch trials below which an annotator's votes are doubtful."""


@dataclass(frozen=True)
class Cast:
    """A vote that was accepted."""

    seq: int
    """Rises with every line of the log."""
    at: str
    id: str
    annotator: str
    number: int
    """The pair's place in the annotator's course, from 1."""
    pair: Pair
    left_side: Literal["a", "b"]
    choice: Choice
    answer: Answer
    """The choice with its side replaced by the candidate that stood there."""
    watched_left: float
    watched_right: float
    replays: int
    milliseconds: int
    undone: bool

    @property
    def chosen(self) -> str:
        """The id of the candidate that was preferred, or `tie` or `cannot_tell`."""
        return {"a": self.pair.a, "b": self.pair.b}.get(self.answer, self.answer)

    @property
    def passed(self) -> bool | None:
        """Whether a catch trial was answered as it must be; nothing where it has no such answer.

        Two identical sequences are a tie, and saying that one cannot tell them apart is as true.
        """
        if self.pair.kind == "identical":
            return self.answer in ("tie", "cannot_tell")
        if self.pair.kind == "obvious" and self.pair.expected is not None:
            return self.answer == self.pair.expected
        return None


@dataclass(frozen=True)
class Answers:
    """All votes of a study, taken back or not, in the order in which they came."""

    study: Study
    cast: tuple[Cast, ...]
    invited: tuple[str, ...]

    @property
    def standing(self) -> list[Cast]:
        """The votes that were not taken back."""
        return [vote for vote in self.cast if not vote.undone]


def read_answers(study: Study) -> Answers:
    """Return the votes of a study; raises `UsageError` where there are none yet, `DataError` where they do not fit."""
    pairs = {pair.id: pair for pair in study.pairs}
    with read_store(study.folder, study.digest) as db:
        undone = {row["undoes"] for row in db.execute("SELECT undoes FROM log WHERE undoes IS NOT NULL")}
        invited = [row["annotator"] for row in db.execute("SELECT annotator FROM log WHERE event = 'invite'")]
        cast = [
            Cast(
                seq=row["seq"],
                at=row["at"],
                id=row["id"],
                annotator=row["annotator"],
                number=row["number"] + 1,
                pair=pairs[row["pair"]],
                left_side=row["left_side"],
                choice=row["choice"],
                answer=row["answer"],
                watched_left=row["watched_left"],
                watched_right=row["watched_right"],
                replays=row["replays"],
                milliseconds=row["milliseconds"],
                undone=row["seq"] in undone,
            )
            for row in db.execute("SELECT * FROM log WHERE event = 'vote' ORDER BY seq")
        ]
    return Answers(study, tuple(cast), tuple(invited))


def catch_share(votes: Iterable[Cast]) -> tuple[int, int]:
    """Return how many catch trials were passed, of how many.

    Repeats are none of them: on pairs that are hard to tell apart, honest people change their mind.
    """
    told = [vote.passed for vote in votes if vote.passed is not None]
    return sum(told), len(told)


def doubtful(votes: Collection[Cast], least: float = LEAST_CATCH) -> list[str]:
    """Return the annotators who passed less than this share of their catch trials, of which they had at least one."""
    found = []
    for annotator in sorted({vote.annotator for vote in votes}):
        passed, asked = catch_share(vote for vote in votes if vote.annotator == annotator)
        if asked and passed / asked < least:
            found.append(annotator)
    return found


def repeats(votes: Collection[Cast]) -> tuple[int, int]:
    """Return how many exchanged repeats were answered as their originals by the same annotator, of how many."""
    first: dict[tuple[str, str | None], str] = {(vote.annotator, vote.pair.id): vote.chosen for vote in votes}
    again = [
        (first[original], vote.chosen)
        for vote in votes
        if vote.pair.kind == "swapped" and (original := (vote.annotator, vote.pair.repeats)) in first
    ]
    return sum(one == other for one, other in again), len(again)
