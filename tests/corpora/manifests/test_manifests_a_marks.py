"""Corpora of marks: VESUS's levels and CMU-MOSEI's stretches of whole videos."""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from valenza.errors import DataError, UsageError

Make = Callable[[str], Any]

# --- VESUS -----------------------------------------------------------------------------------------------------------

KEY = (
    "File Path,Actor,Script,Emotion,Confidence,Take,Count,Labels,Levels,Agreement,Actor Dialog\n"
    '1/Angry/1.wav,1,1,1,7,1,4,"[1, 1, 0, 4]","[5, 3, 2, 4]",0.5,"It\u2019s eleven, really"\n'
    '2/Happy/1.wav,2,1,2,7,1,2,"[2, 2]","[5, 5]",1.0,Come here\n'
    '2/Sad/9.wav,2,1,3,7,1,0,"[]","[]",0.0,Nobody rated it\n'
)


class Bomb:
    """Whoever opens its pickle leaves a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("opened"),)


def test_vesus_multiplies_level_and_share(tree: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = tree("vesus")
    monkeypatch.chdir(corpus.root)
    corpus.speech("Audio/1/Angry/1.wav", "Audio/2/Happy/1.wav", "Audio/2/Sad/9.wav", "Audio/10/Monotone/1.wav")
    corpus.write("Tools/VESUS_Key.csv", KEY)
    lists = corpus.root / "Challenges" / "Leave_one_out" / "Leave_one_out_1.npy"
    lists.parent.mkdir(parents=True)
    lists.write_bytes(pickle.dumps({"train_x": Bomb()}))
    assert {s: (c.speaker, c.label, c.text) for s, c in corpus.clips().items()} == {
        "Audio/1/Angry/1.wav": ("1", "Angry", "It's eleven, really"),
        "Audio/2/Happy/1.wav": ("2", "Happy", "Come here"),
        "Audio/2/Sad/9.wav": ("2", "Sad", "Nobody rated it"),
        "Audio/10/Monotone/1.wav": ("10", "Monotone", None),
    }
    rows = corpus.scores()
    assert rows["Audio/1/Angry/1.wav"] == pytest.approx({"anger": 8 / 20, "neutral": 2 / 20, "fear": 4 / 20})
    assert rows["Audio/2/Happy/1.wav"] == {"happiness": 1.0}
    assert rows["Audio/2/Sad/9.wav"] == {"sadness": 1.0}
    assert rows["Audio/10/Monotone/1.wav"] == {"neutral": 1.0}
    assert not (corpus.root / "opened").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[5, 3, 2, 4]", "[5, 3, 2]", "VESUS_Key.csv:2: has 4 choices but 3 levels"),
        ("[1, 1, 0, 4]", "[1, 1, 0, 7]", "VESUS_Key.csv:2: choice 7 at level 4 is not 0–4 at 1–5"),
        ("[1, 1, 0, 4]", "1 1 0 4", "VESUS_Key.csv:2: cell 8 is '1 1 0 4', not a list in brackets"),
    ],
)
def test_vesus_names_bad_ratings(tree: Make, old: str, new: str, said: str) -> None:
    corpus = tree("vesus")
    corpus.speech("Audio/1/Angry/1.wav")
    corpus.write("Tools/VESUS_Key.csv", KEY.replace(old, new))
    assert said in corpus.problems()["Audio/1/Angry/1.wav"]


def test_vesus_refuses_another_table(tree: Make) -> None:
    corpus = tree("vesus")
    corpus.speech("Audio/1/Angry/1.wav")
    corpus.write("Tools/VESUS_Key.csv", KEY.replace("File Path", "Path"))
    with pytest.raises(DataError, match=r"VESUS_Key.csv:1: column 1 is not 'File Path'"):
        corpus.parse()


# --- CMU-MOSEI -------------------------------------------------------------------------------------------------------

DIMENSIONS = ["sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear"]


def store(corpus: Any, marks: dict[str, tuple[list[list[float]], list[list[float]]]]) -> None:
    with h5py.File(corpus.root / "CMU_MOSEI_Labels.csd", "w") as file:
        file["All Labels/metadata/dimension names"] = np.array([json.dumps(DIMENSIONS).encode()])
        for video, (features, intervals) in marks.items():
            file[f"All Labels/data/{video}/features"] = np.array(features, dtype=np.float32)
            file[f"All Labels/data/{video}/intervals"] = np.array(intervals, dtype=np.float64)


@pytest.fixture
def mosei(tree: Make) -> Any:
    corpus = tree("cmu_mosei")
    corpus.speech(*(f"Raw/Audio/Full/WAV_16000/{v}.wav" for v in ("-3g5yACwYnA", "a_b___c", "unmarked")), seconds=4)
    first = [[1.0, 2 / 3, 0, 0, 0, 0, 1 / 3], [0.0] * 7, [3.0, 3, 0, 0, 0, 0, 0]]
    store(
        corpus,
        {
            "-3g5yACwYnA": (first, [[-0.31, 1.5], [1.5, 2.25], [3.0, 3.0]]),
            "a_b___c": ([[-2.0, 0, 1, 2, 0, 1 / 3, 0]], [[0.5, 3.5]]),
        },
    )
    corpus.write(
        "cmu_mosei_std_folds.py",
        "#splits\nstandard_train_fold=['-3g5yACwYnA', 'x']\nstandard_valid_fold=['y']\nstandard_test_fold=['a_b___c']\n"
        "open('opened', 'w')\n",
    )
    return corpus


def test_mosei_cuts_videos_and_keeps_marks(mosei: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mosei.root)
    found = mosei.clips()
    root = "Raw/Audio/Full/WAV_16000"
    assert {n: (c.speaker, c.recording, c.split) for n, c in found.items()} == {
        f"{root}/-3g5yACwYnA.wav@0-1.5": ("-3g5yACwYnA", f"{root}/-3g5yACwYnA.wav", "train"),
        f"{root}/-3g5yACwYnA.wav@1.5-2.25": ("-3g5yACwYnA", f"{root}/-3g5yACwYnA.wav", "train"),
        f"{root}/a_b___c.wav@0.5-3.5": ("a_b___c", f"{root}/a_b___c.wav", "test"),
    }
    assert not (mosei.root / "opened").exists()
    assert mosei.parse().ignored == 1
    rows = list(mosei.scores().values())
    assert rows[0] == pytest.approx({"happiness": 2 / 9, "fear": 1 / 9}, abs=1e-6)
    assert rows[1] == {}  # neutral, which smoothing and the targets make of it
    assert rows[2] == pytest.approx({"sadness": 1 / 3, "anger": 2 / 3, "disgust": 1 / 9}, abs=1e-6)
    report = mosei.check()
    assert report.hours * 3600 == pytest.approx(1.5 + 0.75 + 3.0)
    assert [p.message for p in report.errors if p.path] == []


def test_mosei_names_bad_marks(mosei: Any) -> None:
    marks = [[0, 4, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, np.nan], [0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0]]
    store(mosei, {"a_b___c": (marks, [[0, 1], [1, 2], [2, 3], [2, 3]])})
    messages = [p.message for p in mosei.parse().problems]
    assert messages == [
        "CMU_MOSEI_Labels.csd:1: happy is 4.0, not a mark from 0 to 3",
        "CMU_MOSEI_Labels.csd:2: fear is nan, not a mark from 0 to 3",
        "CMU_MOSEI_Labels.csd:4: is there twice",
    ]


def test_mosei_refuses_other_files_and_explains_a_missing_library(mosei: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mosei.write("CMU_MOSEI_Labels.csd", "not HDF5")
    with pytest.raises(DataError, match="is not CMU-MOSEI's label file"):
        mosei.parse()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"pip install valenza\[mosei\]"):
        mosei.parse()
