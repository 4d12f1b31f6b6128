"""A sliding window against windows that are cut, heard and classified one by one."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from valenza.features.batch import hear
from valenza.model.network import Network, build_network
from valenza.recipe import Augment, Recipe
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.stages.frozen import Listener
from valenza.stages.sliding import Slider, Sliding, cut, moments, starts


@given(st.integers(1, 1500), st.floats(0.02, 3), st.floats(0.02, 3))
def test_windows_are_in_step_and_cover_the_recording(frames: int, window: float, step: float) -> None:
    sliding = Sliding(window, step)
    size, stride = sliding.frames
    begins = starts(frames, sliding)
    assert begins[0] == 0
    assert (np.diff(begins) > 0).all()
    assert (np.diff(begins)[:-1] == stride).all()
    assert begins[-1] + min(size, frames) == frames
    middles = moments(frames, sliding)
    assert ((middles > 0) & (middles < frames / 50)).all()


def test_what_is_cut_is_the_recording() -> None:
    audio = np.arange(1, 16_001, dtype=np.int16)
    windows = cut(audio, Sliding(0.3, 0.2))
    assert windows.shape == (5, 4800)
    for window, start in zip(windows, (0, 3200, 6400, 9600, 11_200), strict=True):
        np.testing.assert_array_equal(window, audio[start : start + 4800])
    short = cut(audio[:1000], Sliding(1.4, 1.0))
    assert short.shape == (1, 1280)
    assert (short[0, 1000:] == 0).all()


@pytest.fixture(scope="module")
def network(corner: SimpleNamespace) -> Network:
    from valenza.config import load

    torch.manual_seed(3)
    changes = ["encoder.attention=clip", "encoder.layers=joined", "objective.level=clip", "heads.projection=6"]
    return build_network(load(Recipe, corner.recipe, [*changes, "heads.hidden=gelu"])).eval()


def test_a_slid_network_says_what_it_says_of_each_window(
    corner: SimpleNamespace, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VALENZA_CACHE", str(tmp_path))
    index = read_index(corner.shards, ["german"])
    reader, ids = Reader(corner.shards, index), index["id"].to_pylist()
    slider = Slider(Listener(network.encoder, Augment()), Sliding(0.4, 0.25))
    rows = [0, 5, 23]
    means = slider.means(reader, ids, rows)
    again = slider.means(reader, ids, rows)
    assert list((tmp_path / "heard").glob("slid-*.npy"))
    for row, one, kept in zip(rows, means, again, strict=True):
        np.testing.assert_array_equal(one, kept)
        audio = reader.audio(row)
        frames = -(-len(audio) // 320)
        sequence = slider.sequence(network, one, frames)
        np.testing.assert_allclose(sequence.times, moments(frames, slider.sliding))
        for window, mixture in zip(cut(audio, slider.sliding), sequence.mixtures, strict=True):
            clip = torch.zeros(1, 20, dtype=torch.int64)
            with torch.inference_mode():
                heard = hear(torch.from_numpy(window)[None], clip, network.encoder.hearing)
                logits = network.head(network.read(heard, clip).mean(dim=1))
            np.testing.assert_allclose(mixture, logits.softmax(dim=-1)[0].numpy(), rtol=1e-4, atol=1e-6)


def test_another_window_is_another_file_of_the_cache(
    corner: SimpleNamespace, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VALENZA_CACHE", str(tmp_path))
    index = read_index(corner.shards, ["german"])
    reader, ids = Reader(corner.shards, index), index["id"].to_pylist()
    listener = Listener(network.encoder, Augment())
    counts = [len(Slider(listener, Sliding(w, s)).means(reader, ids, [1])[0]) for w, s in ((0.4, 0.2), (0.4, 0.1))]
    assert counts[1] > counts[0]
    assert len(list((tmp_path / "heard").glob("slid-*.npy"))) == 2
