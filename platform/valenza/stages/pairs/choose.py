"""Which pairs of candidates are worth a person's time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from valenza.labels.sequences import distance
from valenza.stages.pairs.candidates import short_id
from valenza.stages.pairs.folder import Candidate, Pair, Track


@dataclass(frozen=True)
class Offer:
    """Two candidates of a track that could be compared."""

    track: str
    a: str
    b: str
    disagreement: float


def offers(track: Track, candidates: Iterable[Candidate]) -> list[Offer]:
    """Return every pair of a track's candidates."""
    found = []
    for a, b in combinations(candidates, 2):
        found.append(Offer(track.id, a.id, b.id, distance(a.sequence, b.sequence, track.frames)))
    return found


def choose(offered: Iterable[Offer], per_track: int, pairs: int | None = None) -> list[Offer]:
    """Return the pairs to be judged, those first that are most worth it.

    A vote tells most where candidates differ most. The first round takes the pair of each track that disagrees most,
    the second each track's next, up to `per_track` rounds; within a round the largest disagreement comes first, and the
    list ends after `pairs`, so that a small budget still covers many tracks. Two candidates are paired once at most,
    and none with itself.
    """
    by_track: dict[str, list[Offer]] = defaultdict(list)
    seen: set[frozenset[str]] = set()
    for offer in sorted(offered, key=lambda offer: (-offer.disagreement, offer.track, offer.a, offer.b)):
        both = frozenset((offer.a, offer.b))
        if len(both) == 2 and both not in seen:
            seen.add(both)
            by_track[offer.track].append(offer)
    rounds: list[Offer] = []
    for number in range(per_track):
        turn = [own[number] for own in by_track.values() if number < len(own)]
        rounds += sorted(turn, key=lambda offer: (-offer.disagreement, offer.track))
    return rounds[:pairs]


def plain_pairs(chosen: Iterable[Offer], seed: int) -> list[Pair]:
    """Return chosen pairs as they are stored; which candidate is a is drawn from the seed and the pair alone."""
    found = []
    for offer in chosen:
        a, b = sorted((offer.a, offer.b), key=lambda name: short_id(f"{seed} {offer.a} {offer.b} {name}"))
        found.append(Pair(id=pair_id(offer.track, a, b), track=offer.track, a=a, b=b, disagreement=offer.disagreement))
    return found


def pair_id(track: str, a: str, b: str) -> str:
    """Return the id of a pair, which changes with the side that its candidates are on and with nothing else."""
    return f"p-{short_id(track)}-{a.rpartition('-')[2]}-{b.rpartition('-')[2]}"


def by_track(pairs: Iterable[Pair]) -> Mapping[str, list[Pair]]:
    """Return pairs by track, in the order in which tracks first come."""
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(pair.track, []).append(pair)
    return found
