"""Corpora whose annotators are counted by readers: CREMA-D, IEMOCAP, MSP-Podcast, MSP-IMPROV."""

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[[str], Any]

# --- CREMA-D ---------------------------------------------------------------------------------------------------------

EMOTIONS_OF_CREMA = ("Emo", "Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad")
VOTES = ",".join(
    ['""', *(f'"{c}"' for c in ("A", "D", "F", "H", "N", "S", "fileName", "numResponses", "agreement", "emoVote"))]
    + [f'"mean{e}Resp{n}"' for n in ("", "Norm") for e in EMOTIONS_OF_CREMA]
)  # fmt: skip


def votes(number: int, name: str, counts: tuple[int, ...], winner: str, means: tuple[float, ...]) -> str:
    total = sum(counts)
    said = [number, *counts, f'"{name}"', total, max(counts) / total, f'"{winner}"', 50.0, *means, *[0.5] * 7]
    return ",".join(map(str, said))


@pytest.fixture
def crema(tree: Make) -> Any:
    corpus = tree("crema_d")
    corpus.speech(
        "AudioWAV/1001_IEO_ANG_HI.wav", "AudioWAV/1002_DFA_NEU_XX.wav", "AudioWAV/1076_MTI_SAD_XX.wav", seconds=0.3
    )
    lines = [
        VOTES,
        votes(100001, "1001_IEO_ANG_HI", (6, 2, 0, 0, 2, 0), "A", (80, 60, -1, -1, 50, -1)),
        votes(200001, "1001_IEO_ANG_HI", (10, 0, 0, 0, 0, 0), "A", (99, -1, -1, -1, -1, -1)),
        votes(300001, "1001_IEO_ANG_HI", (10, 0, 0, 0, 0, 0), "A", (99, -1, -1, -1, -1, -1)),
        votes(100002, "1002_DFA_NEU_XX", (0, 0, 2, 0, 2, 0), "F:N", (-1, -1, 40, -1, 70, -1)),
        votes(100003, "1076_MTI_SAD_XX", (0, 0, 0, 0, 4, 0), "N", (-1, -1, -1, -1, 70, -1)),
    ]
    corpus.write("processedResults/tabulatedVotes.csv", "\n".join(lines) + "\n")
    corpus.write(
        "VideoDemographics.csv",
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,Caucasian,Not Hispanic\n",
    )
    return corpus


def test_crema_d_scores_what_was_heard_in_the_voice(crema: Any) -> None:
    found = crema.clips()
    assert [(c.speaker, c.gender, c.label, c.intensity) for c in found.values()] == [
        ("1001", "M", "ANG", "HI"),
        ("1002", "F", "NEU", "XX"),
    ]
    assert crema.parse().ignored == 1
    rows = crema.scores()
    assert rows["AudioWAV/1001_IEO_ANG_HI.wav"] == pytest.approx(
        {"anger": 6 / 10 * 0.8, "disgust": 2 / 10 * 0.6, "neutral": 2 / 10 * 0.5}
    )
    assert rows["AudioWAV/1002_DFA_NEU_XX.wav"] == pytest.approx({"fear": 0.5 * 0.4, "neutral": 0.5 * 0.7})


def test_crema_d_names_bad_votes(crema: Any) -> None:
    path = crema.root / "processedResults" / "tabulatedVotes.csv"
    text = path.read_text().replace("100001,6,", "100001,many,").replace("100002,0,0,2", "100002,0,0,9")
    path.write_text(text + "x,y\n")
    found = crema.problems()
    assert "tabulatedVotes.csv:2: cannot be read: could not convert" in found["AudioWAV/1001_IEO_ANG_HI.wav"]
    assert "tabulatedVotes.csv:5: cannot be read: F is 9 of 4 raters" in found["AudioWAV/1002_DFA_NEU_XX.wav"]
    crema.speech("AudioWAV/1003_DFA_NEU_XX.wav")
    assert "has no row with file = '1003_DFA_NEU_XX'" in crema.problems()["AudioWAV/1003_DFA_NEU_XX.wav"]


