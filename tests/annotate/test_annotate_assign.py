"""Who is shown what, when, and on which side."""

from collections import Counter
from collections.abc import Callable
from math import floor, sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.annotate.assign import Overlap, choose, course, draw, left_side, remaining
from valenza.stages.pairs.folder import Head, Pair, Study

ANNOTATORS = [f"a-{i:010x}" for i in range(100)]


def study(plain: int, identical: int = 0, obvious: int = 0, swapped: int = 0, seed: int = 1) -> Study:
    """A study of pairs alone, which is all that an order needs."""
    kinds = ["plain"] * plain + ["identical"] * identical + ["obvious"] * obvious + ["swapped"] * swapped
    pairs = tuple(
        Pair(
            id=f"p-{i}",
            track="t-0",
            a=f"c-{i}",
            b=f"d-{i}",
            kind=kind,
            repeats=f"p-{i - plain - identical - obvious}" if kind == "swapped" else None,
            disagreement=0.1,
        )
        for i, kind in enumerate(kinds)
    )
    return Study(Path(), Head(title="t", seed=seed, made={}), {}, {}, pairs, "digest")


def walk(made: Study, annotator: str, settled: Callable[[str, int], bool] = lambda *_: False) -> list[Pair]:
    """Every pair that an annotator is shown, where others settle some meanwhile."""
    way, seen, shown = course(made, annotator), dict[str, int](), list[Pair]()
    while True:
        wanted = {p.id for p in made.pairs if p.kind == "plain" and not settled(p.id, len(shown))}
        pair = choose(way, seen, wanted)
        if pair is None or len(shown) % 10 == 0:
            assert (pair is None) == (remaining(way, seen, wanted) == 0)
        if pair is None:
            return shown
        seen[pair.id] = len(shown)
        shown.append(pair)


