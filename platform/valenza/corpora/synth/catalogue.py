"""The 20 demo corpora: small doubles of the corpora in table 1 of Osman et al. 2023.

Labels and layouts are like the originals'; every sound is espeak-ng's. Where the original is Mandarin
and zero-shot languages must stay unheard, the double speaks another language.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from valenza.corpora.card import Meaning
from valenza.corpora.synth.prosody import Channel

BOREDOM: Meaning = {"neutral": 0.5, "other": 0.3, "sadness": 0.2}
CALM: Meaning = {"neutral": 0.9, "happiness": 0.1}
EXCITED: Meaning = {"happiness": 0.7, "surprise": 0.3}
BIG_SIX: dict[str, Meaning] = {e: e for e in ("happiness", "sadness", "anger", "surprise", "disgust", "fear")}


@dataclass(frozen=True)
class Rows:
    """A table to be written into the corpus: header → template over a clip's values; equal rows are written once."""

    path: str
    """Comma-separated, or tab-separated where it ends in `.tsv`."""
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Demo:
    """One demo corpus: who says what how often, where it is stored, and what its manifest says."""

    id: str
    title: str
    clips: int
    accents: tuple[str, ...]
    """Keys of `voice.LANGUAGES`; the speakers take turns."""
    speakers: str
    """Names and genders, such as `01/M 02/F`."""
    labels: Mapping[str, Meaning]
    path: str
    """Where a clip lies: a template over `speaker`, `gender`, `label`, `intensity`, `sentence`, `take`, `language`,
    `number` and `text`."""
    pattern: str
    channel: Channel
    card: Mapping[str, Any] = field(default_factory=dict)
    """The other keys of the manifest."""
    strengths: Mapping[str, float] = field(default_factory=dict)
    """Native intensity → how strongly it is acted."""
    annotators: int = 0
    """How many vote on each clip; 0 where the corpus has labels only."""
    tables: tuple[Rows, ...] = ()
    zero_shot: bool = False

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP-47 tags without regions, in the order of the accents."""
        return tuple(dict.fromkeys(accent.split("-")[0] for accent in self.accents))


def _votes(path: str, key: str, names: Mapping[str, str], more: Mapping[str, str] | None = None) -> Rows:
    """Return a table with one column of votes a label."""
    cells = {key: "{stem}", **{column: f"{{votes[{label}]}}" for label, column in names.items()}}
    return Rows(path, {**cells, **(more or {})})


_AMERICAN, _BRITISH = ("en-us",), ("en-gb",)

_MOSEI = {"happiness": "happy", "sadness": "sad", "anger": "angry", "surprise": "surprise", "disgust": "disgust",
          "fear": "fear"}  # fmt: skip
_IEMOCAP: dict[str, Meaning] = {
    "ang": "anger", "hap": "happiness", "exc": EXCITED, "sad": "sadness", "fru": {"anger": 0.7, "sadness": 0.3},
    "fea": "fear", "sur": "surprise", "neu": "neutral", "oth": "other",
}  # fmt: skip
_PODCAST: dict[str, Meaning] = {
    "A": "anger", "S": "sadness", "H": "happiness", "U": "surprise", "F": "fear", "D": "disgust",
    "C": {"disgust": 0.5}, "N": "neutral", "O": "other",
}  # fmt: skip
_VESUS: dict[str, Meaning] = {
    "Neutral": "neutral", "Angry": "anger", "Happy": "happiness", "Sad": "sadness", "Fearful": "fear",
}  # fmt: skip
_LEVELS = {"LO": 0.6, "MD": 0.85, "HI": 1.15}

TRAINING: tuple[Demo, ...] = (
    Demo(
        "demo_mosei", "Demo double of CMU-MOSEI: cut from videos, voted on by three", 260, _AMERICAN,
        "v01/F v02/M v03/F v04/M v05/F v06/M v07/F v08/M v09/F v10/M v11/F v12/M", BIG_SIX,
        "audio/{speaker}_{number:04d}", r"audio/(?P<speaker>v\d+)_\d+", Channel(16_000, -24, -52, 0.3),
        card={"tables": [{"path": "votes.csv", "key": "segment", "votes": dict(_MOSEI)}]},
        annotators=3, tables=(_votes("votes.csv", "segment", _MOSEI),),
    ),
    Demo(
        "demo_cremad", "Demo double of CREMA-D: intensity in the name", 280, _AMERICAN,
        "1001/M 1002/F 1003/F 1004/M 1005/M 1006/F 1007/F 1008/M",
        {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happiness", "NEU": "neutral", "SAD": "sadness"},
        "AudioWAV/{speaker}_S{sentence:02d}_{label}_{intensity}_{take}",
        r"AudioWAV/(?P<speaker>\d{4})_S\d\d_(?P<label>[A-Z]{3})_(?P<intensity>[A-Z]{2})_\d+",
        Channel(16_000, -28, -60, -0.4), strengths=_LEVELS,
        card={"intensities": {"LO": 0.4, "MD": 0.7, "HI": 1.0},
              "gender": "{speaker}", "genders": dict(zip(map(str, range(1001, 1009)), "MFFMMFFM", strict=True))},
    ),
    Demo(
        "demo_emovdb", "Demo double of EmoV-DB: a folder for each speaker and style", 240, _AMERICAN,
        "bea/F jenie/F josh/M sam/M",
        {"Amused": "happiness", "Angry": "anger", "Disgusted": "disgust", "Neutral": "neutral", "Sleepy": BOREDOM},
        "{speaker}_{label}/{label}_1-15_{number:04d}", r"(?P<speaker>[a-z]+)_(?P<label>[A-Z][a-z]+)/.+",
        Channel(16_000, -22, -62, 0.5),
    ),
    Demo(
        "demo_iemocap", "Demo double of IEMOCAP: five sessions, nine labels, the fourth session for testing", 300,
        _AMERICAN,
        "Ses01F/F Ses01M/M Ses02F/F Ses02M/M Ses03F/F Ses03M/M Ses04F/F Ses04M/M Ses05F/F Ses05M/M", _IEMOCAP,
        "{speaker}/{speaker}_impro{sentence:02d}_{number:03d}",
        r"(?P<speaker>Ses\d\d(?P<gender>[FM]))/(?P<recording>Ses\d\d[FM]_impro\d\d)_\d+",
        Channel(16_000, -30, -50, -0.6), annotators=4,
        tables=(_votes("evaluation.tsv", "turn", {x: x for x in _IEMOCAP}),),
        card={"tables": [{"path": "evaluation.tsv", "key": "turn", "votes": {x: x for x in _IEMOCAP}}],
              "splits": {"test": ["Ses04F", "Ses04M"]}},
    ),
    Demo(
        "demo_jl", "Demo double of JL-Corpus: labels as words in the name", 240, _BRITISH,
        "female1/F female2/F male1/M male2/M",
        {"angry": "anger", "sad": "sadness", "neutral": "neutral", "happy": "happiness", "excited": EXCITED,
         "anxious": {"fear": 0.8, "other": 0.2}, "assertive": {"neutral": 0.6, "anger": 0.4}},
        "{speaker}_{label}_{sentence}a_{take}", r"(?P<speaker>(?P<gender>female|male)\d)_(?P<label>[a-z]+)_\d+a_\d+",
        Channel(44_100, -20, -65),
    ),
    Demo(
        "demo_podcast", "Demo double of MSP-Podcast: five votes a turn, official splits, contempt", 360, _AMERICAN,
        "".join(f"{n:03d}/{'FM'[n % 2]} " for n in range(1, 17)).strip(), _PODCAST,
        "Audio/PODCAST_{number:04d}", "Audio/PODCAST_(?P<turn>[0-9]+)", Channel(16_000, -25, -48, 0.2),
        annotators=5,
        tables=(_votes("labels.csv", "FileName", {x: f"votes_{x}" for x in _PODCAST},
                       {"SpkrID": "{speaker}", "Gender": "{gender}", "Split_Set": "{split}"}),),
        card={"tables": [{"path": "labels.csv", "key": "FileName", "votes": {x: f"votes_{x}" for x in _PODCAST},
                          "columns": {"speaker": "SpkrID", "gender": "Gender", "split": "Split_Set"}}]},
    ),
    Demo(
        "demo_improv", "Demo double of MSP-IMPROV: a quiet room, four emotions", 240, _AMERICAN,
        "F01/F F02/F F03/F M01/M M02/M M03/M", {"A": "anger", "H": "happiness", "S": "sadness", "N": "neutral"},
        "S{sentence:02d}{label}/DEMO-S{sentence:02d}{label}-{speaker}-R-{take:02d}",
        r"S\d\d[AHSN]/DEMO-S\d\d(?P<label>[AHSN])-(?P<speaker>(?P<gender>[FM])\d\d)-R-\d+",
        Channel(44_100, -32, -64, -0.3),
    ),
    Demo(
        "demo_ravdess", "Demo double of RAVDESS: numbers for everything, calm beside neutral", 288, _AMERICAN,
        "01/M 02/F 03/M 04/F 05/M 06/F 07/M 08/F",
        {"01": "neutral", "02": CALM, "03": "happiness", "04": "sadness", "05": "anger", "06": "fear", "07": "disgust",
         "08": "surprise"},
        "Actor_{speaker}/03-01-{label}-{intensity}-{sentence:02d}-{take:02d}-{speaker}",
        r"Actor_\d\d/03-01-(?P<label>\d\d)-(?P<intensity>\d\d)-\d\d-\d\d-(?P<speaker>\d\d)",
        Channel(48_000, -35, -66, 0.4),
        strengths={"01": 0.7, "02": 1.15},
        card={"gender": "{speaker}", "genders": {f"{n:02d}": "FM"[n % 2] for n in range(1, 9)},
              "intensities": {"01": 0.6, "02": 1.0}},
    ),
    Demo(
        "demo_savee", "Demo double of SAVEE: a letter or two for the emotion", 224, _BRITISH, "DC/M JE/M JK/M KL/M",
        {"a": "anger", "d": "disgust", "f": "fear", "h": "happiness", "n": "neutral",
         "sa": "sadness", "su": "surprise"},
        "{speaker}/{label}{number:03d}", r"(?P<speaker>[A-Z]{2})/(?P<label>[a-z]+)\d+",
        Channel(44_100, -23, -58, -0.2),
    ),
    Demo(
        "demo_tess", "Demo double of TESS: two women, seven emotions", 224, _AMERICAN, "OAF/F YAF/F",
        {"angry": "anger", "disgust": "disgust", "fear": "fear", "happy": "happiness", "neutral": "neutral",
         "ps": "surprise", "sad": "sadness"},
        "{speaker}_{label}/{speaker}_{sentence:02d}_{take:02d}_{label}",
        r"[A-Z]{3}_[a-z]+/(?P<speaker>[A-Z]{3})_\d+_\d+_(?P<label>[a-z]+)", Channel(24_000, -21, -63, 0.6),
        card={"gender": "{speaker}", "genders": {"OAF": "F", "YAF": "F"}},
    ),
    Demo(
        "demo_vesus", "Demo double of VESUS: ten listeners a clip", 240, _AMERICAN, "s1/F s2/M s3/F s4/M s5/F s6/M",
        _VESUS,
        "Audio/{speaker}/{number:03d}", r"Audio/(?P<speaker>s\d)/\d+", Channel(16_000, -26, -57), annotators=10,
        tables=(Rows("key.csv", {"file": "{path}", **{x: f"{{votes[{x}]}}" for x in _VESUS}}),),
        card={"tables": [{"path": "key.csv", "key": "file", "match": "{path}", "votes": {x: x for x in _VESUS}}]},
    ),
    Demo(
        "demo_esd", "Demo double of ESD: Korean and English, a folder an emotion", 270, ("ko", "en-us"),
        "0001/F 0011/F 0002/M 0012/M 0003/F 0013/F",
        {"Angry": "anger", "Happy": "happiness", "Neutral": "neutral", "Sad": "sadness", "Surprise": "surprise"},
        "{speaker}/{label}/{speaker}_{number:06d}", r"(?P<speaker>\d{4})/(?P<label>\w+)/\d{4}_\d{6}",
        Channel(16_000, -19, -61, 0.2),
        tables=(Rows("speakers.tsv", {"speaker": "{speaker}", "gender": "{gender}", "language": "{language}"}),),
        card={"tables": [{"path": "speakers.tsv", "key": "speaker", "match": "{speaker}",
                          "columns": {"gender": "gender", "language": "language"}}]},
    ),
    Demo(
        "demo_asvp", "Demo double of ASVP-ESD: eight languages, twelve labels, two intensities", 400,
        ("fr", "ru", "es", "pt", "it", "pl", "tr", "ko"),
        "".join(f"{n:02d}/{'FFMM'[n // 4 % 4]} " for n in range(16)).strip(),
        {"01": BOREDOM, "02": "neutral", "03": "happiness", "04": "sadness", "05": "anger",
         "06": "fear", "07": "disgust", "08": "surprise", "09": EXCITED, "10": {"happiness": 0.7, "neutral": 0.3},
         "11": {"fear": 0.5, "sadness": 0.5},
         "12": {"sadness": 0.7, "disgust": 0.3}},
        "actor_{speaker}/03-01-{label}-{intensity}-{language}-{sentence:02d}-{take:02d}-{speaker}",
        r"actor_\d\d/03-01-(?P<label>\d\d)-(?P<intensity>\d\d)-(?P<language>[a-z]{2})-\d\d-\d\d-(?P<speaker>\d\d)",
        Channel(16_000, -27, -46, -0.5), strengths={"01": 0.75, "02": 1.15},
        card={"intensities": {"01": 0.6, "02": 1.0}},
    ),
    Demo(
        "demo_ogvc", "Demo double of OGVC: Japanese, four degrees of each emotion", 272, ("ja",),
        "FYN/F MOY/M FOK/F MTK/M",
        {"JOY": "happiness", "ACC": {"neutral": 0.6, "happiness": 0.4}, "FEA": "fear",
         "SUR": "surprise", "SAD": "sadness", "DIS": "disgust", "ANG": "anger", "ANT": {"other": 0.6, "neutral": 0.4}},
        "wav/{speaker}_{number:04d}", r"wav/(?P<speaker>(?P<gender>[FM])[A-Z]{2})_\d+",
        Channel(48_000, -29, -68, 0.1),
        strengths={"1": 0.6, "2": 0.9, "3": 1.2},
        tables=(Rows("transcripts.csv", {"id": "{stem}", "emotion": "{label}", "level": "{intensity}",
                                        "text": "{text}"}),),
        card={"tables": [{"path": "transcripts.csv", "key": "id",
                          "columns": {"label": "emotion", "intensity": "level", "text": "text"}}],
              "intensities": {"1": 0.4, "2": 0.7, "3": 1.0}},
    ),
    Demo(
        "demo_studies", "Demo double of STUDIES: Japanese labels in the folders", 240, ("ja",),
        "FTeacher/F FStudent/F MStudent/M",
        {"平静": "neutral", "喜び": "happiness", "悲しみ": "sadness", "怒り": "anger"},
        "{speaker}/{label}/Long-dialogue-{number:03d}", r"(?P<speaker>(?P<gender>[FM])[A-Za-z]+)/(?P<label>[^/]+)/.+",
        Channel(22_050, -24, -70),
    ),
    Demo(
        "demo_telefono", "A demo call centre: Italian, 8 kHz, eight labels", 256, ("it",),
        "c1/F c2/M c3/F c4/M c5/F c6/M c7/F c8/M",
        {"gioia": "happiness", "tristezza": "sadness", "disgusto": "disgust", "paura": "fear", "sorpresa": "surprise",
         "rabbia": "anger", "altro": "other", "neutro": "neutral"},
        "{label}/{speaker}-{gender}-{number:04d}", r"(?P<label>[a-z]+)/(?P<speaker>c\d)-(?P<gender>[FM])-\d+",
        Channel(8_000, -18, -42, 0.0, 300, 3_400),
    ),
)  # fmt: skip

ZERO_SHOT: tuple[Demo, ...] = (
    Demo(
        "demo_emodb", "Demo double of EMO-DB: German, a letter for the emotion", 162, ("de",),
        "03/M 08/F 09/F 10/M 11/M 13/F",
        {"W": "anger", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral"},
        "wav/{speaker}a{sentence:02d}{label}{take:02d}", r"wav/(?P<speaker>\d\d)a\d\d(?P<label>[A-Z])\d\d",
        Channel(16_000, -25, -60, 0.2), zero_shot=True,
        card={"gender": "{speaker}", "genders": {"03": "M", "08": "F", "09": "F", "10": "M", "11": "M", "13": "F"}},
    ),
    Demo(
        "demo_aesdd", "Demo double of AESDD: Greek, five emotions and no neutral", 160, ("el",),
        "1/F 2/M 3/F 4/M 5/F",
        {e: e for e in ("anger", "disgust", "fear", "happiness", "sadness")},
        "{label}/{label[0]}{sentence:02d} ({speaker}) {take}", r"(?P<label>[a-z]+)/[a-z]\d\d \((?P<speaker>\d)\) \d+",
        Channel(44_100, -22, -55, -0.3), zero_shot=True,
    ),
    Demo(
        "demo_urdu", "Demo double of URDU: four emotions", 160, ("ur",),
        "SM1/M SM2/M SF1/F SM3/M SF2/F SF3/F SM4/M SF4/F",
        {"Angry": "anger", "Happy": "happiness", "Neutral": "neutral", "Sad": "sadness"},
        "{label}/{speaker}_F{sentence}_{label[0]}{take:02d}",
        r"(?P<label>\w+)/(?P<speaker>S(?P<gender>[MF])\d)_F\d_[AHNS]\d\d", Channel(44_100, -27, -50, 0.3),
        zero_shot=True,
    ),
    Demo(
        "demo_masc", "Demo double of MASC: Mandarin, panic and elation", 160, ("zh",),
        "001/M 002/F 003/M 004/F 005/M 006/F",
        {"anger": "anger", "elation": "happiness", "neutral": "neutral", "panic": "fear", "sadness": "sadness"},
        "{speaker}/{label}/utterance_{number:03d}", r"(?P<speaker>\d{3})/(?P<label>[a-z]+)/.+",
        Channel(22_050, -23, -58), zero_shot=True,
    ),
)  # fmt: skip