# --- IEMOCAP ---------------------------------------------------------------------------------------------------------

EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral state;\t()
C-E4:\tAnger; Frustration;\t(a bit annoyed; both)
C-F1:\tSadness;\t()
A-E3:\tval 3; act 2; dom  2;\t()
A-F1:\tval 3; act 2; dom  1;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M001\txxx\t[2.5000, 2.0000, 2.5000]
C-E2:\tSurprise;\t()
C-E3:\tExcited;\t()
C-E4:\tOther;\t(sarcastic)
C-M1:\tAnger;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[12.1000 - 13.0000]\tSes01F_impro01_FXX2\tsad\t[2.0000, 2.0000, 2.0000]
C-F1:\tSadness;\t()
"""
SPOKEN = """Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
F: [laughter]
Ses01F_impro01_M001 [010.0100-011.3925]: Do you have your forms?
"""


@pytest.fixture
def iemocap(tree: Make) -> Any:
    corpus = tree("iemocap")
    folder = "Session1/sentences/wav/Ses01F_impro01"
    corpus.speech(*(f"{folder}/Ses01F_impro01_{turn}.wav" for turn in ("F000", "M001", "FXX2")))
    (corpus.root / folder / "._Ses01F_impro01_F000.wav").write_bytes(b"\0\5\x16\7Mac OS X")
    corpus.write("Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", EVALUATION)
    corpus.write("Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt", "\0\5\x16\7Mac OS X", "latin-1")
    corpus.write("Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e2_cat.txt", "not read")
    corpus.write("Session1/dialog/transcriptions/Ses01F_impro01.txt", SPOKEN)
    return corpus


def test_iemocap_speaks_with_the_last_letter_and_leaves_out_self_reports(iemocap: Any) -> None:
    found = {source.rsplit("_", 1)[1]: clip for source, clip in iemocap.clips().items()}
    assert {turn: (c.speaker, c.gender, c.label) for turn, c in found.items()} == {
        "F000.wav": ("1F", "F", "neu"),
        "M001.wav": ("1M", "M", "xxx"),
        "FXX2.wav": ("1F", "F", "sad"),
    }
    assert {c.recording for c in found.values()} == {"Ses01F_impro01"}
    assert {c.split for c in found.values()} == {"train"}
    assert [found[turn].text for turn in ("F000.wav", "M001.wav", "FXX2.wav")] == [
        "Excuse me.",
        "Do you have your forms?",
        None,
    ]
    rows = {source.rsplit("_", 1)[1]: row for source, row in iemocap.scores().items()}
    # two of three raters neutral; the third shares one vote between anger and frustration (.7 anger, .3 sadness)
    assert rows["F000.wav"] == pytest.approx({"neutral": 2 / 3, "anger": (0.5 + 0.35) / 3, "sadness": 0.15 / 3})
    # excitement is .8 happiness and .2 surprise
    assert rows["M001.wav"] == pytest.approx({"surprise": 1.2 / 3, "happiness": 0.8 / 3, "other": 1 / 3})
    # only the actress herself judged this one, so the consensus has to do
    assert rows["FXX2.wav"] == {"sadness": 1.0}


def test_iemocap_names_bad_lines(iemocap: Any) -> None:
    path = iemocap.root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    text = EVALUATION.replace("Surprise;", "Suprise;").replace("[12.1000 - 13.0000]\tSes", "[12.1000 to 13.0000]\tSes")
    path.write_text(text)
    found = iemocap.problems()
    name = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    assert (
        f"{name}:11: line 12: the rater's word 'Suprise' is not one of"
        in found["Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M001.wav"]
    )
    assert "line 18: '[12.1000 to 13.0000]" in found[name]
    assert "has no row" in found["Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_FXX2.wav"]


def test_iemocap_session_four_is_the_test(iemocap: Any) -> None:
    folder = "Session4/sentences/wav/Ses04M_script01_1b"
    iemocap.speech(f"{folder}/Ses04M_script01_1b_M003.wav")
    block = "[1.0000 - 2.0000]\tSes04M_script01_1b_M003\tang\t[1.5, 4.0, 4.0]\nC-E1:\tAnger;\t()\n"
    iemocap.write("Session4/dialog/EmoEvaluation/Ses04M_script01_1b.txt", block)
    clip = iemocap.clips()[f"{folder}/Ses04M_script01_1b_M003.wav"]
    assert (clip.speaker, clip.split) == ("4M", "test")


# --- MSP-Podcast -----------------------------------------------------------------------------------------------------

LABELS = """MSP-PODCAST_0001_0008.wav; A; A:4.2; V:2.6; D:4.4;
WORKER00000001; Angry; Angry,Frustrated,Annoyed; A:5.000000; V:2.000000; D:5.000000;
WORKER00000002; Neutral; ; A:4.000000; V:4.000000; D:4.000000;
WORKER00000003; Other-bored; Concerned; A:2.000000; V:3.000000; D:4.000000;
WORKER00000002; Neutral; ; A:4.000000; V:4.000000; D:4.000000;

