"""Corpora whose names say it all: each in its own layout, with the odd names that are known."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valenza.corpora.card import read_card

Make = Callable[[str], Any]
"""What the fixture `tree` is: corpus id → an empty corpus with the shipped manifest."""
MANIFESTS = Path(__file__).resolve().parents[3] / "datasets_manifests"

NAMES = {
    "asvp_esd": (
        [
            "Audio/actor_36/03-01-09-01-06-36-02-02-01-39.wav",
            "Audio/actor_36/03-01-04-02-14-36-03-03-02-77.wav",
            "Audio/actor_101/03-02-04-01-28-101-02-01-00-14-02.wav",
            "Audio/actor_12/03-01-02-01-01-12-02-01.wav",
            "Audio/actor_12/03-01-02-02-02-12-02-01-04.wav",
            "Audio/actor_7/03-01-05-01-03-09-02-01-03.wav",
            "Audio/actor_/03-02-13-01-05-77-02-01-00.wav",
            "Audio/actor_12/03-02-12-05-05-12-02-01-55.wav",
        ],
        {
            "03-01-09-01-06-36-02-02-01-39": ("36", "M", "zh", {"happiness": 0.48, "surprise": 0.12}),
            "03-01-04-02-14-36-03-03-02-77": ("36", "M", "en", {"sadness": 1.0}),
            "03-02-04-01-28-101-02-01-00-14-02": ("101", "F", "zxx", {"sadness": 0.6}),
            "03-01-02-01-01-12-02-01": ("12", "M", "und", {"neutral": 1.0}),
            "03-01-02-02-02-12-02-01-04": ("12", "M", "fr", {"neutral": 1.0}),
            "03-01-05-01-03-09-02-01-03": ("9", "F", "ru", {"anger": 0.6}),
            "03-02-13-01-05-77-02-01-00": ("77", "F", "zxx", {}),
            "03-02-12-05-05-12-02-01-55": ("12", "M", "und", {"sadness": 0.5, "disgust": 0.2, "anger": 0.3}),
        },
    ),
    "ogvc_acted": (
        [
            "Acted/wav/F1/A/FOY0101ANT0.wav",
            "Acted/wav/F1/B/FYN0102DIS1.wav",
            "Acted/wav/M1/B/MTY1708ANG3.wav",
            "Acted/wav/M2/A/MTY0101SUR2.wav",
        ],
        {
            "FOY0101ANT0": ("FOY", "F", "ja-JP", {"neutral": 1.0}),
            "FYN0102DIS1": ("FYN", "F", "ja-JP", {"disgust": 0.4}),
            "MTY1708ANG3": ("MTY", "M", "ja-JP", {"anger": 1.0}),
            "MTY0101SUR2": ("MTY", "M", "ja-JP", {"surprise": 0.7}),
        },
    ),
    "aesdd": (
        [
            "anger/a01 (1).wav",
            "disgust/d20 (6)b.wav",
            "fear/f07 (01).wav",
            "happiness/h03 (4).wav",
            "sadness/s05 (2).wav",
        ],
        {
            "a01 (1)": ("1", None, "el-GR", {"anger": 1.0}),
            "d20 (6)b": ("6", None, "el-GR", {"disgust": 1.0}),
            "f07 (01)": ("1", None, "el-GR", {"fear": 1.0}),
            "h03 (4)": ("4", None, "el-GR", {"happiness": 1.0}),
            "s05 (2)": ("2", None, "el-GR", {"sadness": 1.0}),
        },
    ),
    "masc": (
        ["001/elation/phrase1_2.wav", "068/panic/sentence20_3.wav", "001/neutral/paragraph1.wav"],
        {
            "phrase1_2": ("001", None, "zh-CN", {"happiness": 1.0}),
            "sentence20_3": ("068", None, "zh-CN", {"fear": 1.0}),
            "paragraph1": ("001", None, "zh-CN", {"neutral": 1.0}),
        },
    ),
    "cafe": (
        [
            "Colère/Faible/01-C-1-1.wav",
            "Colère/Fort/02-C-2-6.wav",
            "DÈgo˚t/Fort/11-D-2-3.wav",  # the folder as some programs garble it
            "Neutre/12-N-1-4.wav",
        ],
        {
            "01-C-1-1": ("01", "M", "fr-CA", {"anger": 0.6}),
            "02-C-2-6": ("02", "F", "fr-CA", {"anger": 1.0}),
            "11-D-2-3": ("11", "M", "fr-CA", {"disgust": 1.0}),
            "12-N-1-4": ("12", "F", "fr-CA", {"neutral": 1.0}),
        },
    ),
    "shemo": (
        ["female/F01F05.wav", "female/F13W02.wav", "male/M56A11.wav"],
        {
            "F01F05": ("F01", "F", "fa-IR", {"fear": 1.0}),
            "F13W02": ("F13", "F", "fa-IR", {"surprise": 1.0}),
            "M56A11": ("M56", "M", "fa-IR", {"anger": 1.0}),
        },
    ),
    "subesco": (
        ["SUBESCO/F_01_OISHI_S_1_ANGRY_1.wav", "SUBESCO/M_01_SHUVO_S_10_SURPRISE_5].wav"],
        {
            "F_01_OISHI_S_1_ANGRY_1": ("F01", "F", "bn-BD", {"anger": 1.0}),
            "M_01_SHUVO_S_10_SURPRISE_5]": ("M01", "M", "bn-BD", {"surprise": 1.0}),
        },
    ),
    "emouerj": (
        ["m01h01.wav", "w04n23.wav"],
        {"m01h01": ("m01", "M", "pt-BR", {"happiness": 1.0}), "w04n23": ("w04", "F", "pt-BR", {"neutral": 1.0})},
    ),
    "mesd": (
        ["Anger_C_A_abajo.wav", "Disgust_F_B_antes de ayer.wav", "Neutral_M_A_niño.wav"],
        {
            "Anger_C_A_abajo": ("C", None, "es-MX", {"anger": 1.0}),
            "Disgust_F_B_antes de ayer": ("F", "F", "es-MX", {"disgust": 1.0}),
            "Neutral_M_A_niño": ("M", "M", "es-MX", {"neutral": 1.0}),
        },
    ),
    "resd": (
        ["train/32_happiness_enthusiasm_e_120.wav", "test/7_fear_anger f_001 (2).wav"],
        {
            "32_happiness_enthusiasm_e_120": ("32e", None, "ru-RU", {"happiness": 0.9}),
            "7_fear_anger f_001 (2)": ("7f", None, "ru-RU", {"fear": 1.0}),
        },
    ),
    "urdu": (["Angry/SM1_F1_A01.wav"], {"SM1_F1_A01": ("M1", "M", "ur", {"anger": 1.0})}),
}
"""Corpus → names in its layout, and each stem's speaker, gender, language and score."""


