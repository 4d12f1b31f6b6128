"""Which pairs are judged, and the catch trials among them."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.errors import UsageError
from valenza.labels.sequences import distance
from valenza.labels.taxonomy import EMOTIONS
from valenza.stages.pairs.candidates import Found
from valenza.stages.pairs.catch import catch_trials, wrong_sequence
from valenza.stages.pairs.choose import Offer, choose, offers, plain_pairs
from valenza.stages.pairs.folder import Candidate, Pair, Track

SECONDS = 3.0
few = st.sampled_from(["c-1", "c-2", "c-3", "c-4"])
offered = st.lists(
    st.builds(Offer, st.sampled_from(["t-1", "t-2", "t-3"]), few, few, st.floats(0, 0.25)), max_size=40
).map(lambda each: [Offer(o.track, f"{o.track}{o.a}", f"{o.track}{o.b}", o.disagreement) for o in each])


@given(offered, st.integers(1, 5), st.none() | st.integers(1, 12))
def test_chosen_pairs_are_different_few_and_the_most_disagreeing(
    each: list[Offer], per_track: int, pairs: int | None
) -> None:
    chosen = choose(each, per_track, pairs)
    sets = [frozenset((offer.a, offer.b)) for offer in chosen]
    assert len(set(sets)) == len(sets)
    assert all(len(both) == 2 for both in sets)
    assert max(Counter(offer.track for offer in chosen).values(), default=0) <= per_track
    assert pairs is None or len(chosen) <= pairs
    best: dict[frozenset[str], Offer] = {}
    for offer in each:
        both = frozenset((offer.a, offer.b))
        if len(both) == 2 and (both not in best or offer.disagreement > best[both].disagreement):
            best[both] = offer
    everything = choose(each, 100)
    assert len(everything) == len(best)
    for track in {offer.track for offer in chosen}:
        own = [offer.disagreement for offer in chosen if offer.track == track]
        possible = sorted((o.disagreement for o in best.values() if o.track == track), reverse=True)
        assert own == possible[: len(own)]
    assert choose(list(reversed(each)), per_track, pairs) == chosen


@given(offered, st.integers(1, 5))
def test_a_smaller_budget_is_a_beginning_and_covers_as_many_tracks_as_it_can(each: list[Offer], pairs: int) -> None:
    everything = choose(each, 100)
    chosen = choose(each, 100, pairs)
    assert chosen == everything[:pairs]
    tracks = {offer.track for offer in everything}
    assert len({offer.track for offer in chosen}) == min(pairs, len(tracks))
    rounds: Counter[str] = Counter()
    order = []
    for offer in everything:
        order.append((rounds[offer.track], -offer.disagreement))
        rounds[offer.track] += 1
    assert order == sorted(order)


def study(tracks: int, each: int = 4, seed: int = 0) -> dict[str, Found]:
    """Candidates around a truth of their track, which is an emotion at most of its strength."""
    rng = np.random.default_rng(seed)
    found = {}
    for i in range(tracks):
        track = Track(id=f"t-{i}", audio=f"audio/t-{i}.flac", seconds=SECONDS, corpus="c", language="de", speaker="s")
        found[track.id] = Found(track)
        for j in range(each):
            mixtures = rng.dirichlet(np.where(np.arange(8) == i % 8, 8, 0.2), 3)
            found[track.id].candidates.append(
                Candidate(
                    id=f"c-{i}-w{j}",
                    track=track.id,
                    source={"kind": "window"},
                    times=(0.5, 1.5, 2.5),
                    mixtures=tuple(map(tuple, mixtures.tolist())),
                )
            )
    return found


def chosen(found: dict[str, Found], per_track: int = 3) -> list[Pair]:
    return plain_pairs(choose([o for f in found.values() for o in offers(f.track, f.candidates)], per_track), 5)


def test_offers_are_all_pairs_with_their_distance() -> None:
    one = study(1)["t-0"]
    found = offers(one.track, one.candidates)
    assert [(o.a, o.b) for o in found] == [(a.id, b.id) for a, b in combinations(one.candidates, 2)]
    by_id = {candidate.id: candidate.sequence for candidate in one.candidates}
    for offer in found:
        slow = np.abs(by_id[offer.a].frames(150) - by_id[offer.b].frames(150)).mean()
        assert offer.disagreement == pytest.approx(slow)


def test_sides_are_drawn_and_do_not_change_with_the_other_pairs() -> None:
    found = study(30)
    plain = chosen(found)
    assert 20 < sum(pair.a < pair.b for pair in plain) < 70
    alone = chosen({"t-4": found["t-4"]})
    assert alone == [pair for pair in plain if pair.track == "t-4"]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.floats(0, 0.5), st.integers(0, 99))
def test_catch_trials_have_their_share_and_are_what_they_say(tracks: int, share: float, seed: int) -> None:
    found = study(tracks)
    plain = chosen(found)
    trials = catch_trials(plain, found, share, seed)
    assert catch_trials(plain, found, share, seed) == trials
    kinds = Counter(trial.pair.kind for trial in trials)
    most = 2 * tracks + len(plain) // 2
    assert len(trials) == (min(most, max(1, round(share / (1 - share) * len(plain)))) if share else 0)
    assert len({pair.id for pair in plain} | {trial.pair.id for trial in trials}) == len(plain) + len(trials)
    assert max(kinds.values(), default=0) - kinds["obvious"] <= (0 if len(trials) < 3 * tracks else 99)
    known = {pair.id: pair for pair in plain}
    candidates = {c.id: c for f in found.values() for c in f.candidates}
    for trial in trials:
        pair = trial.pair
        if pair.kind == "swapped":
            assert pair.repeats is not None
            first = known[pair.repeats]
            assert (first.a, first.b, first.track) == (pair.b, pair.a, pair.track)
            assert pair.expected is None
        elif pair.kind == "identical":
            assert (pair.a, pair.expected, pair.disagreement) == (pair.b, "tie", 0.0)
        else:
            assert trial.made is not None
            assert trial.made.source["kind"] == "catch"
            assert trial.made.sequence.problem() is None
            real = pair.a if pair.expected == "a" else pair.b
            assert {real, trial.made.id} == {pair.a, pair.b}
            assert real in candidates
            apart = distance(candidates[real].sequence, trial.made.sequence, 150)
            assert pair.disagreement == pytest.approx(apart)


def test_the_obvious_one_is_wrong_whatever_is_true() -> None:
    found = study(24, seed=3)
    trials = [t for t in catch_trials(chosen(found), found, 0.5, 1) if t.pair.kind == "obvious"]
    assert len({trial.pair.expected for trial in trials}) == 2
    for trial in trials:
        assert trial.made is not None
        true = np.eye(8)[int(trial.pair.track[2:]) % 8]
        real = next(c for c in found[trial.pair.track].candidates if c.id in (trial.pair.a, trial.pair.b))
        error = {c.id: np.abs(c.sequence.frames(150) - true).mean() for c in (real, trial.made)}
        assert error[real.id] < error[trial.made.id] - 0.05


def test_the_wrong_sequence_jumps_through_the_face_and_begins_with_what_nobody_said() -> None:
    said = np.array([0.4, 0.0, 0.3, 0.01, 0.2, 0.02, 0.0, 0.0])
    frames = wrong_sequence(said, 7.2).frames(360)
    shown = [EMOTIONS[c] for c in frames.argmax(axis=1)[::30]]
    assert shown[:6] == ["sadness", "fear", "anger", "surprise", "disgust", "happiness"] == shown[6:]
    assert (np.diff(frames.argmax(axis=1)) != 0).sum() == 11
    for true in np.eye(8):
        assert np.abs(frames - true).mean() > 0.2
    assert len(wrong_sequence(said, 0.05).times) == 2


@pytest.mark.parametrize("share", [-0.1, 0.51, float("nan")])
def test_a_share_of_catch_trials_is_at_most_a_half(share: float) -> None:
    with pytest.raises(UsageError, match="catch"):
        catch_trials([], {}, share, 1)
