"""Corpora with tables of their own format: transcripts in old encodings, judgements, and parts of long recordings."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from valenza.corpora.card import read_card
from valenza.corpora.parse import clips
from valenza.errors import DataError

MANIFESTS = Path(__file__).resolve().parents[3] / "datasets_manifests"
Make = Callable[[str], Any]
"""What the fixture `tree` is: corpus id → an empty corpus with the shipped manifest."""


def said(corpus: Any) -> dict[str, Any]:
    """The corpus's clips by stem; nothing may be wrong with it."""
    named: dict[str, Any] = corpus.short(corpus.clips())
    return named


def scored(corpus: Any, wanted: dict[str, dict[str, float]]) -> None:
    found = corpus.short(corpus.scores(all_used=all(wanted.values())))
    assert found.keys() == wanted.keys()
    for name, score in wanted.items():
        assert found[name] == pytest.approx(score, abs=1e-5), name


def test_esd_reads_four_encodings_and_passes_over_malformed_lines(tree: Make) -> None:
    corpus = tree("esd")
    speakers = {"0001": "gb2312", "0003": "utf-16", "0011": "utf-8", "0016": "cp1252", "0020": "utf-8-sig"}
    levels = ("train/", "test/", "", "", "")
    corpus.speech(*(f"{s}/Angry/{level}{s}_000351.wav" for s, level in zip(speakers, levels, strict=True)))
    corpus.speech("0016/Sad/evaluation/0016_001051.wav", "0001/Surprise/0001_001401.wav")
    texts = {"0001": "打远一看", "0003": "他非常地高兴", "0011": "The nine the eggs.", "0016": "It’s Zoë’s café"}
    for speaker, encoding in speakers.items():
        text, emotion = texts.get(speaker, "Tom – not he."), "生气" if speaker < "0011" else "Angry"
        odd = f"{speaker}_001401 without tabs\n{speaker}_001051\ttwo\t\ttoo many\tAngry\n\n"
        corpus.write(f"{speaker}/{speaker}.txt", f"{speaker}_000351\t{text}\t{emotion}\n{odd}", encoding)
    assert {name: (clip.text, clip.language, clip.gender) for name, clip in said(corpus).items()} == {
        "0001_000351": ("打远一看", "zh-CN", "F"),
        "0001_001401": (None, "zh-CN", "F"),
        "0003_000351": ("他非常地高兴", "zh-CN", "F"),
        "0011_000351": ("The nine the eggs.", "en", "M"),
        "0016_000351": ("It’s Zoë’s café", "en", "F"),
        "0016_001051": (None, "en", "F"),
        "0020_000351": ("Tom – not he.", "en", "M"),
    }
    assert {clip.split for clip in said(corpus).values()} == {None}
    assert corpus.short(corpus.scores())["0001_001401"] == {"surprise": 1.0}
    assert corpus.faults() == []


def test_esd_is_read_without_its_transcripts(tree: Make) -> None:
    corpus = tree("esd")
    corpus.speech("0012/Happy/0012_000701.wav")
    scored(corpus, {"0012_000701": {"happiness": 1.0}})


