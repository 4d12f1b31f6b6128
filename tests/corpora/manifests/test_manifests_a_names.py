"""Corpora whose names and plain tables say it all: EmoV-DB, JL, SAVEE, TESS, MELD, VoxMovies, Hume-Prosody."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valenza.shards.stored import read_corpus
from valenza.shards.write import build

MANIFESTS = Path(__file__).resolve().parents[3] / "datasets_manifests"
Make = Callable[[str], Any]


def test_emov_db_is_read_in_both_shapes(tree: Make) -> None:
    corpus = tree("emov_db")
    corpus.speech("jenie_Amused/amused_57-84_0057.wav", seconds=0.3)
    corpus.speech("bea/Sleepy/sleepiness_1_28_0001.wav", "sam_Disgusted/Disgust_1-28_0003.wav", subtype="DOUBLE")
    corpus.speech("josh/Neutral/neutral_281-308_0281.wav", rate=44_100)
    corpus.speech("jenie_Angry/angry_1-28_0001.wav")
    report = corpus.check()
    assert report.rates == {"16000": 3, "44100": 1}
    assert report.genders == {"F": 2, "M": 2}
    # four clips of 6893, and a name that is not the corpus's own
    assert [p.path for p in report.errors] == ["", "jenie_Angry/angry_1-28_0001.wav"]
    (corpus.root / "jenie_Angry/angry_1-28_0001.wav").unlink()
    assert {c.speaker: (c.gender, c.label) for c in corpus.clips().values()} == {
        "jenie": ("F", "Amused"),
        "bea": ("F", "Sleepy"),
        "sam": ("M", "Disgusted"),
        "josh": ("M", "Neutral"),
    }
    assert corpus.scores() == {
        "bea/Sleepy/sleepiness_1_28_0001.wav": {"other": 0.4, "neutral": 0.6},
        "jenie_Amused/amused_57-84_0057.wav": {"happiness": 0.8},
        "josh/Neutral/neutral_281-308_0281.wav": {"neutral": 1.0},
        "sam_Disgusted/Disgust_1-28_0003.wav": {"disgust": 1.0},
    }


def test_jl_corpus_finds_its_deep_folder_and_transcripts(tree: Make) -> None:
    corpus = tree("jl_corpus")
    folder = "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)"
    corpus.speech(f"{folder}/female1_angry_10a_1.wav", f"{folder}/male2_assertive_1b_2.wav", rate=44_100)
    corpus.speech("other/female1_angry_11a_1.wav")
    corpus.write(f"{folder}/female1_angry_10a_1.txt", "\ufeffTom beats that farmer.\r\n")
    first, second = corpus.clips().values()
    assert (first.speaker, first.gender, first.label, first.text) == ("female1", "F", "angry", "Tom beats that farmer.")
    assert (second.speaker, second.gender, second.label, second.text) == ("male2", "M", "assertive", None)
    assert list(corpus.scores().values()) == [{"anger": 1.0}, {"anger": 0.2, "other": 0.5, "neutral": 0.3}]


def test_jl_corpus_reads_every_published_name(tree: Make) -> None:
    """240 names a label: 4 speakers × 15 sentences × 2 sessions × 2 repetitions."""
    card = tree("jl_corpus").card
    people = itertools.product(("female", "male"), "12", card.labels, range(1, 16), "ab", "12")
    names = [f"JL(wav+txt)/{g}{n}_{label}_{i}{session}_{take}" for g, n, label, i, session, take in people]
    found = [re.fullmatch(card.pattern, name) for name in names]
    assert len(names) == 2400
    assert all(found)
    assert {match["speaker"] for match in found if match} == {"female1", "female2", "male1", "male2"}


@pytest.mark.parametrize(
    "names", [("AudioData/DC/a01.wav", "AudioData/KL/su15.wav"), ("ALL/DC_a01.wav", "ALL/KL_su15.wav")]
)
def test_savee_is_read_in_folders_and_flat(tree: Make, names: tuple[str, ...]) -> None:
    corpus = tree("savee")
    corpus.speech(*names, rate=44_100)
    assert [(c.speaker, c.gender, c.label) for c in corpus.clips().values()] == [("DC", "M", "a"), ("KL", "M", "su")]
    assert list(corpus.scores().values()) == [{"anger": 1.0}, {"surprise": 1.0}]


def test_savee_tells_sadness_from_surprise(tree: Make) -> None:
    """Two-letter codes begin as other letters do; 15 sentences an emotion, 30 of them neutral."""
    card = tree("savee").card
    names = [
        f"AudioData/{speaker}/{label}{number:02d}"
        for speaker in ("DC", "JE", "JK", "KL")
        for label in card.labels
        for number in range(1, 31 if label == "n" else 16)
    ]
    labels = [match["label"] for name in names if (match := re.fullmatch(card.pattern, name))]
    assert len(names) == len(labels) == card.expect.clips
    assert {label: labels.count(label) for label in card.labels} == dict.fromkeys(card.labels, 60) | {"n": 120}


def test_tess_takes_oa_for_oaf_and_passes_over_the_second_copy(tree: Make) -> None:
    corpus = tree("tess")
    outer = "TESS Toronto emotional speech set data"
    names = ("OAF_Sad/OAF_back_sad.wav", "OAF_angry/OA_bite_neutral.wav", "YAF_pleasant_surprised/YAF_wag_ps.wav")
    corpus.speech(*(f"{outer}/{name}" for name in names), rate=24_414)
    corpus.speech(f"{outer}/{outer}/{names[0]}", rate=24_414)
    assert [(c.speaker, c.gender, c.label, c.text) for c in corpus.clips().values()] == [
        ("OAF", "F", "sad", "Say the word back"),
        ("OAF", "F", "neutral", "Say the word bite"),
        ("YAF", "F", "ps", "Say the word wag"),
    ]
    assert corpus.parse().ignored == 1
    assert list(corpus.scores().values()) == [{"sadness": 1.0}, {"neutral": 1.0}, {"surprise": 0.7, "happiness": 0.3}]
    corpus.speech("YAF_fear/YAF_bar_fear.wav", rate=24_414)
    assert len(corpus.clips()) == 4


MELD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"


@pytest.fixture
def meld(tree: Make) -> Any:
    corpus = tree("meld")
    rows = {
        "train": '1,"Oh, it\u2019s ""you"".",Rachel and Phoebe,joy,positive,0,0,8,21,"00:16:16,059","00:16:21,731"\n',
        "dev": '1,"What\x92s up?",Ross,neutral,neutral,0,0,4,7,"00:20:57,256","00:21:00,049"\n'
        '2,Gone.,Ross,anger,negative,110,7,4,7,"0:21:01,927","0:21:03,261"\n',
        "test": '1,No!,Mark,surprise,positive,0,0,3,19,"00:14:38,127","00:14:40,378"\n',
    }
    for split, lines in rows.items():
        corpus.write(f"{split}_sent_emo.csv", MELD + lines)
    corpus.speech("train/train_splits/dia0_utt0.wav", "dev/dev_splits_complete/dia0_utt0.wav", rate=48_000)
    corpus.speech("output_repeated_splits_test/dia0_utt0.wav", rate=48_000)
    return corpus


def test_meld_keeps_the_three_parts_apart(meld: Any) -> None:
    meld.write("train/train_splits/dia0_utt0.mp4", "a film that was converted")
    meld.write("train/train_splits/dia125_utt3.mp4", "a film that cannot be decoded")
    meld.write("output_repeated_splits_test/._dia0_utt0.mp4", "Mac OS X")
    (meld.root / "train/train_splits/dia125_utt3.mp4").rename(meld.root / "train/train_splits/dia125_utt3.wav")
    found = meld.clips()
    assert meld.parse().ignored == 1
    assert len({clip.id for clip in found.values()}) == 3
    assert {s: (c.speaker, c.label, c.recording, c.text) for s, c in found.items()} == {
        "train/train_splits/dia0_utt0.wav": ("Rachel and Phoebe", "joy", "train-dia0", 'Oh, it\u2019s "you".'),
        "dev/dev_splits_complete/dia0_utt0.wav": ("Ross", "neutral", "dev-dia0", "What\x92s up?"),
        "output_repeated_splits_test/dia0_utt0.wav": ("Mark", "surprise", "test-dia0", "No!"),
    }
    assert meld.scores()["train/train_splits/dia0_utt0.wav"] == {"happiness": 1.0}


def test_meld_asks_for_converted_films_and_rows(meld: Any) -> None:
    meld.write("train/train_splits/dia9_utt9.mp4", "a film")
    meld.speech("final_videos_testdia0_utt1.wav", "output_repeated_splits_test/dia7_utt1.wav")
    found = meld.problems()
    assert found["train/train_splits/dia9_utt9.mp4"] == "audio: libsndfile does not read .mp4; convert it"
    assert (
        "has no row with {file} {Dialogue_ID} {Utterance_ID} = 'test_sent_emo 7 1'"
        in found["output_repeated_splits_test/dia7_utt1.wav"]
    )
    assert len(found) == 2  # the test folder's leftovers are named otherwise, so the glob passes over them


def test_voxmovies_needs_no_labels(tree: Make) -> None:
    corpus = tree("voxmovies")
    corpus.speech("id10001/film one/00001.wav", "id10002/film one/00001.wav", "id10002/film two/clip/2.flac")
    found = corpus.clips()
    assert [(c.speaker, c.recording, c.label, c.votes) for c in found.values()] == [
        ("id10001", "film one", None, None),
        ("id10002", "film one", None, None),
        ("id10002", "film two", None, None),
    ]
    assert corpus.card.classes == ()
    report = corpus.check()
    assert (report.clips, report.labels) == (3, [])
    assert [p.field for p in report.errors] == ["expect", "expect"]
    built = build(corpus.card, MANIFESTS / "voxmovies.yaml", found.values(), corpus.root.parent / "shards")
    assert read_corpus(built.folder)[1]["label"].to_pylist() == [None] * 3


SHARES = (
    *("Anger", "Boredom", "Calmness", "Concentration", "Determination"),
    *("Excitement", "Interest", "Sadness", "Tiredness"),
)


def test_hume_prosody_keeps_shares_and_leaves_out_hidden_labels(tree: Make) -> None:
    corpus = tree("hume_prosody")
    corpus.speech(*(f"data/wav/{name}.wav" for name in ("00001", "00002", "00003")))
    header = ",".join(("filename", *SHARES))
    corpus.write("data/lab/train.csv", f"{header}\n00001.wav,0.5,0,0,0,0.25,0,0,0.25,0\n")
    corpus.write("data/lab/devel.csv", f"{header}\n00002.wav,0,0,0,0,0,0,0,0,0\n")
    corpus.write("data/lab/test.csv", f"{header}\n00003.wav{',' * len(SHARES)}\n")
    found = corpus.clips()
    assert [(c.speaker, c.split) for c in found.values()] == [("00001", "train"), ("00002", "validation")]
    assert found["data/wav/00001.wav"].votes == dict.fromkeys(SHARES, 0.0) | {
        "Anger": 0.5,
        "Determination": 0.25,
        "Sadness": 0.25,
    }
    assert corpus.parse().ignored == 1
    first, second = corpus.scores().values()
    # determination is .2 anger, .6 other and .2 neutral
    assert first == pytest.approx({"anger": 0.55, "sadness": 0.25, "other": 0.15, "neutral": 0.05})
    assert second == {}
    corpus.write("data/lab/devel.csv", f"{header}\n00002.wav,0,0,x,0,0,0,0,0,0\n")
    assert "data/lab/devel.csv:2: Calmness is 'x', not a number" in corpus.problems()["data/wav/00002.wav"]


@pytest.mark.parametrize(
    ("corpus", "name"),
    [
        ("crema_d", "AudioWAV/1091_WSI_SAD_XX"),
        ("iemocap", "Session2/sentences/wav/Ses02F_script03_2b/Ses02F_script03_2b_MXX1"),
        ("iemocap", "Session5/sentences/wav/Ses05M_impro05a/Ses05M_impro05a_F010"),
        ("iemocap", "Session1/sentences/wav/Ses01F_script01_1/Ses01F_script01_1_M000"),
        ("msp_improv", "session3/S14H/T/MSP-IMPROV-S14H-F03-T-MF09"),
        ("msp_podcast", "Audios/MSP-PODCAST_0023_0447_0002"),
        ("emov_db", "sam_Sleepy/sleepiness_365-392_0371"),
        ("meld", "MELD.Raw/output_repeated_splits_test/dia279_utt7"),
    ],
)
def test_published_names_are_read(tree: Make, corpus: str, name: str) -> None:
    assert re.fullmatch(tree(corpus).card.pattern, name)