MSP-PODCAST_0002_0033_0001.wav; X; A:4.2; V:2.6; D:4.4;
WORKER00000004; Contempt; NaN; A:NaN; V:2.000000; D:5.000000;
WORKER00000005; Other-zxqv; Happy,what?; A:4.000000; V:4.000000; D:4.000000;

"""
CONSENSUS = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,A,4.2,2.6,4.4,127,Female,Development
MSP-PODCAST_0002_0033_0001.wav,X,4.2,2.6,4.4,Unknown,Unknown,Test1
MSP-PODCAST_0003_0001.wav,,,,,,,Test3
"""
PODCAST = {
    # Angry 1, Frustrated .5 and Annoyed .5 of one vote; Neutral, once; bored 1 and Concerned .5 of one vote
    "anger": (0.5 + 0.25 * 0.7 + 0.25 * 0.8) / 3,
    "sadness": (0.25 * 0.3 + 2 / 3 * 0.2 + 1 / 3 * 0.3) / 3,
    "neutral": (1 + 2 / 3 * 0.5) / 3,
    "other": (2 / 3 * 0.3 + 1 / 3 * 0.3) / 3,
    "fear": (1 / 3 * 0.4) / 3,
}


@pytest.fixture
def podcast(tree: Make) -> Any:
    corpus = tree("msp_podcast")
    corpus.speech(*(f"Audios/MSP-PODCAST_{n}.wav" for n in ("0001_0008", "0002_0033_0001", "0003_0001")))
    corpus.write("Labels/labels.txt", LABELS)
    corpus.write("Labels/labels_consensus.csv", CONSENSUS)
    return corpus


def test_msp_podcast_gives_every_worker_one_vote(podcast: Any) -> None:
    found = podcast.clips()
    assert [(c.speaker, c.gender, c.split, c.label) for c in found.values()] == [
        ("127", "F", "validation", "A"),
        ("podcast0002", None, "test", "X"),
    ]
    assert podcast.parse().ignored == 1  # the labels of Test3 are not published
    rows = podcast.scores()
    assert rows["Audios/MSP-PODCAST_0001_0008.wav"] == pytest.approx(PODCAST)
    # contempt, of which only .5 disgust is known; then what nobody can read as Other, with Happy and another Other
    other = rows["Audios/MSP-PODCAST_0002_0033_0001.wav"]
    assert other == pytest.approx({"disgust": 0.25, "other": 1 / 3, "happiness": 1 / 6})


