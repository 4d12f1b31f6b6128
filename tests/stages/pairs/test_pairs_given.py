"""Sequences that users give: which file belongs to which clip, and what is said of a wrong one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valenza.errors import DataError, UsageError
from valenza.labels.taxonomy import EMOTIONS
from valenza.stages.pairs.given import read_given, read_sequence

HALF = [0.5, 0, 0, 0, 0, 0.5, 0, 0]
GOOD = {"times": [0.0, 1.5], "mixtures": [HALF, [0, 0, 0, 0, 0, 0, 0, 1]]}


def put(folder: Path, name: str, value: Any) -> Path:
    file = folder / name
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


def test_the_two_ways_to_say_a_sequence_are_one(tmp_path: Path) -> None:
    by_time = read_sequence(put(tmp_path, "a.json", GOOD))
    emotions = {"happiness": [0.5, 0], "anger": [0.5, 0], "neutral": [0, 1]}
    by_emotion = read_sequence(put(tmp_path, "b.json", {"times": [0, 1.5], "emotions": emotions}))
    np.testing.assert_array_equal(by_time.times, by_emotion.times)
    np.testing.assert_array_equal(by_time.mixtures, by_emotion.mixtures)


def test_a_file_belongs_to_the_longest_id_that_it_begins_with(tmp_path: Path) -> None:
    for name in ("a-1.json", "a-1-2.json", "a-1-2.mine.json", "a-1~x.json", "a-10_team.json"):
        put(tmp_path, name, GOOD)
    given = read_given(tmp_path, ["a-1", "a-1-2", "a-10", "a-2"])
    names = {clip: [name for name, _ in each] for clip, each in given.items()}
    assert names == {
        "a-1": ["a-1.json", "a-1~x.json"],
        "a-1-2": ["a-1-2.json", "a-1-2.mine.json"],
        "a-10": ["a-10_team.json"],
    }
    put(tmp_path, "a-11.json", GOOD)
    with pytest.raises(DataError, match=r"a-11\.json: its name begins with the id of no clip.*did you mean 'a-1"):
        read_given(tmp_path, ["a-1", "a-1-2", "a-10"])


def test_a_folder_without_sequences_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \.json files"):
        read_given(tmp_path, ["a"])
    with pytest.raises(UsageError, match=r"holds no \.json files"):
        read_given(tmp_path / "none", ["a"])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{", "not JSON"),
        ("[1]", "holds no object"),
        ({"times": [0]}, "give either `mixtures` or `emotions`"),
        (GOOD | {"emotions": {}}, "give either"),
        ({"mixtures": [HALF]}, "times: must be a list of numbers"),
        ({"times": [], "mixtures": []}, "times: there are none"),
        ({"times": [True, 2], "mixtures": [HALF, HALF]}, "times: must be a list of numbers"),
        ({"times": [1, 1], "mixtures": [HALF, HALF]}, "times: each must be later"),
        ({"times": [0, "1"], "mixtures": [HALF, HALF]}, "times: must be a list of numbers"),
        ('{"times": [0, NaN], "mixtures": [[], []]}', "times: a number is not finite"),
        (json.dumps({"times": [10**400], "mixtures": [HALF]}), "times: a number is not finite"),
        ({"times": [0, 1], "mixtures": [HALF]}, "mixtures: 1 rows for 2 times"),
        ({"times": [0], "mixtures": 3}, "mixtures: no list for 1 times"),
        ({"times": [0], "mixtures": [[1, 0]]}, r"mixtures.0: 2 numbers where 8 are expected"),
        ({"times": [2.5], "mixtures": [[0.5] * 8]}, "mixtures: the shares at 2.5 s sum to 4 instead of 1"),
        ({"times": [2.5], "mixtures": [[1.5, -0.5, 0, 0, 0, 0, 0, 0]]}, "the share of sadness at 2.5 s is -0.5"),
        ({"times": [0], "emotions": [1]}, "emotions: must be an object"),
        ({"times": [0], "emotions": {"angr": [1]}}, r"emotions.angr: is no emotion of ours; did you mean 'anger'"),
        ({"times": [0], "emotions": {"love": [1]}}, r"emotions.love: is no emotion of ours; they are happiness"),
        ({"times": [0], "emotions": {"anger": [1, 1]}}, r"emotions.anger: 2 numbers where 1 are expected"),
        ({"times": [0], "emotions": {"anger": [0.7]}}, "emotions: the shares at 0 s sum to 0.7"),
        (GOOD | {"classes": sorted(EMOTIONS)}, "classes: shares are read in the order happiness, sadness"),
    ],
)
def test_whatever_is_wrong_is_told_with_file_and_field(tmp_path: Path, value: Any, told: str) -> None:
    file = put(tmp_path, "clip.json", value)
    with pytest.raises(DataError, match=told) as error:
        read_sequence(file)
    assert str(error.value).startswith(f"{file}: ")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(DataError, match=r"a\.json: cannot be read"):
        read_given(tmp_path, ["a"])
