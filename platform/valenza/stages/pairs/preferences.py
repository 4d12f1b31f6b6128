"""What people prefer of each pair: what votes come to, and what preference training reads."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat

from valenza.config import Settings
from valenza.errors import DataError
from valenza.labels.sequences import Sequence
from valenza.stages.pairs.folder import Candidate, Id, Pair, Study, read_lines

Ties = Literal["drop", "half"]


class Prompt(Settings):
    """The recording that was judged; `audio` is a path in the folder of pairs."""

    track: Id
    audio: str


class Ranked(Settings):
    """A candidate that was judged."""

    candidate: Id
    times: tuple[float, ...] = Field(min_length=1)
    mixtures: tuple[tuple[float, ...], ...] = Field(min_length=1)

    @cached_property
    def sequence(self) -> Sequence:
        """The mixtures over time."""
        return Sequence.of(self.times, self.mixtures)


class Preference(Settings):
    """Of two sequences for a recording, the one that more annotators prefer."""

    prompt: Prompt
    chosen: Ranked
    rejected: Ranked
    weight: Annotated[PositiveFloat, Field(le=1)]
    """The share of the votes that count which `chosen` has."""
    annotators: NonNegativeInt
    """How many votes count."""


def preferences(study: Study, votes: Iterable[tuple[str, str]], ties: Ties = "drop") -> list[Preference]:
    """Return a preference for each pair that has a majority, in the order of the pairs' ids.

    `votes` are pair id and `a`, `b`, `tie` or `cannot_tell`. `weight` is the majority's share. With `half`, a tie
    counts half for each side, and a pair without a majority is there in both directions with weight 0.5 each; with
    `drop` neither counts. Who cannot tell is never counted.
    """
    tally: dict[str, Counter[str]] = defaultdict(Counter)
    for name, answer in votes:
        tally[name][answer] += 1
    by_id = {pair.id: pair for pair in study.pairs}
    found = []
    for name in sorted(tally):
        count, pair = tally[name], by_id[name]
        half = count["tie"] / 2 if ties == "half" else 0.0
        a, b = count["a"] + half, count["b"] + half
        directions = [(pair.a, pair.b, a), (pair.b, pair.a, b)]
        if a != b:
            directions = [max(directions, key=lambda way: way[2])]
        elif ties == "drop" or not a:
            continue
        for chosen, rejected, share in directions:
            found.append(_preference(study, pair, chosen, rejected, share / (a + b), round(a + b)))
    return found


def read_preferences(file: Path) -> list[Preference]:
    """Read what `preferences` came to; raises `DataError` that names file, line and field of whatever is wrong."""
    found = []
    for number, preference in read_lines(Preference, file):
        for side, ranked in (("chosen", preference.chosen), ("rejected", preference.rejected)):
            try:
                why = ranked.sequence.problem()
            except ValueError as error:
                why = str(error)
            if why is not None:
                raise DataError(f"{file}:{number}: {side}.mixtures: {why}")
        found.append(preference)
    return found


def as_lines(rows: Iterable[Any]) -> str:
    """Return JSON lines, of models or plain values."""
    plain = (row.model_dump() if isinstance(row, Settings) else row for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in plain)


def ranked(candidate: Candidate) -> Ranked:
    """Return a candidate as preferences hold it."""
    return Ranked(candidate=candidate.id, times=candidate.times, mixtures=candidate.mixtures)


def _preference(study: Study, pair: Pair, chosen: str, rejected: str, weight: float, annotators: int) -> Preference:
    return Preference(
        prompt=Prompt(track=pair.track, audio=study.tracks[pair.track].audio),
        chosen=ranked(study.candidates[chosen]),
        rejected=ranked(study.candidates[rejected]),
        weight=weight,
        annotators=annotators,
    )