def rounded(score: dict[str, float]) -> dict[str, float]:
    return {emotion: round(weight, 6) for emotion, weight in score.items()}


@pytest.mark.parametrize("corpus", NAMES)
def test_names_read_as_published(corpus: str, tree: Make) -> None:
    names, wanted = NAMES[corpus]
    found = tree(corpus)
    found.speech(*names)
    scores = found.scores(all_used=all(score for *_, score in wanted.values()))
    clips = {n: (c.speaker, c.gender, c.language, rounded(scores[n])) for n, c in found.clips().items()}
    assert found.short(clips) == wanted


def test_asvp_keeps_odd_names_without_a_label(tree: Make) -> None:
    odd = ["03-0204-01-28-36-02-01-00", "03-02- 4-01-28-36-02-01-00", "03-02-04-01-36-02"]
    corpus = tree("asvp_esd")
    corpus.speech(*(f"Audio/actor_36/{name}.wav" for name in odd), "Audio/actor_/03-02-013-01-05-77-02-01.wav")
    assert {(clip.label, clip.speaker) for clip in corpus.clips().values()} == {("-", "36"), ("-", "actor_")}
    assert not any(corpus.scores(all_used=False).values())


def test_aesdd_leaves_out_the_file_that_cannot_be_read(tree: Make) -> None:
    corpus = tree("aesdd")
    corpus.speech("sadness/s05 (2).wav", "sadness/s05 (3).wav")
    corpus.write("sadness/s05 (3).wav", "RIFF")
    assert (list(corpus.short(corpus.clips())), corpus.parse().ignored, corpus.faults()) == (["s05 (2)"], 1, [])


def test_masc_names_a_folder_that_is_no_emotion(tree: Make) -> None:
    corpus = tree("masc")
    corpus.speech("001/Panik/phrase1_1.wav")
    assert corpus.wrong() == {"001/Panik/phrase1_1.wav": "label"}