def test_studies_matches_the_nth_line_with_the_nth_recording(tree: Make) -> None:
    corpus = tree("studies")
    long, ita = "Long_dialogue/LD01/LD01-Dialogue-01", "ITA/Emotion100-Angry"
    turns = (("Teacher", 2), ("FStudent", 3), ("Teacher", 4), ("FStudent", 5))
    corpus.speech(*(f"{long}/wav/LD01-Dialogue-01-{who}-Turn-{n:02d}.wav" for who, n in turns))
    corpus.speech(*(f"{ita}/wav/Emotion100-Angry-MStudent-{n:03d}.wav" for n in (1, 2)))
    corpus.write(
        f"{long}/txt/LD01-Dialogue-01.txt",
        "講師|平静|こんにちは。|コンニチワ\n女子生徒|喜び|先生、聞いてください！|センセイ\n"
        "講師|喜び|どうしたの？|ドーシタノ\n女子生徒|悲しみ|実は……\n",
    )
    corpus.write(f"{ita}/txt/part1.txt", "男子生徒|怒り|えっ嘘でしょ。|エッ\n")
    corpus.write(f"{ita}/txt/part2.txt", "男子生徒|怒り|シュヴァイツァーは。|シュ\n")
    found = said(corpus)
    assert {name: (clip.speaker, clip.gender, clip.label) for name, clip in found.items()} == {
        "LD01-Dialogue-01-Teacher-Turn-02": ("Teacher", "F", "平静"),
        "LD01-Dialogue-01-FStudent-Turn-03": ("FStudent", "F", "喜び"),
        "LD01-Dialogue-01-Teacher-Turn-04": ("Teacher", "F", "喜び"),
        "LD01-Dialogue-01-FStudent-Turn-05": ("FStudent", "F", "悲しみ"),
        "Emotion100-Angry-MStudent-001": ("MStudent", "M", "怒り"),
        "Emotion100-Angry-MStudent-002": ("MStudent", "M", "怒り"),
    }
    assert found["Emotion100-Angry-MStudent-002"].text == "シュヴァイツァーは。"
    assert found["LD01-Dialogue-01-Teacher-Turn-04"].recording == long
    assert corpus.short(corpus.scores())["LD01-Dialogue-01-FStudent-Turn-05"] == {"sadness": 1.0}


def test_studies_refuses_recordings_that_cannot_be_matched(tree: Make) -> None:
    corpus = tree("studies")
    folder = "Short_dialogue/SD01/SD01-Dialogue-02"
    stem = f"{folder}/wav/SD01-Dialogue-02"
    corpus.speech(*(f"{stem}-{who}-Turn-{n:02d}.wav" for who, n in (("Teacher", 1), ("Teacher", 2), ("MStudent", 1))))
    lines = "講師|平静|はい。|ハイ\n男子生徒|怒り|もう！|モウ\nオペレータ|平静|はい。|ハイ\n"
    corpus.write(f"{folder}/txt/SD01-Dialogue-02.txt", lines)
    assert [Path(clip.source).stem for clip in corpus.parse().clips] == ["SD01-Dialogue-02-MStudent-Turn-01"]
    problems = corpus.problems()
    assert "1 lines but 2 recordings" in problems.pop(f"{stem}-Teacher-Turn-01.wav")
    assert "1 lines but 2 recordings" in problems.pop(f"{stem}-Teacher-Turn-02.wav")
    assert list(problems) == [f"{folder}/txt/SD01-Dialogue-02.txt"]


def test_emodb_scores_the_share_of_listeners_who_recognised_a_take(tree: Make) -> None:
    corpus = tree("emodb")
    corpus.speech(*(f"wav/{name}.wav" for name in ("03a01Fa", "16b10Lb", "08a02Wc", "09a05Ta")))
    lines = (
        "1\xa0\xa0\t03a01Fa.wav\t90,00\xa0\xa0\t75,00 ",
        "2\t16b10Lb.wav\t65,00\t35,00",
        "3\t08a02Wc.wav\t95,24\t100,00",
    )
    corpus.write("erkennung.txt", "\r\n".join(["Nr.\tSatz\terkannt\tnatuerlich", *lines]), "cp1252")
    assert {name: (clip.speaker, clip.gender) for name, clip in said(corpus).items()} == {
        "03a01Fa": ("03", "M"),
        "16b10Lb": ("16", "F"),
        "08a02Wc": ("08", "F"),
        "09a05Ta": ("09", "F"),
    }
    heard = {
        "03a01Fa": {"happiness": 0.9},
        "16b10Lb": {"neutral": 0.325, "other": 0.195, "sadness": 0.13},
        "08a02Wc": {"anger": 0.9524},
        "09a05Ta": {"sadness": 1.0},
    }
    scored(corpus, heard)
    (corpus.root / "erkennung.txt").unlink()
    scored(corpus, {name: {e: w / sum(s.values()) for e, w in s.items()} for name, s in heard.items()})


