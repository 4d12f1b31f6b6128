"""Catch trials: pairs whose answer says something of the annotator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
from jaxtyping import Float64

from valenza.errors import UsageError
from valenza.labels.sequences import FRAME_RATE, distance
from valenza.labels.sequences import Sequence as Mixtures
from valenza.labels.taxonomy import EMOTIONS, POSITION
from valenza.stages.pairs.candidates import Found, short_id
from valenza.stages.pairs.choose import pair_id
from valenza.stages.pairs.folder import Candidate, Pair
from valenza.stages.pairs.keys import plain_numbers

_FACES = [POSITION[emotion] for emotion in EMOTIONS if emotion not in ("other", "neutral")]
"""The classes that a face shows."""
_HELD, _TURN = 0.6, 0.1
"""Seconds from one emotion to the next in a sequence that is wrong, and those of the way between them."""


@dataclass(frozen=True)
class Trial:
    """A catch trial, and the candidate that was made for it."""

    pair: Pair
    made: Candidate | None = None


def catch_trials(plain: Sequence[Pair], found: Mapping[str, Found], share: float, seed: int) -> list[Trial]:
    """Return catch trials such that they are this share of all pairs, at least one, the kinds by turns.

    `obvious` shows a track's most typical candidate against one that jumps from emotion to emotion; the tracks where
    these two differ most come first. `identical` shows one candidate twice. `swapped` repeats one of the first
    half of the plain pairs with a and b exchanged: those differ most, and on others honest people change their mind.
    Trials are of tracks that have a plain pair too, each kind at most once for a track or pair, so there may be fewer.
    Raises `UsageError` for a share outside 0…0.5.
    """
    if not 0 <= share <= 0.5:
        raise UsageError(f"catch {share:g}: a share of all pairs, from 0 to .5")
    if not share or not plain:
        return []
    tracks = list(dict.fromkeys(pair.track for pair in plain))
    drawn = sorted(tracks, key=lambda track: short_id(f"{seed} identical {track}"))
    repeats = sorted(plain[: len(plain) // 2], key=lambda pair: short_id(f"{seed} swapped {pair.id}"))
    queues = (
        sorted((obvious(found[track], seed) for track in tracks), key=lambda t: (-t.pair.disagreement, t.pair.id)),
        [identical(found[track], seed) for track in drawn],
        [Trial(_swapped(pair)) for pair in repeats],
    )
    count = max(1, round(share / (1 - share) * len(plain)))
    return [trial for trial in chain.from_iterable(zip_longest(*queues)) if trial is not None][:count]


def identical(found: Found, seed: int) -> Trial:
    """Return a trial with the same candidate on both sides, which is a tie."""
    same = min(found.candidates, key=lambda candidate: short_id(f"{seed} identical {candidate.id}")).id
    name, track = pair_id(found.track.id, same, same), found.track.id
    return Trial(Pair(id=name, track=track, a=same, b=same, kind="identical", expected="tie", disagreement=0.0))


def obvious(found: Found, seed: int) -> Trial:
    """Return a trial of the candidate that is nearest to all others against a sequence that is wrong for anyone.

    The pair's disagreement is what tells the two sides apart.
    """
    track, frames = found.track, found.track.frames
    typical = min(
        found.candidates, key=lambda one: sum(distance(one.sequence, c.sequence, frames) for c in found.candidates)
    )
    said = np.mean([candidate.sequence.frames(frames).mean(axis=0) for candidate in found.candidates], axis=0)
    times, mixtures = plain_numbers(wrong_sequence(said, frames / FRAME_RATE))
    name = f"c-{short_id(track.id)}-x0"
    made = Candidate(
        id=name,
        track=track.id,
        source={"kind": "catch", "of": typical.id},
        times=times,
        mixtures=mixtures,
    )
    first = short_id(f"{seed} obvious {track.id}")[0] < "8"
    a, b = (typical.id, name) if first else (name, typical.id)
    pair = Pair(
        id=pair_id(track.id, a, b),
        track=track.id,
        a=a,
        b=b,
        kind="obvious",
        expected="a" if first else "b",
        disagreement=distance(typical.sequence, made.sequence, frames),
    )
    return Trial(pair, made)


def wrong_sequence(said: Float64[np.ndarray, " classes"], seconds: float) -> Mixtures:
    """Return a sequence that jumps through all emotions of the face at full strength, the least `said` first.

    No voice does that, and whatever is true, it is right a sixth of the time where a recording is long enough for all:
    so it is wrong even where the candidates are too.
    """
    least = sorted(_FACES, key=lambda column: said[column])
    times: list[float] = []
    rows: list[int] = []
    for number, start in enumerate(np.arange(0, seconds, _HELD)):
        times += [float(start), float(start + _HELD - _TURN)]
        rows += [least[number % len(least)]] * 2
    return Mixtures(np.asarray(times), np.eye(len(EMOTIONS))[rows])


def _swapped(pair: Pair) -> Pair:
    return Pair(
        id=pair_id(pair.track, pair.b, pair.a),
        track=pair.track,
        a=pair.b,
        b=pair.a,
        kind="swapped",
        repeats=pair.id,
        disagreement=pair.disagreement,
    )
