"""How often timelines are right, measured on recordings of which every frame is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from valenza.corpora.card import read_card
from valenza.corpora.parse import clips
from valenza.errors import DataError
from valenza.inference.model import Model
from valenza.shards.write import build
from valenza.timeline import window_bench
from valenza.timeline.stream import Streaming
from valenza.timeline.window_bench import measure_windows, window_table
from valenza.timeline.windows import Windows, timeline_of

MANIFEST = """id: {corpus}
title: Known frame by frame
languages: [de]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_(?P<label>\\w)'
labels: {{a: anger}}
{frames}
"""


@pytest.fixture
def shards(tmp_path: Path, made: Callable[..., Model], noise: Callable[[float], np.ndarray]) -> Path:
    """Recordings whose labels are what a model says of them in its usual windows, and such without labels."""
    model = made(framewise=True)
    for corpus, frames in (("known", 'frames: "{path}.npy"'), ("whole", "")):
        folder = tmp_path / corpus
        folder.mkdir()
        for speaker, seconds in enumerate((6.01, 9.0, 4.5)):
            path = folder / f"s{speaker}_a.wav"
            audio = noise(seconds)
            soundfile.write(path, audio, 16_000, subtype="PCM_16")
            middles = (np.arange(-(-len(audio) // 320)) + 0.5) / 50
            said = timeline_of(model, audio).at(middles).argmax(axis=1)
            np.save(folder / f"s{speaker}_a.npy", np.eye(8, dtype=np.float32)[said])
        manifest = tmp_path / f"{corpus}.yaml"
        manifest.write_text(MANIFEST.format(corpus=corpus, frames=frames))
        build(read_card(manifest), manifest, clips(read_card(manifest), folder).clips, tmp_path / "shards")
    return tmp_path / "shards"


def test_frames_are_right_where_the_labelled_emotion_is_likeliest(
    shards: Path, made: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_bench, "load", lambda place: made(framewise=True))
    settings = [
        Streaming(),
        Streaming(Windows(2.0, 0.5), 2.0),
        Streaming(Windows(0.3, 0.1)),
        Streaming(Windows(2.0, 1.0), 1.0),
    ]
    told = measure_windows("toy", shards, ["known"], settings, 60.0)
    usual, stream, short, soon = told["settings"]
    assert told["seconds"]["known"] == pytest.approx(19.51)
    assert usual["right"]["known"] == stream["right"]["known"] == 1
    assert (stream["same_as_the_first"], usual["mean_absolute_difference"]) == (1, 0)
    assert short["right"]["known"] == short["same_as_the_first"] < 1
    assert soon["right"]["known"] < 1
    assert short["mean_absolute_difference"] > 0
    lines = window_table(told).splitlines()
    assert lines[2].startswith("| as usual | 1.000 | 100.0 % | 0.000 | ")
    assert lines[3].startswith("| 2 s, 0.5 s, 2 s ahead | 1.000 |")
    with pytest.raises(DataError, match="whole: has no frame labels"):
        measure_windows("toy", shards, ["whole"], settings, 60.0)


def test_settings_that_cannot_be_read_are_refused(run: Path, corner: Any, shards: Path) -> None:
    for words in ("2", "2,x", "2,1,1,1"):
        ended = corner.run("bench", "windows", run, "known", "--shards", shards, "--setting", words)
        assert ended.code == 64
        assert f"'{words}' is not WINDOW,STEP" in ended.err
