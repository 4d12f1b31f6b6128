"""Copies are found through codecs, levels and trims; takes cut in pieces are found by their seams."""

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from scipy.signal import lfilter

from valenza.corpora.clip import Clip
from valenza.corpora.listen import Job
from valenza.corpora.shortcuts import duplicates
from valenza.corpora.shortcuts.duplicates import find_copies
from valenza.corpora.shortcuts.joins import find_cuts
from valenza.corpora.shortcuts.measure import Measured, measure

RATE = 16_000


def voice(seed: int, seconds: float = 1.6) -> np.ndarray:
    """Pulses through three resonances that move every 80 ms, some parts faint: a voice that says nothing."""
    rng = np.random.default_rng(seed)
    size = RATE * 8 // 100
    parts, state = [], np.zeros(6)
    pitch = np.repeat(rng.uniform(100, 220, round(seconds / 0.08)), size)
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0.0) + rng.normal(0, 0.03, len(pitch))
    for part in pulses.reshape(-1, size):
        turn = 2j * np.pi * rng.uniform([250, 900, 2200], [850, 2100, 3300]) / RATE
        poles = np.exp(turn) * [0.98, 0.97, 0.95]
        sound, state = lfilter([1.0], np.poly([*poles, *poles.conj()]).real, part, zi=state)
        parts.append(sound * rng.choice([0.1, 1.0], p=[0.15, 0.85]))
    whole = np.concatenate(parts)
    return (0.3 * whole / np.abs(whole).max() + rng.normal(0, 1e-4, len(whole))).astype(np.float32)


def clip(path: Path, label: str = "happy", speaker: str = "anna", split: str | None = None) -> Clip:
    name = path.stem
    return Clip(f"x-{name}", "x", path, path.name, "en", speaker, f"x-{name}", label, split=split)


def store(folder: Path, name: str, sound: np.ndarray, rate: int = RATE) -> Path:
    path = folder / name
    form = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "opus": "OPUS", "mp3": "MPEG_LAYER_III"}[
        path.suffix[1:]
    ]
    soundfile.write(path, sound, rate, subtype=form, format="OGG" if path.suffix == ".opus" else None)
    return path


def heard(clips: list[Clip]) -> list[Measured]:
    answers = [measure(Job(c.audio, c.start, c.end)) for c in clips]
    return [answer for answer in answers if answer is not None]


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Clip], list[Measured]]:
    folder = tmp_path_factory.mktemp("strangers")
    clips = [clip(store(folder, f"v{i:02}.wav", voice(i))) for i in range(40)]
    return clips, heard(clips)


