"""Frame labels beside the audio: found by the manifest, read only where they fit, and every fault explained."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.corpora.card import Card, read_card
from valenza.corpora.check import check
from valenza.corpora.frames import COLUMNS, FrameLabelsError, frame_count, read_frames
from valenza.corpora.parse import clips
from valenza.errors import UsageError

MANIFEST = """id: toy
title: Toy corpus
languages: [de]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_(?P<label>\\w)'
labels: {a: anger, h: happiness}
"""


def mixtures(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(len(COLUMNS)), frames)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three clips of .5, .51 and .505 s, the last at 44.1 kHz, each with as many frames as it has."""
    root = tmp_path / "toy"
    (root / "soft").mkdir(parents=True)
    rng = np.random.default_rng(3)
    for name, rate, samples in (("s1_a", 16000, 8000), ("s2_h", 16000, 8160), ("s3_a", 44100, 22271)):
        soundfile.write(root / f"{name}.wav", 0.1 * rng.standard_normal(samples), rate)
        np.save(root / "soft" / f"{name}.npy", mixtures(frame_count(-(-samples * 16000 // rate))))
    return root


def manifest(folder: Path, frames: str) -> Card:
    path = folder / "toy.yaml"
    path.write_text(f'{MANIFEST}frames: "{frames}"\n')
    return read_card(path)


def test_a_template_leads_to_the_files_and_they_are_held_against_the_audio(corpus, tmp_path):
    card = manifest(tmp_path, "soft/{path}.npy")
    parsed = clips(card, corpus)
    assert [c.frames for c in parsed.clips] == [corpus / "soft" / f"{n}.npy" for n in ("s1_a", "s2_h", "s3_a")]
    assert parsed.problems == []
    assert check(card, corpus, 1).errors == []


def test_a_table_may_name_the_files_and_an_empty_cell_means_none(corpus, tmp_path):
    (corpus / "files.csv").write_text("name,soft\ns1_a,soft/s1_a.npy\ns2_h,\ns3_a,soft/s3_a.npy\n")
    path = tmp_path / "toy.yaml"
    path.write_text(f"{MANIFEST}tables: [{{path: files.csv, key: name, columns: {{frames: soft}}}}]\n")
    parsed = clips(read_card(path), corpus)
    assert [c.frames and c.frames.name for c in parsed.clips] == ["s1_a.npy", None, "s3_a.npy"]


def test_without_the_key_there_are_none(corpus, tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(MANIFEST)
    assert [c.frames for c in clips(read_card(path), corpus).clips] == [None] * 3


def test_files_that_are_missing_or_elsewhere_are_named(corpus, tmp_path):
    card = manifest(tmp_path, "soft/{path}.npy")
    (corpus / "soft" / "s2_h.npy").unlink()
    (corpus / "soft" / "s3_a.npy").unlink()
    np.save(tmp_path / "secret.npy", mixtures(26))
    (corpus / "soft" / "s3_a.npy").symlink_to(tmp_path / "secret.npy")
    assert [str(p) for p in clips(card, corpus).problems] == [
        "s2_h.wav: frames: there is no file soft/s2_h.npy",
        "s3_a.wav: frames: soft/s3_a.npy lies outside the corpus root",
    ]


def test_a_name_with_accents_is_found_however_the_disk_writes_it(tmp_path):
    root = tmp_path / "toy"
    root.mkdir()
    name = "s1_e\u0301"  # two code points, as disks of Apple's write é
    soundfile.write(root / f"{name}.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    np.save(root / f"{name}.npy", mixtures(25))
    path = tmp_path / "toy.yaml"
    path.write_text(MANIFEST.replace("{a:", "{é: anger, a:") + 'frames: "{path}.npy"\n')
    (clip,) = clips(read_card(path), root).clips
    assert clip.frames == root / f"{name}.npy"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (mixtures(24), "holds 24 frames of 20 ms where the audio has 25"),
        (mixtures(26), "holds 26 frames"),
        (mixtures(25)[:, :7], "expected floats of frames × 8"),
        (mixtures(25).T, "holds float64 of 8 × 25"),
        (mixtures(25)[0], "holds float64 of 8"),
        (np.eye(25, 8, dtype=np.int64), "holds int64"),
        (mixtures(25) * 1.01, "sums to 1.01, not 1"),
        (mixtures(25) - np.eye(25, 8) + np.eye(25, 8, 1), "negative"),
        (np.full((25, 8), np.nan), "not finite"),
        (mixtures(25).astype(object), "cannot be read"),
    ],
)
def test_a_file_that_does_not_fit_is_explained(corpus, tmp_path, values, reason):
    np.save(corpus / "soft" / "s1_a.npy", values)
    (error,) = check(manifest(tmp_path, "soft/{path}.npy"), corpus, 1).errors
    assert (error.path, error.field) == ("s1_a.wav", "frames")
    assert error.message.startswith("s1_a.npy ")
    assert reason in error.message


@pytest.mark.parametrize("frames", ["../{path}.npy", "/soft/{path}.npy", "{take}.npy", "{path.npy"])
def test_a_template_that_means_nothing_is_refused(tmp_path, frames):
    with pytest.raises(UsageError, match="frames"):
        manifest(tmp_path, frames)


@given(st.integers(1, 700), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_what_was_saved_is_what_is_read_and_sums_to_one(tmp_path_factory, samples, seed):
    path = tmp_path_factory.mktemp("one") / "a.npy"
    saved = mixtures(frame_count(samples), seed).astype([np.float64, np.float32, np.float16][seed % 3])
    np.save(path, np.asfortranarray(saved) if seed % 2 else saved)
    read = read_frames(path, (frame_count(samples),))
    np.testing.assert_allclose(read, saved, atol=1e-3)
    np.testing.assert_allclose(read.sum(axis=1), 1, atol=1e-6)


def read_or_refused(path: Path) -> bool:
    try:
        return read_frames(path, (3,)).shape == (3, 8)
    except FrameLabelsError as error:
        return bool(str(error))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused_with_a_reason(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "a.npy"
    np.save(path, mixtures(3))
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # mostly in the header, which is text that numpy evaluates as a literal
        damaged[data.draw(st.integers(0, 140))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    assert read_or_refused(path)
