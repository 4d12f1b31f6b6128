"""Preferences as files: what votes come to, read back, and what is said of a wrong line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valenza.errors import DataError
from valenza.stages.pairs.folder import Candidate, Head, Pair, Study, Track
from valenza.stages.pairs.preferences import as_lines, preferences, read_preferences


@pytest.fixture(scope="module")
def study() -> Study:
    track = Track(id="t-1", audio="audio/t-1.flac", seconds=1, corpus="c", language="de", speaker="s")
    candidates = {}
    for i in range(3):
        mixtures = tuple(map(tuple, np.random.default_rng(i).dirichlet(np.ones(8), 2).round(6).tolist()))
        candidates[f"c-{i}"] = Candidate(
            id=f"c-{i}", track="t-1", source={"kind": "file"}, times=(0.25, 0.75), mixtures=mixtures
        )
    pairs = tuple(Pair(id=f"p-{a}{b}", track="t-1", a=f"c-{a}", b=f"c-{b}", disagreement=0.1) for a, b in ("01", "02"))
    return Study(Path("study"), Head(title="t", seed=1, made={}), {"t-1": track}, candidates, pairs, "")


def test_votes_become_preferences_and_come_back_from_their_file(study: Study, tmp_path: Path) -> None:
    votes = [("p-02", "b"), ("p-01", "a"), ("p-01", "b"), ("p-01", "a"), ("p-02", "tie"), ("p-01", "cannot_tell")]
    found = preferences(study, votes)
    assert [(p.chosen.candidate, p.rejected.candidate, p.annotators) for p in found] == [
        ("c-0", "c-1", 3),
        ("c-2", "c-0", 1),
    ]
    assert [p.weight for p in found] == pytest.approx([2 / 3, 1.0])
    assert [p.weight for p in preferences(study, votes, "half")] == pytest.approx([2 / 3, 0.75])
    (tmp_path / "p.jsonl").write_text(as_lines(found))
    again = read_preferences(tmp_path / "p.jsonl")
    assert again == found
    for preference in again:
        for ranked in (preference.chosen, preference.rejected):
            expected = study.candidates[ranked.candidate].sequence.frames(50)
            np.testing.assert_array_equal(ranked.sequence.frames(50), expected)


def test_a_tie_counts_half_for_each_direction_or_not_at_all(study: Study) -> None:
    votes = [("p-01", "a"), ("p-01", "b"), ("p-02", "tie")]
    assert preferences(study, votes) == []
    found = preferences(study, votes, "half")
    ways = [(p.chosen.candidate, p.rejected.candidate) for p in found]
    assert ways == [("c-0", "c-1"), ("c-1", "c-0"), ("c-0", "c-2"), ("c-2", "c-0")]
    assert {p.weight for p in found} == {0.5}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("weight",), 0, "weight: "),
        (("weight",), 1.5, "weight: "),
        (("annotators",), -1, "annotators: "),
        (("prompt", "track"), "x", "prompt.track: "),
        (("chosen", "times"), [], "chosen.times: "),
        (("chosen", "times"), [0.5], "chosen.mixtures: 1 times and 2 mixtures"),
        (("rejected", "times"), [0.75, 0.25], "rejected.mixtures: times rise"),
        (("rejected", "mixtures"), [[0.5] * 8] * 2, "rejected.mixtures: the shares of a mixture do not sum to 1"),
        (("rejected", "mixtures"), [[1.0]] * 2, "rejected.mixtures: a mixture has 1 shares instead of 8"),
        (("rejected", "more"), 1, "rejected.more: "),
    ],
)
def test_a_wrong_line_is_told_with_file_line_and_field(
    study: Study, tmp_path: Path, path: tuple[str, ...], value: Any, told: str
) -> None:
    lines = as_lines(preferences(study, [("p-01", "a"), ("p-02", "a")])).splitlines()
    row = json.loads(lines[1])
    inner = row
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    file = tmp_path / "p.jsonl"
    file.write_text(f"{lines[0]}\n\n{json.dumps(row)}\n")
    with pytest.raises(DataError) as error:
        read_preferences(file)
    assert str(error.value).startswith(f"{file}:3: {told}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read"):
        read_preferences(tmp_path / "none.jsonl")
