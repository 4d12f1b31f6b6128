"""Joined tracks: exact boundaries, one loudness, labels on the frame, and the same bytes for anybody who makes them."""

import hashlib
import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from valenza.cli import app
from valenza.corpora.card import read_card
from valenza.corpora.parse import clips
from valenza.errors import DataError, ShardError, UsageError
from valenza.labels.harmonise import scores
from valenza.labels.taxonomy import EMOTIONS
from valenza.shards.read import Reader
from valenza.shards.stored import read_cards, read_index
from valenza.shards.verify import verify
from valenza.shards.write import build
from valenza.stages.tracks import Made, make_tracks, read_tracks, verify_tracks
from valenza.stages.tracks.sound import SoundSettings, active_level, headroom, join, stretch

RATE, FRAME = 16_000, 320
MANIFEST = """id: acted
title: Acted tones
languages: [it]
licence: CC BY 4.0
access: open
audio: "*.wav"
pattern: '(?P<speaker>s\\d)(?P<gender>[FM])_(?P<label>[a-z]+)_\\d'
labels: {glad: {happiness: 0.75, surprise: 0.25}, sad: sadness, cross: anger, plain: neutral, hm: null}
"""
LABELS = ("glad", "sad", "cross", "plain", "hm")
EMOTION = {"glad": "happiness", "sad": "sadness", "cross": "anger", "plain": "neutral"}