def test_emns_takes_a_converted_file_beside_the_webm(tree: Make) -> None:
    corpus = tree("emns")
    corpus.speech("cleaned_webm/recorded_audio_RF6OuQ4.wav")
    for name in ("recorded_audio_RF6OuQ4", "recorded_audio_oGl6q2Q"):
        corpus.write(f"cleaned_webm/{name}.webm", "\x1aE")
    corpus.write(
        "metadata.csv",
        "id|utterance|description|emotion|date_created|status|gender|age|level|audio_recording|user_id\n"
        '1|"What a mess," she said.|cross|Sarcastic|2022|complete|Female|30s|6|wavs/recorded_audio_RF6OuQ4.webm|3\n'
        "2|Well!|loud|Surprised|2022|complete|Female|30s|8|wavs/recorded_audio_oGl6q2Q.webm|3\n",
    )
    assert corpus.wrong() == {"cleaned_webm/recorded_audio_oGl6q2Q.webm": "audio"}
    corpus.speech("cleaned_webm/recorded_audio_oGl6q2Q.wav")
    clip = corpus.short(corpus.clips())["recorded_audio_RF6OuQ4"]
    assert (clip.speaker, clip.gender, clip.intensity) == ("narrator", "F", "6")
    assert corpus.short(corpus.scores()) == {
        "recorded_audio_RF6OuQ4": {"disgust": 0.25, "anger": 0.25, "other": 0.5},
        "recorded_audio_oGl6q2Q": {"surprise": 1.0},
    }


COUNTED = {
    "aesdd": ("adfhs", lambda s: (f"x/{e}{n:02d} ({k})" for e in s for n in range(1, 21) for k in range(1, 7)), 600),
    "cafe": (
        "CDJPST",
        lambda s: [
            *(f"{a:02d}-{e}-{i}-{n}" for a in range(1, 13) for e in s for i in (1, 2) for n in range(1, 7)),
            *(f"{a:02d}-N-1-{n}" for a in range(1, 13) for n in range(1, 7)),
        ],
        936,
    ),
    "casia": (
        ("angry", "fear", "happy", "neutral", "sad", "surprise"),
        lambda s: (f"{k}/{e}/{n}" for k in ("liuchanhg", "ZhaoZuoxiang", "a", "b") for e in s for n in range(201, 251)),
        1200,
    ),
    "emovo": (
        ("neu", "dis", "gio", "pau", "rab", "sor", "tri"),
        lambda s: (
            f"{k}/{e}-{k}-{n}"
            for k in ("f1", "f2", "f3", "m1", "m2", "m3") for e in s
            for n in ("b1", "b2", "b3", "l1", "l2", "l3", "l4", "n1", "n2", "n3", "n4", "n5", "d1", "d2")
        ),
        588,
    ),
    "masc": (
        ("neutral", "anger", "elation", "panic", "sadness"),
        lambda s: [
            *(f"{k:03d}/{e}/{n}_{t}" for k in range(68) for e in s for n in range(25) for t in (1, 2, 3)),
            *(f"{k:03d}/neutral/paragraph{n}" for k in range(68) for n in (1, 2)),
        ],
        25636,
    ),
    "esd": (
        ("Angry", "Happy", "Neutral", "Sad", "Surprise"),
        lambda s: (
            f"{k:04d}/{e}/{k:04d}_{350 * j + n:06d}"
            for k in range(1, 21) for j, e in enumerate(s) for n in range(1, 351)
        ),
        35000,
    ),
    "subesco": (
        ("ANGRY", "DISGUST", "FEAR", "HAPPY", "NEUTRAL", "SAD", "SURPRISE"),
        lambda s: (
            f"{g}_{k:02d}_X_S_{n}_{e}_{t}"
            for g in "FM" for k in range(1, 11) for n in range(1, 11) for e in s for t in range(1, 6)
        ),
        7000,
    ),
}  # fmt: skip
"""Corpora that cross every factor: what is crossed, the names, and how many there are."""


@pytest.mark.parametrize("corpus", COUNTED)
def test_every_name_of_a_crossed_design_is_read(corpus: str) -> None:
    labels, names, count = COUNTED[corpus]
    card = read_card(MANIFESTS / f"{corpus}.yaml")
    regex = re.compile(card.pattern)
    matches = [regex.fullmatch(name) for name in names(labels)]
    assert len(matches) == count
    assert all(match is not None and match["label"] in card.labels for match in matches)


def test_crossed_corpora_publish_what_their_designs_give() -> None:
    for corpus in COUNTED.keys() - {"aesdd"}:
        assert read_card(MANIFESTS / f"{corpus}.yaml").expect.clips == COUNTED[corpus][2]
