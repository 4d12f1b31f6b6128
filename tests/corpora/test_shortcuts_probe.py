"""A guess from one number is as good as it should be, and what is luck is called luck."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KernelDensity

from valenza.corpora.shortcuts.audit import verdict
from valenza.corpora.shortcuts.probe import Design, design, probe
from valenza.corpora.shortcuts.speakers import oracle

SPEAKERS = [f"s{i}" for i in range(8)]


def acted(seed: int, clips: int = 400) -> tuple[np.ndarray, list[str], list[str], np.random.Generator]:
    """Clips of eight speakers in four labels, as numbers and names."""
    rng = np.random.default_rng(seed)
    said = rng.integers(0, 4, clips)
    return said, ["afhs"[i] for i in said], [SPEAKERS[i] for i in rng.integers(0, 8, clips)], rng


def densities(values: np.ndarray, who: Design) -> float:
    """The same guess, clip by clip, with scikit-learn's densities instead of a grid."""
    wide = np.std(np.clip(values, *np.percentile(values, [2, 98], axis=0)), axis=0)
    scaled = values / wide
    right = np.zeros(len(values))
    for fold in range(who.folds.max() + 1):
        test = who.folds == fold
        scores = [
            KernelDensity(bandwidth=1.0).fit(scaled[~test & (who.labels == c)]).score_samples(scaled[test])
            for c in range(len(who.natives))
        ]
        right[test] = np.argmax(scores, axis=0) == who.labels[test]
    return float(np.mean([right[who.labels == c].mean() for c in range(len(who.natives))]))


@pytest.mark.parametrize("numbers", [1, 2])
@pytest.mark.parametrize("effect", [0.7, 2.0])
def test_a_probe_is_a_parzen_classifier(numbers: int, effect: float) -> None:
    said, labels, speakers, rng = acted(3)
    values = rng.normal(effect * said[:, None], 1.0, (400, numbers))
    who = design(labels, speakers)
    found = probe(values, who)
    assert found.ua == pytest.approx(densities(values, who), abs=0.03)
    assert found.interval[0] < found.ua < found.interval[1]
    assert found.p == 1 / 200
    assert verdict(found, who.chance) == "warning"


def test_luck_is_not_accused_even_where_labels_and_sounds_cluster_by_speaker() -> None:
    accused = 0
    for seed in range(30):
        said, _, speakers, rng = acted(seed)
        numbers = np.array([int(s[1]) for s in speakers])
        favoured = rng.integers(0, 4, 8)[numbers]
        said = np.where(rng.random(400) < 0.5, favoured, said)
        loud = rng.normal(0, 2.0, 8)[numbers] + rng.normal(0, 1.0, 400)
        who = design([str(i) for i in said], speakers)
        accused += verdict(probe(loud[:, None], who), who.chance) != "ok"
    assert accused <= 1


def test_a_small_effect_is_a_notice() -> None:
    said, labels, speakers, rng = acted(5, 4000)
    who = design(labels, speakers)
    found = probe(rng.normal(0.15 * said, 1.0)[:, None], who)
    assert verdict(found, who.chance) == "notice"
    assert found.ua < 0.35


def test_rare_labels_are_recalled_by_the_fair_guess_and_not_by_the_informed_one() -> None:
    rng = np.random.default_rng(1)
    said = (rng.random(2000) < 0.1).astype(int)
    who = design([str(i) for i in said], [SPEAKERS[i] for i in rng.integers(0, 8, 2000)])
    found = probe(rng.normal(said, 1.0)[:, None], who)
    assert found.recalls[1] > 0.5
    assert found.ua > 0.6
    assert found.accuracy >= who.majority - 0.01


def test_codes_are_guessed_exactly_and_not_by_their_neighbours() -> None:
    said, labels, speakers, _ = acted(2)
    who = design(labels, speakers)
    assert probe((said * 7 % 4)[:, None].astype(float), who, alike=False).ua == 1.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(SPEAKERS[:4])), min_size=2, max_size=60))
def test_speakers_stay_whole_and_shuffles_are_made_of_speakers(clips: list[tuple[str, str]]) -> None:
    labels, speakers = [label for label, _ in clips], [speaker for _, speaker in clips]
    who = design(labels, speakers)
    spoken = {s: Counter(x for x, other in clips if other == s) for s in speakers}
    if len(spoken) > 1:
        assert all(len(set(who.folds[who.speakers == s].tolist())) == 1 for s in set(who.speakers.tolist()))
    for given_labels in who.shuffles[:5]:
        for number in set(who.speakers.tolist()):
            got = {who.natives[i] for i in given_labels[who.speakers == number]}
            assert any(got <= set(labels) for labels in spoken.values())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(SPEAKERS)), min_size=2, max_size=80))
def test_the_oracle_names_each_speakers_commonest_label(clips: list[tuple[str, str]]) -> None:
    told: dict[str, Counter[str]] = {}
    for label, speaker in clips:
        told.setdefault(speaker, Counter())[label] += 1
    slow = sum(counts.most_common(1)[0][1] for counts in told.values()) / len(clips)
    assert oracle(design(*map(list, zip(*clips, strict=True)))).accuracy == pytest.approx(slow)


def test_the_oracle_is_held_against_clips_dealt_at_random() -> None:
    _, labels, speakers, _ = acted(4)
    fair = oracle(design(labels, speakers))
    assert fair.p > 0.01
    # 8 speakers of 50 clips: the largest of four shares of 50 is .32 to .34 by luck
    assert fair.independent == pytest.approx(fair.accuracy, abs=0.03)
    assert 0.29 < fair.independent < 0.37
    alone = oracle(design(labels, [str(i) for i in range(400)]))
    assert (alone.accuracy, alone.independent, alone.p) == (1.0, 1.0, 1.0)
    tied = oracle(design(["afhs"[int(s[1]) % 4] for s in speakers], speakers))
    assert (tied.accuracy, tied.p) == (1.0, 1 / 200)
