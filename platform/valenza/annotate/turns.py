"""An annotator's turns: the pair before them, their vote on it, and taking it back."""

import sqlite3
import statistics
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from valenza.annotate.assign import Course, Overlap, choose, course, left_side, remaining
from valenza.annotate.invites import Names
from valenza.annotate.schema import Accepted, Answer, Choice, Undo, Undone, Vote
from valenza.annotate.store import Store, write
from valenza.stages.pairs.folder import Pair, Study
from valenza.web.guard import RefusedError

HOLD = 1_800.0
"""Seconds for which a pair that an annotator looks at counts as theirs, so that nobody else is asked meanwhile."""
_PACE = 20  # votes that tell how fast an annotator is


@dataclass(frozen=True)
class Turn:
    """A pair as an annotator sees it."""

    pair: Pair
    number: int
    """From 1."""
    left_side: Literal["a", "b"]


@dataclass(frozen=True)
class Standing:
    """How far an annotator has come."""

    done: int
    total: int
    seconds_left: float | None


class Turns:
    """What the annotators of a study are shown and say; each method is one change of the log."""

    def __init__(self, study: Study, store: Store, names: Names, overlap: Overlap) -> None:
        self._study = study
        self._store = store
        self._names = names
        self._overlap = overlap
        self._pairs = {pair.id: pair for pair in study.pairs}

        @lru_cache(256)
        def course_of(annotator: str) -> Course:
            return course(study, annotator)

        self._course = course_of

    def next(self, annotator: str) -> Turn | None:
        """Return the pair that an annotator is to judge, the same one until they have; nothing where all is done."""
        with self._store.reading() as db:
            if (turn := self._open(db, annotator)) is not None:
                return turn
        with self._store.writing() as db:
            # Asked again: another tab of the same annotator may have come first.
            if (turn := self._open(db, annotator)) is not None:
                return turn
            seen = _seen(db, annotator)
            pair = choose(self._course(annotator), seen, self._wanted(db, annotator))
            if pair is None:
                return None
            number = len(seen)
            db.execute(
                "INSERT INTO turns (annotator, number, pair, since) VALUES (?, ?, ?, ?)",
                (annotator, number, pair.id, time.time()),
            )
            side = left_side(self._study.seed, annotator, pair)
            write(db, "show", annotator=annotator, number=number, pair=pair.id, left_side=side)
            return Turn(pair, number + 1, side)

    def vote(self, annotator: str, vote: Vote) -> Accepted:
        """Store a vote on the pair before the annotator; the same vote sent again is answered again, not stored.

        Raises `RefusedError` where the pair is not before them or the vote's id is another's.
        """
        with self._store.writing() as db:
            if (earlier := _earlier(db, annotator, "vote", vote.id)) is not None:
                same = (self._names.pair(annotator, earlier["pair"]), earlier["choice"]) == (vote.pair, vote.choice)
                if not same:
                    raise RefusedError(409, "this vote's id belongs to another vote")
                return Accepted(done=earlier["done"], total=earlier["total"])
            turn = self._open(db, annotator)
            if turn is None or self._names.pair(annotator, turn.pair.id) != vote.pair:
                raise RefusedError(409, "this is not the pair that you are to judge now")
            answer, here = _answer(vote.choice, turn.left_side), (annotator, turn.number - 1)
            db.execute(
                "UPDATE turns SET answer = ?, milliseconds = ? WHERE annotator = ? AND number = ?",
                (answer, vote.milliseconds, *here),
            )
            standing = self._standing(db, annotator)
            seq = write(
                db,
                "vote",
                annotator=annotator,
                id=vote.id,
                number=turn.number - 1,
                pair=turn.pair.id,
                left_side=turn.left_side,
                choice=vote.choice,
                answer=answer,
                watched_left=vote.watched.left,
                watched_right=vote.watched.right,
                replays=vote.replays,
                milliseconds=vote.milliseconds,
                done=standing.done,
                total=standing.total,
            )
            db.execute("UPDATE turns SET vote = ? WHERE annotator = ? AND number = ?", (seq, *here))
        return Accepted(done=standing.done, total=standing.total)

    def undo(self, annotator: str, undo: Undo) -> Undone:
        """Take the last vote back, so that its pair is before the annotator again.

        The same request sent again is answered again. Raises `RefusedError` where its id is another's.
        """
        with self._store.writing() as db:
            if (earlier := _earlier(db, annotator, "undo", undo.id)) is not None:
                return Undone(undone=earlier["undoes"] is not None, done=earlier["done"], total=earlier["total"])
            last = db.execute(
                "SELECT number, pair, vote FROM turns WHERE annotator = ? AND vote IS NOT NULL "
                "ORDER BY number DESC LIMIT 1",
                (annotator,),
            ).fetchone()
            if last is not None:
                db.execute(
                    "UPDATE turns SET answer = NULL, vote = NULL, milliseconds = NULL, since = ? "
                    "WHERE annotator = ? AND number = ?",
                    (time.time(), annotator, last["number"]),
                )
            standing = self._standing(db, annotator)
            taken = {} if last is None else {"number": last["number"], "pair": last["pair"], "undoes": last["vote"]}
            write(db, "undo", annotator=annotator, id=undo.id, done=standing.done, total=standing.total, **taken)
        return Undone(undone=last is not None, done=standing.done, total=standing.total)

    def standing(self, annotator: str) -> Standing:
        """Return how far an annotator has come and how long the rest will take at their pace."""
        with self._store.reading() as db:
            return self._standing(db, annotator)

    def _standing(self, db: sqlite3.Connection, annotator: str) -> Standing:
        seen = _seen(db, annotator)
        rows = db.execute(
            "SELECT milliseconds FROM turns WHERE annotator = ? AND answer IS NOT NULL ORDER BY number DESC",
            (annotator,),
        ).fetchall()
        done = len(rows)
        more = remaining(self._course(annotator), seen, self._wanted(db, annotator))
        total = len(seen) + more
        pace = [row["milliseconds"] / 1000 for row in rows[:_PACE]]
        return Standing(done, total, statistics.median(pace) * (total - done) if pace else None)

    def _open(self, db: sqlite3.Connection, annotator: str) -> Turn | None:
        row = db.execute(
            "SELECT number, pair FROM turns WHERE annotator = ? AND answer IS NULL ORDER BY number LIMIT 1",
            (annotator,),
        ).fetchone()
        if row is None:
            return None
        pair = self._pairs[row["pair"]]
        return Turn(pair, row["number"] + 1, left_side(self._study.seed, annotator, pair))

    def _wanted(self, db: sqlite3.Connection, annotator: str) -> set[str]:
        """Return the plain pairs that need another vote, those aside that someone else looks at."""
        rows = db.execute(
            "SELECT pair, SUM(answer = 'a'), SUM(answer = 'b'), SUM(answer = 'tie'), SUM(answer = 'cannot_tell'), "
            "SUM(answer IS NULL AND since > ? AND annotator <> ?) FROM turns GROUP BY pair",
            (time.time() - HOLD, annotator),
        )
        tally = {pair: ((a or 0, b or 0, tie or 0, cannot or 0), held) for pair, a, b, tie, cannot, held in rows}
        plain = (pair.id for pair in self._study.pairs if pair.kind == "plain")
        return {pair for pair in plain if self._overlap.wants(*tally.get(pair, ((), 0)))}


def _seen(db: sqlite3.Connection, annotator: str) -> dict[str, int]:
    rows = db.execute("SELECT pair, number FROM turns WHERE annotator = ?", (annotator,))
    return {row["pair"]: row["number"] for row in rows}


def _earlier(db: sqlite3.Connection, annotator: str, event: str, name: str) -> sqlite3.Row | None:
    """Return what an id already stands for; raises `RefusedError` where that is something else."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM log WHERE id = ?", (name,)).fetchone()
    if row is not None and (row["annotator"], row["event"]) != (annotator, event):
        raise RefusedError(409, "this id belongs to another request")
    return row


def _answer(choice: Choice, left: Literal["a", "b"]) -> Answer:
    if choice == "left":
        return left
    if choice == "right":
        return "b" if left == "a" else "a"
    return choice
