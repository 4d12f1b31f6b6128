"""Workers' answers: MSP-Podcast's `labels.txt` or `labels_detailed.csv`, and MSP-IMPROV's `Evaluation.txt`."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from valenza.corpora.rows import Row, Source
from valenza.labels.words import find

SECONDARY = 0.5
"""What a secondary emotion counts beside the primary one of the same worker."""
_SUMMARY = re.compile(r"(?P<file>\S+\.(?:wav|avi));\s*(?P<code>\w)\s*;.*")
_ANSWER = re.compile(r"(?P<worker>[\w-]+);\s*(?P<primary>[^;]*);\s*(?P<secondary>.*?);?\s*A:\s*[\d.Na]+\s*;.*")
_NOTHING = {"", "nan", "none"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one worker said of one clip."""

    worker: str
    primary: str
    secondary: tuple[str, ...]


def rows(source: Source) -> Iterator[Row]:
    """Yield `turn` (the file without extension), `code`, and how many workers chose each of the table's votes.

    The code is the consensus, which a CSV does not tell. A worker's primary emotion counts 1 and each secondary one
    `SECONDARY`, divided by their sum, so that every worker has one vote. A worker who is listed twice is a copy and
    counts once. What somebody typed, as in `Other-bored`, counts for the column of that word, in whatever form, and for
    `Other` where no column means it.
    """
    columns = _Columns(source)
    if source.path.suffix.lower() == ".csv":
        yield from _grouped(source, columns)
        return
    line, turn, code, fault = 0, "", "", ""
    answers: dict[str, Answer] = {}
    for number, text in source.lines():
        if summary := _SUMMARY.fullmatch(text.strip()):
            if turn:
                yield columns.row(line, turn, code, answers, fault)
            line, turn, code, fault, answers = number, _turn(summary["file"]), summary["code"], "", {}
        elif answer := _ANSWER.fullmatch(text.strip()):
            if not turn:
                yield Row(number, fault=f"the answer of {answer['worker']} comes before any file")
                continue
            said = Answer(answer["worker"], answer["primary"], tuple(answer["secondary"].split(",")))
            answers.setdefault(said.worker, said)
        elif text.strip():
            fault = fault or f"line {number}: {text!r} is neither a file nor a worker's answer"
            if not turn:
                yield Row(number, fault=fault)
    if turn:
        yield columns.row(line, turn, code, answers, fault)


def _turn(file: str) -> str:
    """Return the audio's name: MSP-IMPROV's evaluation names the film instead."""
    return re.sub(r"^UTD-IMPROV", "MSP-IMPROV", PurePosixPath(file).stem)


def _grouped(source: Source, columns: "_Columns") -> Iterator[Row]:
    """Yield the clips of `labels_detailed.csv`, which has one line a worker and three shapes by release."""
    found: dict[str, tuple[int, dict[str, Answer]]] = {}
    with source.path.open(encoding=source.encoding, newline="") as file:
        lines = csv.DictReader(file)
        for cells in lines:
            answer = _detail(cells)
            if answer is None:
                yield Row(lines.line_num, fault=f"{cells.get('FileName')}: tells no worker's answer")
                continue
            turn = _turn(cells["FileName"] or "")
            found.setdefault(turn, (lines.line_num, {}))[1].setdefault(answer.worker, answer)
    for turn, (line, answers) in found.items():
        yield columns.row(line, turn, "", answers, "")


def _detail(cells: Mapping[str, str | None]) -> Answer | None:
    if "EmoDetail" in cells:  # releases 1.7 to 1.12
        match = _ANSWER.fullmatch((cells["EmoDetail"] or "").strip())
        return Answer(match["worker"], match["primary"], tuple(match["secondary"].split(","))) if match else None
    worker = cells.get("WorkerID") or cells.get("Workers")  # release 2.0, release 1.6
    if not worker or not cells.get("EmoClass_Major"):
        return None
    return Answer(worker, cells["EmoClass_Major"] or "", tuple((cells.get("EmoClass_Second") or "").split(",")))


class _Columns:
    """The table's votes, and which of them each word of the workers counts for."""

    def __init__(self, source: Source) -> None:
        self.names = tuple(source.table.votes.values())
        self.by_word = {found: name for name in self.names if (found := _word(name))}
        self.seen: dict[str, str | None] = {}

    def row(self, line: int, turn: str, code: str, answers: Mapping[str, Answer], fault: str) -> Row:
        counts = dict.fromkeys(self.names, 0.0)
        for answer in answers.values():
            picks: dict[str, float] = {}
            for said, weight in ((answer.primary, 1.0), *((word, SECONDARY) for word in answer.secondary)):
                if said.strip().lower() in _NOTHING:
                    continue
                name = self.column(said.strip(), typed=weight < 1)
                if name is None:
                    fault = fault or f"{answer.worker} says {said.strip()!r}, which is none of the table's votes"
                    continue
                picks.setdefault(name, weight)
            for name, weight in picks.items():
                counts[name] += weight / sum(picks.values())
        return Row(
            line, {"turn": turn, "code": code, **{name: repr(round(count, 9)) for name, count in counts.items()}}, fault
        )

    def column(self, said: str, *, typed: bool) -> str | None:
        """Return the column of a word, `Other` for what was typed and means none, or nothing."""
        if said not in self.seen:
            self.seen[said] = self._column(said)
        return self.seen[said] or ("Other" if typed and "Other" in self.names else None)

    def _column(self, said: str) -> str | None:
        if said in self.names:
            return said
        free = re.match(r"other\b\W*", said, re.IGNORECASE)
        word = _word(said[free.end() :].strip(" ()") if free else said)
        if word in self.by_word:
            return self.by_word[word]
        return "Other" if free and "Other" in self.names else None


def _word(said: str) -> str | None:
    """Return the harmonisation table's name of a word, nothing for words that it lacks."""
    try:
        return find(said).name
    except LookupError:
        return None