def test_emodb_names_a_line_of_its_table_that_is_no_percentage(tree: Make) -> None:
    corpus = tree("emodb")
    corpus.speech("wav/03a01Fa.wav")
    corpus.write("erkennung.txt", "Nr.\tSatz\terkannt\tnatuerlich\n1\t03a01Fa.wav\tviele\t75,00\n")
    assert "erkennung.txt:2: expected number, take" in corpus.problems()["wav/03a01Fa.wav"]


def test_the_real_emodb_is_recognised_by_most(shared: Path) -> None:
    parsed = clips(read_card(MANIFESTS / "emodb.yaml"), shared / "corpora" / "emodb")
    shares = [share for clip in parsed.clips for share in (clip.votes or {}).values()]
    assert (len(parsed.problems), len(shares)) == (0, 339)
    assert all(list(clip.votes or {}) == [clip.label] for clip in parsed.clips)
    assert 0.8 <= min(shares) <= max(shares) <= 1
    assert 0.9 < sum(shares) / len(shares) < 0.99


def ogvc(corpus: Any) -> None:
    corpus.speech("Natural/wav/01_MAD_1.wav", "Natural/wav/06_FWA.wav", seconds=3, rate=48_000)
    lines = "0001\t0.50\t0.90\tやったー\n0002\t1.00\t1.40\tえ、本当に？\n0003\t1.50\t1.90\t{笑}\n0004\t2.0\t2.4\tうん\n"
    corpus.write("Natural/trans/01_MAD_1.txt", lines, "cp932")
    corpus.write("Natural/trans/06_FWA.txt", "1,0.1,0.6,いや、ちょっと\n", "cp932")
    heard = "01_MAD_1,0001,JOY,JOY,SUR\n01_MAD_1,0002,NEU,NEU,ANT\n01_MAD_1,0004,OTH,ACC,ANG\n06_FWA,0001,FEA,FEA,FEA\n"
    corpus.write("Natural/eval/category.txt", heard)
    marks = f"01_MAD_1,0001,JOY,{','.join(['3', '4'] * 9)}\n06_FWA,1,FEA,{','.join(['1'] * 18)}\n"
    corpus.write("Natural/eval/intensity.txt", marks)


def test_ogvc_natural_scores_labellers_and_intensity(tree: Make) -> None:
    corpus = tree("ogvc_natural")
    ogvc(corpus)
    scored(
        corpus,
        {
            "01_MAD_1@0.5": {"happiness": 2 / 3 * 0.7, "surprise": 1 / 3 * 0.7},
            "01_MAD_1@1": {"neutral": 2 / 3 + 0.2 / 3, "happiness": 0.2 / 3, "other": 0.2},
            "01_MAD_1@1.5": {},
            "01_MAD_1@2": {"other": 1.2 / 3, "happiness": 0.1, "neutral": 0.5 / 3, "anger": 1 / 3},
            "06_FWA@0.1": {"fear": 0.2},
        },
    )
    clip = said(corpus)["01_MAD_1@1"]
    assert (clip.speaker, clip.gender, clip.text, clip.start, clip.end) == ("01MAD", "M", "え、本当に？", 1.0, 1.4)
    assert said(corpus)["01_MAD_1@1.5"].label == "unlabelled"
    assert corpus.faults() == []


def test_ogvc_names_what_cannot_be_read(tree: Make) -> None:
    corpus = tree("ogvc_natural")
    ogvc(corpus)
    corpus.write("Natural/trans/06_FWA.txt", "1,0.1,0.6,いや\n2,broken\n", "cp932")
    assert "06_FWA.txt:2: expected number, start, end and text" in corpus.problems()["Natural/wav/06_FWA.wav"]
    corpus.write("Natural/eval/category.txt", "06_FWA,0001,FEA,FER,FEA\n")
    with pytest.raises(DataError, match=r"eval/category.txt:1: 'FER' is none of JOY"):
        corpus.parse()