def speak(folder: Path) -> None:
    """Write 80 clips of tones in silence, of quite different levels; those of `s3` say too little for most kinds."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for speaker in range(4):
        for number, label in enumerate(LABELS):
            for take in range(4):
                if speaker == 3 and label not in {"sad", "cross"}:
                    continue
                time = np.arange(int(RATE * rng.uniform(0.5, 1.5))) / RATE
                tone = np.sin(2 * np.pi * (150 + 70 * number + 20 * speaker) * time) * (1 + np.sin(9 * time))
                around = [1e-4 * rng.standard_normal(int(RATE * rng.uniform(0, 0.4))) for _ in range(2)]
                samples = np.concatenate([around[0], 10 ** rng.uniform(-1.6, -0.4) * tone, around[1]])
                soundfile.write(folder / f"s{speaker}{'FM'[speaker % 2]}_{label}_{take}.wav", samples, RATE)


@pytest.fixture(scope="module")
def acted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acted")
    speak(folder / "acted")
    (folder / "acted.yaml").write_text(MANIFEST)
    card = read_card(folder / "acted.yaml")
    build(card, folder / "acted.yaml", clips(card, folder / "acted").clips, folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="module")
def made(acted: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_tracks(acted, "acted", None, tmp_path_factory.mktemp("made"), per_speaker=10)


def opened(made: Made) -> tuple[dict[str, int], Reader]:
    """The stored tracks by their name in `tracks.json`."""
    index = read_index(made.folder.parent, [made.corpus])
    names = {clip.removeprefix(f"{made.corpus}-"): row for row, clip in enumerate(index["id"].to_pylist())}
    return names, Reader(made.folder.parent, index)


def bytes_of(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()}


def test_tracks_are_ordinary_shards(made):
    assert verify(made.folder) == []
    index = read_index(made.folder.parent, [made.corpus])
    card = read_cards(made.folder.parent, [made.corpus])[made.corpus]
    assert (card.id, card.licence, card.access) == ("acted-tracks", "CC BY 4.0", "open")
    assert set(index["language"].to_pylist()) == {"it"}
    assert {(s, g) for s, g in zip(index["speaker"].to_pylist(), index["gender"].to_pylist(), strict=True)} == {
        (f"s{i}", "FM"[i % 2]) for i in range(4)
    }
    assert Reader(made.folder.parent, index).has_frames.all()
    assert {track.id for track in made.tracks.tracks} == opened(made)[0].keys()


def test_training_on_whole_clips_never_uses_a_track(made):
    index = read_index(made.folder.parent, [made.corpus])
    cards = read_cards(made.folder.parent, [made.corpus])
    meaning = scores(index, cards)
    assert not meaning.used.any()
    assert not meaning.targets.any()
    # What its frames can be is still known.
    assert cards[made.corpus].classes == ("happiness", "sadness", "surprise", "anger", "neutral")


def test_each_event_is_its_clip_on_its_frames(made, acted):
    """Sample by sample: the middle of each event is the clip times one number, and the next begins right after."""
    index = read_index(acted, ["acted"])
    row_of = {clip: row for row, clip in enumerate(index["id"].to_pylist())}
    source, (names, stored) = Reader(acted, index), opened(made)
    for track in made.tracks.tracks:
        samples = stored.audio(names[track.id]).astype(np.float64)
        assert len(samples) == sum(e.samples for e in track.events) == track.seconds * RATE
        assert [b.start - a.start for a, b in pairwise(track.events)] == [e.samples for e in track.events[:-1]]
        for event in track.events:
            assert event.start % FRAME == event.samples % FRAME == 0
            clip = source.audio(row_of[event.clip]).astype(np.float64)[event.first : event.first + event.samples]
            heard = samples[event.start : event.start + event.samples]
            factor = 10 ** ((event.gain_db + track.scale_db) / 20)
            np.testing.assert_allclose(heard[80:-80], factor * clip[80:-80], atol=0.51)
            # 5 ms of fade are all that lies between two events; even there, no sample is louder than its clip's.
            assert (np.abs(heard) <= np.abs(factor * clip) + 0.51).all()
            assert abs(heard[0]) <= abs(factor * clip[0]) / 100 + 0.51
            assert np.corrcoef(heard, clip)[0, 1] > 0.999


def test_frames_say_what_their_clip_says(made, acted):
    index = read_index(acted, ["acted"])
    row_of = {clip: row for row, clip in enumerate(index["id"].to_pylist())}
    targets = scores(index, read_cards(acted, ["acted"])).targets
    names, stored = opened(made)
    for track in made.tracks.tracks:
        frames = stored.frames(names[track.id])
        assert len(frames) == round(track.seconds * 50)
        for event in track.events:
            own = frames[event.start // FRAME : (event.start + event.samples) // FRAME]
            np.testing.assert_allclose(own, np.tile(targets[row_of[event.clip]], (len(own), 1)), atol=1e-3)
            assert EMOTIONS[int(own[0].argmax())] == event.emotion
        changes = np.flatnonzero(np.abs(np.diff(frames, axis=0)).sum(axis=1) > 0.01) + 1
        np.testing.assert_allclose(changes / 50, track.boundaries)
    glad = next(e for t in made.tracks.tracks for e in t.events if "_glad_" in e.clip)
    assert glad.mixture[EMOTIONS.index("happiness")] == 0.75


def test_all_clips_are_equally_loud_and_none_is_clipped(made):
    names, stored = opened(made)
    for track in made.tracks.tracks:
        samples = stored.audio(names[track.id]) / 32768
        assert np.abs(samples).max() <= 0.98 + 1e-4
        levels = [active_level(samples[e.start : e.start + e.samples]) for e in track.events]
        assert max(levels) - min(levels) < 0.1
        assert abs(np.mean(levels) - (-26 + track.scale_db)) < 0.05


def test_silence_at_the_ends_is_gone_but_for_20_ms(made, acted):
    index = read_index(acted, ["acted"])
    row_of = {clip: row for row, clip in enumerate(index["id"].to_pylist())}
    source = Reader(acted, index)
    for event in (e for t in made.tracks.tracks for e in t.events):
        clip = np.abs(source.audio(row_of[event.clip]).astype(np.float64))
        loud = np.flatnonzero(clip > clip.max() / 100)
        assert event.first >= max(0, loud[0] - FRAME) - FRAME
        assert event.first <= loud[0]
        stop = event.first + event.samples
        assert loud[-1] - FRAME < stop <= loud[-1] + 1 + 2 * FRAME


def test_only_the_rows_that_are_given_are_heard(acted, tmp_path):
    index = read_index(acted, ["acted"])
    rows = [row for row, speaker in enumerate(index["speaker"].to_pylist()) if speaker in {"s0", "s2"}]
    made = make_tracks(acted, "acted", rows, tmp_path, per_speaker=5, seed=1)
    heard = {e.clip for t in made.tracks.tracks for e in t.events}
    assert heard <= {index["id"][row].as_py() for row in rows}
    assert not any("_hm_" in clip for clip in heard)
    assert {t.speaker for t in made.tracks.tracks} == {"s0", "s2"}
    assert made.tracks.clips == 32  # the clips whose label means nothing are not offered
    with pytest.raises(UsageError, match="no row 999"):
        make_tracks(acted, "acted", [999], tmp_path)


def test_kinds_and_what_is_missing_are_told(made):
    assert made.kinds == dict.fromkeys(made.tracks.kinds, 6) | {"emotion-emotion": 8, "several": 8}
    assert made.speakers == 4
    assert {(m.speaker, m.kind, m.tracks) for m in made.tracks.missing} == {
        ("s3", kind, 2) for kind in ("neutral-emotion", "emotion-neutral", "neutral-emotion-neutral")
    }
    told = made.as_dict()
    assert (told["tracks"], told["events"]) == (34, sum(len(t.events) for t in made.tracks.tracks))
    assert json.dumps(told)


def test_another_build_gives_the_same_bytes(made, acted, tmp_path):
    again = make_tracks(acted, "acted", None, tmp_path, per_speaker=10)
    assert bytes_of(again.folder) == bytes_of(made.folder)
    assert {"acted-tracks-000000.tar", "index.parquet", "shards.json", "card.yaml", "tracks.json"} == set(
        bytes_of(again.folder)
    )
    other = make_tracks(acted, "acted", None, tmp_path, per_speaker=10, seed=8)  # over the first
    assert bytes_of(other.folder)["tracks.json"] != bytes_of(made.folder)["tracks.json"]
    assert verify(other.folder) == []
    assert verify_tracks(tmp_path, "acted-tracks", acted) == []


def test_tracks_are_made_again_from_their_record_and_compared(made, acted, tmp_path):
    assert verify_tracks(made.folder.parent, made.corpus, acted) == []
    assert read_tracks(made.folder) == made.tracks
    shutil.copytree(made.folder.parent, tmp_path / "made")
    path = tmp_path / "made" / made.corpus / "tracks.json"
    first = made.tracks.tracks[0]
    event = first.events[0]
    changed = first.model_copy(
        update={"events": (event.model_copy(update={"gain_db": event.gain_db + 1}), *first.events[1:])}
    )
    path.write_bytes(made.tracks.model_copy(update={"tracks": (changed, *made.tracks.tracks[1:])}).render())
    found = verify_tracks(tmp_path / "made", made.corpus, acted)
    assert len(found) == 2
    assert all(first.id in difference and "samples" in difference for difference in found)
    path.write_bytes(made.tracks.model_copy(update={"tracks": made.tracks.tracks[1:]}).render())
    assert verify_tracks(tmp_path / "made", made.corpus, acted) == [f"{made.corpus}-{first.id}: is not in tracks.json"]
    text = path.read_text()
    for damaged in (text[:-9], text.replace('"seed": 7', '"seed": 8'), "", "[]", "null"):
        path.write_text(damaged)
        with pytest.raises(ShardError, match=r"tracks\.json: is damaged"):
            read_tracks(tmp_path / "made" / made.corpus)


def test_other_clips_than_those_that_were_joined_are_noticed(made, acted, tmp_path):
    folder = tmp_path / "raw"
    speak(folder / "acted")
    (folder / "acted.yaml").write_text(MANIFEST)
    path = next(folder.glob("acted/s0F_glad_*"))
    samples, _ = soundfile.read(path)
    soundfile.write(path, samples[::-1], RATE)
    card = read_card(folder / "acted.yaml")
    build(card, folder / "acted.yaml", clips(card, folder / "acted").clips, tmp_path / "shards")
    found = verify_tracks(made.folder.parent, made.corpus, tmp_path / "shards")
    assert found[0].startswith("acted: has another index")
    assert any(f"the clip acted-{path.stem} is not the one" in difference for difference in found[1:])


def test_clips_that_make_no_track_are_an_error(acted, tmp_path):
    index = read_index(acted, ["acted"])
    rows = [row for row, label in enumerate(index["label"].to_pylist()) if label == "sad"]
    with pytest.raises(DataError, match="none of 16 clips can be joined"):
        make_tracks(acted, "acted", rows, tmp_path)
    assert not (tmp_path / "acted-tracks").exists()
    with pytest.raises(UsageError, match="names no shards"):
        make_tracks(acted, "acted", None, tmp_path, name="Tracks of acted")


def test_a_loud_track_is_lowered_as_a_whole():
    """Clicks of a quiet clip would pass full scale at the level of speech."""
    quiet = np.zeros(RATE, dtype=np.float64)
    quiet[::3200] = 1.0
    sounds = [quiet * 3, 0.2 * np.sin(np.arange(RATE) / 5)]
    scale = headroom(sounds)
    joined = join(sounds, scale)
    assert scale == pytest.approx(20 * np.log10(0.98 / 3), abs=1e-3)
    assert 0.979 * 32768 < np.abs(joined.astype(int)).max() <= 0.98 * 32768
    assert np.abs(joined[RATE:]).max() == pytest.approx(0.2 * 10 ** (scale / 20) * 32768, abs=1)
    assert headroom([0.9 * quiet]) == 0.0


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 639, 640, 5000])
def test_clips_of_any_length_give_whole_frames_or_nothing(samples):
    sound = np.full(samples, 1000, dtype=np.int16)
    part = stretch(sound, SoundSettings())
    if samples < FRAME:
        assert part is None
    else:
        assert part is not None
        assert part.samples == samples // FRAME * FRAME
        assert part.first + part.samples <= samples
    assert stretch(np.zeros(samples, dtype=np.int16), SoundSettings()) is None


def run(*words: object) -> tuple[int, str, str]:
    ended = CliRunner().invoke(app, ["tracks", *map(str, words)], catch_exceptions=True)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        return 99, ended.stdout, str(ended.exception)
    return ended.exit_code, ended.stdout, ended.stderr


def test_the_command_makes_tells_and_verifies(acted, tmp_path):
    code, out, err = run("make", "acted", "--shards", acted, "--out", tmp_path, "--per-speaker", 10)
    assert code == 0
    heading, line = out.splitlines()
    assert heading.split()[:5] == ["corpus", "tracks", "speakers", "events", "minutes"]
    assert line.split()[:3] == ["acted-tracks", "34", "4"]
    assert "acted-tracks: speaker s3 lacks 2 tracks of neutral-emotion: their clips are anger, sadness" in err
    assert run("verify", "acted-tracks", "--tracks", tmp_path, "--shards", acted)[0] == 0
    code, out, _ = run(
        "make", "acted", "--shards", acted, "--out", tmp_path, "--speakers", "s0,s1", "--kinds", "several", "--json"
    )
    assert code == 0
    (told,) = json.loads(out)["corpora"]
    assert (told["tracks"], told["speakers"], told["kinds"], told["missing"]) == (24, 2, {"several": 24}, [])
    code, out, _ = run("make", "acted", "--shards", acted, "--out", tmp_path, "--exclude-speakers", "s3", "--json")
    assert {t.speaker for t in read_tracks(tmp_path / "acted-tracks").tracks} == {"s0", "s1", "s2"}
    (tmp_path / "acted-tracks" / "tracks.json").write_text("{}")
    code, _, err = run("verify", "acted-tracks", "--tracks", tmp_path, "--shards", acted)
    assert "is damaged" in err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--speakers", "s9"], "no corpus has a speaker 's9'"),
        (["--speakers", "s0", "--exclude-speakers", "s1"], "not both"),
        (["--kinds", "neutral-neutral"], "kinds are neutral-emotion"),
        (["--exclude-speakers", "s0,s1,s2,s3"], "none of its speakers is chosen"),
    ],
)
def test_mistakes_are_explained(acted, tmp_path, words, reason):
    code, _, err = run("make", "acted", "--shards", acted, "--out", tmp_path, *words)
    assert code == 99  # raised for `valenza` to print and to exit with its code
    assert reason in err


def test_on_real_speech(shared, tmp_path):
    """A German corpus of ten actors, joined and heard again: levels agree, and silence is short."""
    roots = [root for root in sorted((shared / "corpora").iterdir()) if re.match("berlin|emodb", root.name)]
    if not roots:
        pytest.skip("no German corpus among the real ones")
    card = read_card(Path(__file__).parents[2] / "datasets_manifests" / "emodb.yaml")
    parsed = clips(card, roots[0])
    if not parsed.clips:
        pytest.skip(f"{roots[0]} is not laid out as the manifest says")
    some = [clip for clip in parsed.clips if clip.speaker in {"03", "08"}]
    manifest = Path(__file__).parents[2] / "datasets_manifests" / "emodb.yaml"
    build(card, manifest, some, tmp_path / "shards")
    made = make_tracks(tmp_path / "shards", "emodb", None, tmp_path, per_speaker=5)
    names, stored = opened(made)
    assert made.speakers == 2
    assert verify(made.folder) == []
    assert verify_tracks(tmp_path, made.corpus, tmp_path / "shards") == []
    for track in made.tracks.tracks:
        samples = stored.audio(names[track.id]) / 32768
        levels = [active_level(samples[e.start : e.start + e.samples]) for e in track.events]
        assert max(levels) - min(levels) < 0.1
        for event in track.events:
            start = samples[event.start : event.start + event.samples]
            loud = np.flatnonzero(np.abs(start) > np.abs(start).max() / 100)
            assert loud[0] <= 2 * FRAME
            assert event.samples - loud[-1] <= 2 * FRAME + 1
