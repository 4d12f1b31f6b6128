"""The demo corpora: the same bytes whoever asks in whatever order, manifests that fit, and sound that is sane."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from valenza.corpora.card import find_cards, read_card
from valenza.corpora.parse import clips
from valenza.corpora.synth.catalogue import TRAINING, ZERO_SHOT
from valenza.corpora.synth.demo import plan, say, speak
from valenza.corpora.synth.scripts import SENTENCES
from valenza.corpora.synth.voice import LANGUAGES
from valenza.errors import UsageError
from valenza.labels.taxonomy import EMOTIONS

DEMOS = (*TRAINING, *ZERO_SHOT)
SCALE = 0.06


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "corpora"
    speak(folder, seed=7, scale=SCALE)
    return folder


def test_another_process_writes_the_same_bytes(spoken: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from valenza.corpora.synth.demo import speak; "
    code += f"speak(Path(sys.argv[1]), seed=7, scale={SCALE})"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "again")], check=True, capture_output=True)
    assert digests(tmp_path / "again") == digests(spoken)


def test_writing_again_changes_nothing(spoken: Path) -> None:
    before = digests(spoken)
    summary = speak(spoken, seed=7, scale=SCALE)
    assert digests(spoken) == before
    assert summary.clips == sum(name.endswith(".wav") for name in before)


def test_a_clip_does_not_depend_on_those_spoken_before_it() -> None:
    takes = [(demo, take) for demo in DEMOS for take in plan(demo, 6, 3)]
    forward = [say(demo, take, 3) for demo, take in takes]
    backward = [say(demo, take, 3) for demo, take in reversed(takes)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward, strict=True))


def test_another_seed_gives_other_speech() -> None:
    demo = TRAINING[0]
    first, second = (say(demo, plan(demo, 1, seed)[0], seed) for seed in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.id)
def test_manifest_reads_every_clip(spoken: Path, demo) -> None:
    card = read_card(spoken / "manifests" / f"{demo.id}.yaml")
    parsed = clips(card, spoken / demo.id)
    assert parsed.problems == []
    assert (len(parsed.clips), len({c.speaker for c in parsed.clips})) == (card.expect.clips, card.expect.speakers)
    assert {c.language for c in parsed.clips} == set(card.languages) == set(demo.languages)
    heard = {c.label for c in parsed.clips if c.label} | {name for c in parsed.clips for name in c.votes or ()}
    assert heard == set(demo.labels)
    assert all(c.intensity in card.intensities for c in parsed.clips if c.intensity)


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.id)
def test_every_speaker_acts_every_label(demo) -> None:
    takes = plan(demo, demo.clips, 7)
    assert len({take.path for take in takes}) == demo.clips
    pairs = {(take.values["speaker"], take.values["label"]) for take in takes}
    assert len(pairs) == len(demo.speakers.split()) * len(demo.labels)


def test_folder_holds_as_many_corpora_as_the_paper(spoken: Path) -> None:
    assert len(TRAINING) == 16
    assert len(ZERO_SHOT) == 4
    assert set(find_cards(spoken / "manifests")) == {demo.id for demo in DEMOS}
    assert sum(demo.clips for demo in TRAINING) >= 4_000
    assert {e for demo in DEMOS for e in read_card(spoken / "manifests" / f"{demo.id}.yaml").classes} == set(EMOTIONS)


def test_zero_shot_languages_are_spoken_in_no_training_corpus() -> None:
    trained = {language for demo in TRAINING for language in demo.languages}
    assert trained.isdisjoint(language for demo in ZERO_SHOT for language in demo.languages)
    assert [demo.languages for demo in ZERO_SHOT] == [("de",), ("el",), ("ur",), ("zh",)]
    assert {accent.split("-")[0] for accent in LANGUAGES} == set(SENTENCES)


def test_sound_is_speech_of_a_few_seconds_that_does_not_clip(spoken: Path) -> None:
    levels: dict[str, float] = {}
    for demo in DEMOS:
        loudness = []
        for path in sorted((spoken / demo.id).rglob("*.wav")):
            samples, rate = soundfile.read(path)
            assert rate == demo.channel.rate
            assert np.isfinite(samples).all()
            assert np.abs(samples).max() < 0.99
            assert 0.8 < len(samples) / rate < 6
            loudness.append(np.sqrt(np.mean(samples**2)))
        levels[demo.id] = 20 * np.log10(np.mean(loudness))
    assert max(levels.values()) - min(levels.values()) > 10
    assert len({demo.channel.rate for demo in DEMOS}) >= 6


def test_votes_disagree_now_and_then(spoken: Path) -> None:
    card = read_card(spoken / "manifests" / "demo_podcast.yaml")
    votes = [c.votes for c in clips(card, spoken / "demo_podcast").clips]
    assert all(v is not None and sum(v.values()) == 5 for v in votes)
    assert 0.1 < np.mean([len(v) > 1 for v in votes if v]) < 0.9
    assert dict(card.labels["C"]) == {"disgust": 0.5}


def test_splits_keep_speakers_whole(spoken: Path) -> None:
    for name in ("demo_iemocap", "demo_podcast"):
        found = clips(read_card(spoken / "manifests" / f"{name}.yaml"), spoken / name).clips
        splits = {(c.speaker, c.split) for c in found}
        assert len(splits) == len({speaker for speaker, _ in splits})
        assert {"train", "test"} <= {split for _, split in splits}


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, spoken: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        speak(tmp_path, scale=SCALE)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(UsageError, match="seed 7"):
        speak(spoken, seed=8, scale=SCALE)
    assert json.loads((spoken / "demo.json").read_text())["seed"] == 7


def test_missing_espeak_is_explained(tmp_path: Path) -> None:
    code = "import sys; sys.modules['espeakng_loader'] = None; from pathlib import Path\n"
    code += "from valenza.corpora.synth.demo import speak\nfrom valenza.errors import UsageError\n"
    code += "try: speak(Path(sys.argv[1]))\nexcept UsageError as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "new")], check=True, capture_output=True, text=True
    )
    assert 'pip install "valenza[demo]"' in done.stdout
    assert not (tmp_path / "new").exists()