def test_thai_ser_shares_a_vote_among_a_persons_picks(tree: Make) -> None:
    corpus = tree("thai_ser")
    studio = "studio1-10/studio001"
    corpus.speech(f"{studio}/con/s001_con_actor001_impro1_1.flac", f"{studio}/clip/s001_clip_actor001_impro1_1.flac")
    corpus.speech(
        f"{studio}/con/s001_con_actor002_script1_1a.flac", "zoom1-10/zoom003/mic/z003_mic_actor090_impro2_10.flac"
    )
    picked = {
        "s001_con_actor001_impro1_1.wav": [["Angry"], ["Angry", "Frustrated"], ["None"], ["Other"]],
        "s001_con_actor002_script1_1a.wav": [["Neutral"], ["neutral"], ["Sad", "None"]],
        "z003_mic_actor090_impro2_10.flac": [["None"], []],
    }
    judged = {name: [{"annotated": picks, "agreement": 0.5, "assigned_emo": "Angry"}] for name, picks in picked.items()}
    corpus.write("emotion_label.json", json.dumps(judged))
    people = [{"Actor's ID": "001", "Sex": "Female", "Age": "25"}, {"Actor's ID": "090", "Sex": "Male", "Age": 31}]
    corpus.write("actor_demography.json", json.dumps({"data": people}))
    found = said(corpus)
    assert found["s001_con_actor001_impro1_1"].votes == {"Angry": 1.5, "Frustrated": 0.5, "Other": 1.0}
    assert {name: (clip.speaker, clip.gender, clip.recording) for name, clip in found.items()} == {
        "s001_con_actor001_impro1_1": ("001", "F", "s001"),
        "s001_con_actor002_script1_1a": ("002", None, "s001"),
        "z003_mic_actor090_impro2_10": ("090", "M", "z003"),
    }
    scored(
        corpus,
        {
            "s001_con_actor001_impro1_1": {"anger": (1.5 + 0.35) / 3, "sadness": 0.05, "other": 1 / 3},
            "s001_con_actor002_script1_1a": {"neutral": 2 / 3, "sadness": 1 / 3},
            "z003_mic_actor090_impro2_10": {},
        },
    )


def test_thai_ser_names_what_cannot_be_read(tree: Make) -> None:
    corpus = tree("thai_ser")
    corpus.speech("studio001/con/s001_con_actor001_impro1_1.flac")
    corpus.write("emotion_label.json", json.dumps({"s001_con_actor001_impro1_1.wav": [{"annotated": [["Bored"]]}]}))
    assert list(corpus.wrong().values()) == ["tables"]
    corpus.write("emotion_label.json", "[]")
    with pytest.raises(DataError, match="expected one JSON object"):
        corpus.parse()


COLUMNS = ("hash_id", "annotator_emo", "golden_emo", "speaker_text", "speaker_emo", "source_id")
DUSHA = [
    ("aa", "angry", "", "Ну «всё», хватит", "angry", 5),
    ("aa", "angry", None, "Ну «всё», хватит", "angry", 5),
    ("aa", "other", "", "Ну «всё», хватит", "angry", 5),
    ("bb", "positive", "positive", 'ура "ура', "positive", 6),
    ("cc", "neutral", "", "да", None, 7),
    ("cc", "sad", "sad", "да", None, 7),
    ("cc", "", "", "да", None, 7),
]


def dusha(corpus: Any, suffix: str) -> None:
    corpus.speech("crowd_train/wavs/aa.wav", "crowd_train/wavs/bb.wav", "crowd_test/wavs/cc.wav")
    for part, names in (("train", {"aa", "bb"}), ("test", {"cc"})):
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in DUSHA if row[0] in names]
        rows = [{**row, "audio_path": f"wavs/{row['hash_id']}.wav", "annotator_id": i} for i, row in enumerate(rows)]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        if suffix == "tsv":
            cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
            lines = ["\t".join(line) for line in (rows[0], *cells)]
        corpus.write(f"crowd_{part}/raw_crowd_{part}.{suffix}", "\n".join(lines) + "\n")