@pytest.mark.parametrize("release", ["1.6", "1.11", "2.0"])
def test_msp_podcast_reads_the_detailed_labels_of_any_release(podcast: Any, release: str) -> None:
    (podcast.root / "Labels" / "labels.txt").unlink()
    said = [
        ("WORKER00000001", "Angry", "Angry,Frustrated,Annoyed"),
        ("WORKER00000002", "Neutral", ""),
        ("WORKER00000003", "Other-bored", "Concerned"),
        ("WORKER00000002", "Neutral", ""),
    ]
    if release == "1.11":
        lines = [
            "FileName,EmoDetail",
            *(f'MSP-PODCAST_0001_0008.wav,"{w}; {p}; {s}; A:5.0; V:2.0; D:5.0;"' for w, p, s in said),
        ]
    else:
        who = "Workers" if release == "1.6" else "WorkerID"
        lines = [
            f"FileName,{who},EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom",
            *(f'MSP-PODCAST_0001_0008.wav,{w},{p},"{s}",5,2,5' for w, p, s in said),
        ]
    podcast.write("Labels/labels_detailed.csv", "\n".join(lines))
    first = podcast.card.tables[0].model_copy(update={"path": "[Ll]abel*/labels_detailed.csv", "columns": {}})
    podcast.card = podcast.card.model_copy(update={"tables": (first, *podcast.card.tables[1:])})
    assert podcast.scores() == {"Audios/MSP-PODCAST_0001_0008.wav": pytest.approx(PODCAST)}


def test_msp_podcast_finds_older_folders_and_spellings(podcast: Any) -> None:
    (podcast.root / "Labels").rename(podcast.root / "label")
    (podcast.root / "label" / "labels_consensus.csv").rename(podcast.root / "label" / "labels_concensus.csv")
    assert len(podcast.clips()) == 2


def test_msp_podcast_names_bad_answers(podcast: Any) -> None:
    text = LABELS.replace("; Contempt;", "; Contmpt;").replace("WORKER00000001; Angry", "WORKER00000001: Angry")
    podcast.write("Labels/labels.txt", "WORKER00000009; Sad; ; A:1; V:1; D:1;\n" + text)
    found = podcast.problems()
    assert found["Labels/labels.txt"] == "tables: line 1: the answer of WORKER00000009 comes before any file"
    assert "line 3: 'WORKER00000001: Angry" in found["Audios/MSP-PODCAST_0001_0008.wav"]
    assert "WORKER00000004 says 'Contmpt', which is none of" in found["Audios/MSP-PODCAST_0002_0033_0001.wav"]


# --- MSP-IMPROV ------------------------------------------------------------------------------------------------------

ANSWERS = """UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:2.400000; V:3.200000; D:3.000000 ; N:4.500000;
vi-10001; Neutral; Neutral,Excited; A:2.000000; V:3.000000; D:3.000000; N:5.000000;
vi-10002; Happy; Excited; A:3.000000; V:4.000000; D:NaN; N:NaN;
vi-10001; Neutral; Neutral,Excited; A:2.000000; V:3.000000; D:3.000000; N:5.000000;

UTD-IMPROV-S20S-M06-R-FM14.avi; S; A:4.400000; V:1.200000; D:3.000000 ; N:NaN;
vi-10003; Sad; Depressed,Other (tired; weary); A:5.000000; V:1.000000; D:3.000000; N:4.000000;

"""


def test_msp_improv_reads_the_films_evaluation(tree: Make) -> None:
    corpus = tree("msp_improv")
    corpus.speech("session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav", "session6/S20S/R/MSP-IMPROV-S20S-M06-R-FM14.wav")
    corpus.write("session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.avi", "a film")
    corpus.write("Evaluation.txt", ANSWERS)
    corpus.write("Text/MSP-IMPROV-S01A-F01-P-FM01.txt", " How can I\n not? \n")
    first, second = corpus.clips().values()
    assert (first.speaker, first.gender, first.label, first.text) == ("F01", "F", "N", "How can I not?")
    assert (second.speaker, second.gender, second.label, second.text) == ("M06", "M", "S", None)
    rows = list(corpus.scores().values())
    # neutral 1 and excited .5 of one vote, once; happy 1 and excited .5 of another; excitement is .8 happiness
    excited = 1 / 3 / 2 * 2
    assert rows[0] == pytest.approx(
        {"neutral": 2 / 3 / 2, "happiness": 2 / 3 / 2 + 0.8 * excited, "surprise": 0.2 * excited}
    )
    # tired is no word that these workers were offered, and so counts as Other, once
    assert rows[1] == pytest.approx({"sadness": 0.75, "other": 0.25})