CHANGES = {
    "quiet.wav": lambda sound: 0.1 * sound,
    "upside_down.wav": lambda sound: -sound,
    "late.wav": lambda sound: sound[round(0.153 * RATE) :],
    "early.flac": lambda sound: np.concatenate([np.zeros(1234, np.float32), sound]),
    "coded.opus": lambda sound: 0.5 * sound,
    "coded.ogg": lambda sound: sound[77:],
    "coded.mp3": lambda sound: sound,
    "hissing.wav": lambda sound: sound + np.random.default_rng(0).normal(0, 0.002, len(sound)).astype(np.float32),
    "telephone.wav": lambda sound: soxr.resample(soxr.resample(sound, RATE, 8000), 8000, RATE),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_copy_is_found(tmp_path: Path, strangers: tuple[list[Clip], list[Measured]], change: str) -> None:
    sound, _ = soundfile.read(strangers[0][7].audio, dtype="float32")
    copy = clip(store(tmp_path, change, CHANGES[change](sound)), label="sad", speaker="bert", split="test")
    clips = [*strangers[0], copy]
    found = find_copies(clips, [*strangers[1], *heard([copy])], "")
    assert [(c.first, c.second, c.exact, c.unlike) for c in found] == [
        ("v07.wav", change, False, ("label", "speaker", "split"))
    ]
    assert found[0].correlation > 0.9
    shift = {"late.wav": 0.153, "early.flac": -1234 / RATE, "coded.ogg": 77 / RATE}.get(change, 0.0)
    # an MP3 begins with its encoder's silence
    assert found[0].shift == pytest.approx(shift, abs=0.1 if change == "coded.mp3" else 0.002)


def test_a_copy_at_another_rate_and_in_stereo_is_found(
    tmp_path: Path, strangers: tuple[list[Clip], list[Measured]]
) -> None:
    sound, _ = soundfile.read(strangers[0][3].audio, dtype="float32")
    wide = soxr.resample(sound, RATE, 44_100)
    copy = clip(store(tmp_path, "cd.wav", np.stack([wide, 0.5 * wide], axis=1), 44_100))
    found = find_copies([*strangers[0], copy], [*strangers[1], *heard([copy])], "")
    assert [(c.first, c.second, c.unlike) for c in found] == [("v03.wav", "cd.wav", ())]


def test_equal_copies_are_told_from_altered_ones_and_strangers_from_copies(
    tmp_path: Path, strangers: tuple[list[Clip], list[Measured]]
) -> None:
    assert find_copies(*strangers, "") == []
    sound, _ = soundfile.read(strangers[0][5].audio, dtype="float32")
    copies = [clip(store(tmp_path, name, sound)) for name in ("w0.wav", "w1.flac")]
    found = find_copies([*strangers[0], *copies], [*strangers[1], *heard(copies)], "")
    assert [(c.first, c.second, c.exact, c.unlike) for c in found] == [
        ("v05.wav", "w0.wav", True, ()),
        ("v05.wav", "w1.flac", True, ()),
    ]


def test_a_hundred_thousand_clips_cost_seconds_and_not_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    prints = list(rng.integers(1, 2**32, (100_000, 40), dtype=np.uint32))
    prints[70_000] = prints[123][5:].copy()
    prints[70_000][::2] ^= np.uint32(1 << 9)
    # a hum: one fingerprint in every clip
    for row in prints[:30_000]:
        row[-1] = 77
    monkeypatch.setattr(duplicates, "_MOST_FRAMES", 3_000_000)
    started = time.process_time()
    found = duplicates._suspects(prints)
    assert found == [(123, 70_000, 5)]
    assert time.process_time() - started < 20


def halves(folder: Path, takes: int, cut: bool) -> list[Clip]:
    """Takes of two speakers, cut in two where they are loud, or a whole take a file, faded in and out."""
    clips: list[Clip] = []
    for take in range(takes):
        sound, speaker = voice(take, 2.4), ("anna", "bert")[take % 2]
        middle = len(sound) // 2 + 640  # voices change every 1280
        while np.abs(sound[middle - 160 : middle + 160]).max() < 0.05:
            middle += 1280
        fade = np.minimum(1, np.arange(len(sound)) / 3200).astype(np.float32)
        sound = sound * fade * fade[::-1]
        pieces = [sound[:middle], sound[middle:]] if cut else [sound]
        for piece in pieces:
            path = store(folder, f"{speaker}_{len(clips)}.wav", piece)
            clips.append(clip(path, speaker=speaker))
    return clips


def test_takes_cut_in_halves_are_put_together_again(tmp_path: Path) -> None:
    clips = halves(tmp_path, 30, cut=True)
    cuts = find_cuts(clips, heard(clips))
    true = {(clips[i].source, clips[i + 1].source) for i in range(0, 60, 2)}
    assert cuts.neighbours == 30
    assert len(true & set(cuts.joined)) >= 20
    assert not set(cuts.joined) - true
    assert (cuts.backwards <= 2, cuts.abrupt_ends >= 30, cuts.p < 1e-4) == (True, True, True)
    named = [replace(c, recording=f"take{i // 2}") for i, c in enumerate(clips)]
    assert find_cuts(named, heard(clips)).joined == ()


def test_whole_takes_and_takes_without_their_ends_are_not_accused(tmp_path: Path) -> None:
    whole = halves(tmp_path, 30, cut=False)
    cuts = find_cuts(whole, heard(whole))
    assert (cuts.neighbours, cuts.joined, cuts.p) == (0, (), 1.0)
    abrupt = [clip(store(tmp_path, f"abrupt_{i}.wav", voice(100 + i)[700:-900])) for i in range(60)]
    cuts = find_cuts(abrupt, heard(abrupt))
    assert cuts.neighbours > 20
    assert cuts.p > 0.005


def test_a_file_of_silence_or_of_nothing_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    memory = io.BytesIO()
    soundfile.write(memory, np.zeros(RATE), RATE, format="WAV")
    (tmp_path / "silent.wav").write_bytes(memory.getvalue())
    assert [measure(Job(tmp_path / name)) for name in ("empty.wav", "silent.wav", "missing.wav")] == [None] * 3


def test_what_is_measured_is_what_was_made(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tone = 0.5 * np.sin(2 * np.pi * 700 * np.arange(RATE) / RATE)
    sound = np.concatenate([np.zeros(4000), tone, np.zeros(1600)]) + rng.normal(0, 1e-3, RATE + 5600) + 0.01
    found = measure(Job(store(tmp_path, "a.wav", sound)))
    assert found is not None
    assert found.duration == pytest.approx(1.35)
    assert (found.lead, found.trail) == (pytest.approx(0.25, abs=0.011), pytest.approx(0.1, abs=0.011))
    assert found.peak == pytest.approx(20 * np.log10(0.511), abs=0.1)
    assert found.level == pytest.approx(10 * np.log10(np.mean(sound**2)), abs=0.01)
    assert found.offset == 10
    assert found.format == "16000 Hz, 1 ch, WAV PCM_16"
    noise = rng.normal(0, 0.1, 2 * RATE)
    narrow = soxr.resample(soxr.resample(noise, RATE, 8000), 8000, RATE)
    paths = [store(tmp_path, f"{i}.wav", s) for i, s in enumerate((noise, narrow, np.clip(noise, -0.1, 0.1)))]
    bands = [what for what in map(measure, map(Job, paths)) if what is not None]
    assert (bands[0].band > 7900, 3500 < bands[1].band < 4300) == (True, True)
    assert bands[2].flat > 100 * max(1.0, bands[0].flat)