@pytest.mark.parametrize("suffix", ["jsonl", "tsv"])
def test_dusha_counts_judgements_but_control_tasks(tree: Make, suffix: str, tmp_path: Path) -> None:
    corpus = tree("dusha")
    dusha(corpus, suffix)
    manifest = tmp_path / "dusha.yaml"
    manifest.write_text((MANIFESTS / "dusha.yaml").read_text().replace(".jsonl\n", f".{suffix}\n"))
    parsed = clips(read_card(manifest), corpus.root)
    assert parsed.problems == []
    assert {Path(c.source).stem: (c.votes, c.label, c.speaker, c.text) for c in parsed.clips} == {
        "aa": ({"angry": 2.0, "other": 1.0}, None, "5", "Ну «всё», хватит"),
        "bb": (None, "control", "6", 'ура "ура'),
        "cc": ({"neutral": 1.0}, None, "7", "да"),
    }


def test_dusha_scores_shares_and_names_what_cannot_be_read(tree: Make) -> None:
    corpus = tree("dusha")
    dusha(corpus, "jsonl")
    scored(corpus, {"aa": {"anger": 2 / 3, "other": 1 / 3}, "bb": {}, "cc": {"neutral": 1.0}})
    path = corpus.root / "crowd_train" / "raw_crowd_train.jsonl"
    path.write_text(path.read_text().replace('"angry", "golden', '"furious", "golden', 1))
    assert "none of angry, sad" in corpus.problems()["crowd_train/wavs/aa.wav"]
    path.write_text('{"hash_id": "aa"}\n')
    with pytest.raises(DataError, match=r"raw_crowd_train.jsonl:1: has no annotator_emo"):
        corpus.parse()


def test_nemo_reads_a_header_with_stray_spaces(tree: Make) -> None:
    corpus = tree("nemo")
    corpus.speech("samples/EB0_anger_1.wav", "samples/SB2_surprised_90.wav")
    header = "file_id \temotion\traw_text\tnormalized_text\tspeaker_id \tgender\tage\n"
    line = "EB0_anger_1.wav\tanger\tŻółw „Antek” śpi.\tżółw antek śpi\tEB0\tfemale\t21\n"
    corpus.write("data.tsv", header + line)
    first, second = said(corpus)["EB0_anger_1"], said(corpus)["SB2_surprised_90"]
    assert (first.speaker, first.gender, first.text) == ("EB0", "F", "Żółw „Antek” śpi.")
    assert (second.speaker, second.gender, second.text) == ("SB2", None, None)
    scored(corpus, {"EB0_anger_1": {"anger": 1.0}, "SB2_surprised_90": {"surprise": 1.0}})


def test_pavoque_cuts_one_recording_a_style(tree: Make) -> None:
    corpus = tree("pavoque")
    corpus.speech("pavoque-happy.flac", "pavoque-poker.flac", "pavoque-outtakes.flac", seconds=2, rate=44_100)
    first = {"prompt": "m0001", "text": "Grüß dich!", "style": "Happy", "start": 0.0, "end": 0.8}
    second = {"prompt": "m0002", "text": "Schön.", "style": "happy", "start": 0.8, "end": 1.9}
    segments = {"segments": [{"lab": "g", "dur": 0.1}, {"lab": "R", "dur": 0.1}]}
    corpus.write("pavoque-happy.yaml", yaml.safe_dump([first | segments, second], allow_unicode=True))
    corpus.write("pavoque-poker.yaml", "- {prompt: p1, style: poker, start: 0.25, end: 1, text: Ich passe.}\n")
    corpus.write("pavoque-outtakes.yaml", "- {prompt: p1, style: angry, start: 0, end: 1, text: Mist.}\n")
    scored(
        corpus,
        {
            "pavoque-happy@0": {"happiness": 1.0},
            "pavoque-happy@0.8": {"happiness": 1.0},
            "pavoque-poker@0.25": {"neutral": 1.0},
        },
    )
    clip = said(corpus)["pavoque-happy@0"]
    assert (clip.text, clip.end, clip.gender, clip.speaker) == ("Grüß dich!", 0.8, "M", "roettig")
    assert corpus.parse().ignored == 1
    assert corpus.faults() == []
    corpus.write("pavoque-poker.yaml", "- {prompt: p1, style: poker}\n")
    assert corpus.wrong() == {"pavoque-poker.yaml": "tables", "pavoque-poker.flac": "tables"}
    corpus.write("pavoque-poker.yaml", "prompt: [")
    with pytest.raises(DataError, match="is not YAML"):
        corpus.parse()