def test_sides_are_balanced_over_10_000_assignments() -> None:
    made = study(100)
    sides = [left_side(made.seed, annotator, pair) for annotator in ANNOTATORS for pair in made.pairs]
    assert len(sides) == 10_000
    assert abs(sides.count("a") - 5_000) <= 3 * sqrt(10_000 / 4)
    # Nor does a pair or an annotator have a side of their own.
    by_pair = Counter(i % 100 for i, side in enumerate(sides) if side == "a")
    by_annotator = Counter(i // 100 for i, side in enumerate(sides) if side == "a")
    for count in [*by_pair.values(), *by_annotator.values()]:
        assert abs(count - 50) < 5 * sqrt(100 / 4)


def test_first_places_are_balanced() -> None:
    """Whether a pair comes early for an annotator says nothing of the side on which it stands."""
    made = study(20)
    first = Counter(course(made, f"a-{i:010x}").plain[0].id for i in range(2_000))
    assert len(first) == 20
    assert max(abs(count - 100) for count in first.values()) < 5 * sqrt(100)


def test_draws_are_even_and_fixed() -> None:
    drawn = [draw(1, "a-0", "side", f"p-{i}") for i in range(4_000)]
    assert 0 <= min(drawn) <= max(drawn) < 1
    assert abs(sum(drawn) / 4_000 - 0.5) < 4 / sqrt(12 * 4_000)
    # Fixed for good: a study that runs for weeks outlives an update of the program.
    assert draw(7, "a-0123456789", "side", "p-1") == pytest.approx(DRAWN, abs=1e-15)
    assert draw(7, "a-0123456789", "side", "p-1") != draw(8, "a-0123456789", "side", "p-1")


DRAWN = 0.021698068136079968


def test_a_repeat_is_exchanged_on_the_screen() -> None:
    made = study(30, swapped=10)
    for annotator in ANNOTATORS[:20]:
        for repeat in made.pairs[30:]:
            original = made.pairs[int(str(repeat.repeats)[2:])]
            assert left_side(1, annotator, repeat) == left_side(1, annotator, original)


@pytest.mark.parametrize("counts", [(90, 4, 3, 3), (270, 10, 10, 10), (45, 1, 1, 1), (1350, 50, 50, 50), (9, 1, 1, 1)])
def test_catch_trials_come_at_an_exact_rate(counts: tuple[int, ...]) -> None:
    made = study(*counts)
    places, catch = sum(counts), sum(counts[1:])
    for annotator in ANNOTATORS[: 8_000 // places if places < 1_000 else 1]:
        given = 0
        shown = walk(made, annotator)
        assert len(shown) == places
        for place, pair in enumerate(shown, 1):
            given += pair.kind != "plain"
            assert floor(place * catch / places) <= given <= floor(place * catch / places) + 1


def test_catch_trials_cannot_be_foreseen() -> None:
    made = study(90, 4, 3, 3)
    places = Counter(
        place % 10
        for annotator in ANNOTATORS
        for place, pair in enumerate(walk(made, annotator))
        if pair.kind != "plain"
    )
    assert set(places) == set(range(10))
    assert max(abs(count - 100) for count in places.values()) < 5 * sqrt(100)


COUNTS = st.tuples(st.integers(0, 40), st.integers(0, 5), st.integers(0, 5), st.just(0), st.integers(0, 2**32))


@given(
    counts=COUNTS, annotator=st.sampled_from(ANNOTATORS), settled=st.sets(st.integers(0, 40)), when=st.integers(0, 30)
)
@settings(max_examples=150, deadline=None)
def test_nothing_is_shown_twice(counts: tuple[int, ...], annotator: str, settled: set[int], when: int) -> None:
    made = study(*counts)
    names = {f"p-{i}" for i in settled}
    shown = walk(made, annotator, lambda pair, place: place >= when and pair in names)
    assert len({pair.id for pair in shown}) == len(shown)
    missed = {pair.id for pair in made.pairs if pair.kind == "plain"} - {pair.id for pair in shown}
    assert missed <= names


@given(
    plain=st.integers(1, 60), share=st.floats(0, 0.3), seed=st.integers(0, 2**32), annotator=st.sampled_from(ANNOTATORS)
)
@settings(max_examples=150, deadline=None)
def test_repeats_come_well_after(plain: int, share: float, seed: int, annotator: str) -> None:
    swapped = int(plain * share)
    made = study(plain, swapped, swapped, swapped, seed)
    way = course(made, annotator)
    place = {pair.id: i for i, pair in enumerate(walk(made, annotator))}
    for pair in made.pairs:
        if pair.kind == "swapped" and pair.id in place:
            assert place[pair.id] - place[str(pair.repeats)] > way.gap >= 2


@given(counts=COUNTS, stop=st.integers(0, 50), annotator=st.sampled_from(ANNOTATORS))
@settings(max_examples=100, deadline=None)
def test_a_course_that_is_resumed_is_the_same(counts: tuple[int, ...], stop: int, annotator: str) -> None:
    made = study(*counts)
    shown = walk(made, annotator)
    again = course(made, annotator)
    seen = {pair.id: place for place, pair in enumerate(shown[:stop])}
    wanted = {pair.id for pair in made.pairs}
    assert choose(again, seen, wanted) == (shown[stop] if stop < len(shown) else None)
    assert remaining(again, seen, wanted) == max(0, len(shown) - stop)


def test_overlap_asks_more_where_annotators_disagree() -> None:
    twice = Overlap(least=2, most=5)
    assert twice.wants((0, 0, 0, 0))
    assert twice.wants((1, 0, 0, 0))
    assert not twice.wants((1, 0, 0, 0), held=1)
    assert not twice.wants((2, 0, 0, 0))
    assert twice.wants((1, 1, 0, 0))
    assert not twice.wants((1, 1, 0, 0), held=1)
    assert not twice.wants((2, 1, 0, 0))
    assert twice.wants((2, 1, 1, 0))
    assert not twice.wants((2, 1, 1, 1))
    assert not Overlap(1, 1).wants((1, 0, 0, 0))
    assert Overlap(3, 3).wants((1, 0, 0, 0), held=1)
