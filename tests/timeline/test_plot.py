"""The picture: every part is there, in its place, whatever the recording's length and name."""

import re
import sys
import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from valenza.errors import UsageError
from valenza.evaluation.dynamic.picture import COLOURS
from valenza.labels.sequences import frame_times
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.plot import picture, write_picture
from valenza.timeline.segments import USUAL, Segmenting
from valenza.timeline.timeline import Timeline

SVG = "{http://www.w3.org/2000/svg}"
ODD = 'a "b" <c> & \t\n第3回 \udcff.wav'


def spoken(seconds: float, name: str = "take.wav", sure: bool = True) -> Timeline:
    count = int(np.ceil(seconds * 50))
    rng = np.random.default_rng(3)
    mixtures = np.repeat(rng.dirichlet(np.full(8, 0.2), 1 + count // 40), 40, axis=0)[:count]
    strong = rng.gamma(2, 20, count) if sure else None
    return Timeline(frame_times(count), EMOTIONS, mixtures, float(seconds), strong, name)


def sound(seconds: float) -> np.ndarray:
    return (3000 * np.random.default_rng(0).standard_normal(int(seconds * 16_000))).astype(np.int16)


def said(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("seconds", [0.04, 2.0, 30.0, 600.0, 7300.0])
def test_every_part_lies_within_the_picture(seconds: float) -> None:
    timeline = spoken(seconds, ODD)
    drawn = picture(timeline, sound(min(seconds, 600.0)))
    root = ElementTree.fromstring(drawn)
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    assert float(root.attrib["height"]) == height
    for element in root.iter():
        numbers = [float(value) for value in re.findall(r"[-\d.]+", element.get("d", ""))]
        assert all(-1 <= value <= width for value in numbers), element.attrib
        assert 0 <= float(element.get("y", "0")) <= height
    bands = [part for part in root.iter(f"{SVG}rect") if part.get("height") == "26"]
    spans = [(float(part.attrib["x"]), float(part.attrib["width"])) for part in bands]
    assert spans[0][0] == 84
    assert sum(spans[-1]) == pytest.approx(1104, abs=1.1)
    assert len(bands) == 1 or min(width for _, width in spans) >= 1.9
    assert len(drawn) < 400_000
    assert 'a "b" <c> & 第3回 \ufffd.wav' in said(root)
    assert [label for label in said(root) if label in ("audio", "emotion", "Σ α")] == ["audio", "emotion", "Σ α"]
    assert 3 <= len(root.findall(f".//{SVG}path[@class='grid']")) <= 40


def test_bands_and_legend_have_the_colours_of_the_emotions() -> None:
    mixtures = np.repeat(np.eye(8)[[0, 5, 7]], 50, axis=0)
    timeline = Timeline(frame_times(150), EMOTIONS, mixtures, 3.0)
    root = ElementTree.fromstring(picture(timeline))
    bands = [part.get("fill") for part in root.iter(f"{SVG}rect") if part.get("height") == "26"]
    assert bands == [COLOURS[name] for name in ("happiness", "anger", "neutral")]
    texts = said(root)
    assert [texts.count(name) for name in ("happiness", "anger", "neutral", "fear")] == [2, 2, 2, 0]
    assert not {"audio", "Σ α"} & {*texts}
    assert root.attrib["aria-label"].endswith("anger from 1.0 to 2.0 s, neutral from 2.0 to 3.0 s.")
    assert timeline._repr_svg_() == picture(timeline)


def test_the_band_is_segmented_as_asked() -> None:
    mixtures = np.repeat(np.eye(8)[[0, 5, 0]], [50, 10, 50], axis=0) * 0.3 + 0.7 / 8
    timeline = Timeline(frame_times(110), EMOTIONS, mixtures, 2.2)

    def bands(settings: Segmenting) -> list[str | None]:
        root = ElementTree.fromstring(picture(timeline, segmenting=settings))
        assert not [note for note in said(root) if "left out" in note]
        return [part.get("fill") for part in root.iter(f"{SVG}rect") if part.get("height") == "26"]

    happy, angry = COLOURS["happiness"], COLOURS["anger"]
    assert bands(USUAL) == bands(Segmenting(0.5, 0.0)) == [happy]
    assert bands(Segmenting(0.0, 0.0)) == bands(Segmenting(0.2, 0.2)) == [happy, angry, happy]
    long = picture(spoken(600.0), segmenting=Segmenting(0.0, 0.0))
    assert "Emotions of less than 1.8 s are left out of the band." in said(ElementTree.fromstring(long))


def test_a_waveform_takes_no_memory_but_the_audio_s() -> None:
    audio = np.full(16_000 * 600, -32_768, np.int16)
    timeline = Timeline(np.array([0.0]), EMOTIONS, np.full((1, 8), 1 / 8), 600.0)
    tracemalloc.start()
    drawn = picture(timeline, audio)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < audio.nbytes / 4
    (wave,) = re.findall('class="wave" d="M([^"]*)Z', drawn)
    assert max(float(pair.split()[1]) for pair in wave.split("L")) == 112  # full scale, at the strip's lower edge


def test_classes_of_another_taxonomy_have_colours_of_their_own() -> None:
    timeline = Timeline(np.array([0.0]), ("boredom", "calm", "anger"), np.array([[0.4, 0.3, 0.3]]), 1.0)
    fills = re.findall(r'height="12" rx="2" fill="(#\w+)"', picture(timeline))
    assert len(set(fills)) == 3
    assert fills[2] == COLOURS["anger"]


def test_times_are_told_as_they_are_read() -> None:
    def ticks(seconds: float) -> list[str]:
        root = ElementTree.fromstring(picture(spoken(seconds, sure=False)))
        return [label for label in said(root) if re.fullmatch(r"[\d.]+ s|[\d:]+", label)][1:]

    assert ticks(0.5)[:3] == ["0.00 s", "0.05 s", "0.10 s"]
    assert ticks(2.0)[-2:] == ["1.8 s", "2.0 s"]
    assert ticks(30.0)[:2] == ["0 s", "5 s"]
    assert ticks(600.0)[-1] == "10:00"
    assert ticks(7300.0)[1] == "0:15:00"


def test_files_are_svg_or_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = spoken(1.0)
    timeline.plot(tmp_path / "said.svg", sound(1.0))
    assert (tmp_path / "said.svg").read_text("utf-8") == picture(timeline, sound(1.0))
    with pytest.raises(UsageError, match=r"an \.svg or a \.png"):
        write_picture(timeline, tmp_path / "said.jpg")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "resvg_py", None)
        with pytest.raises(UsageError, match=r"pip install valenza\[plot\]"):
            timeline.plot(tmp_path / "none.png")
    assert [path.name for path in tmp_path.iterdir()] == ["said.svg"]


def test_a_png_shows_what_the_svg_says(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed; the extra `plot` brings it")
    from PIL import Image

    mixtures = np.repeat(np.eye(8)[[0, 5]], 50, axis=0)
    timeline = Timeline(frame_times(100), EMOTIONS, mixtures, 2.0)
    timeline.plot(tmp_path / "said.png")
    with Image.open(tmp_path / "said.png") as image:
        assert image.width == 2240
        seen = [image.convert("RGB").getpixel((x, 2 * 180)) for x in (2 * 200, 2 * 1000)]
    wanted = [bytes.fromhex(COLOURS[name][1:]) for name in ("happiness", "anger")]
    assert seen == [tuple(colour) for colour in wanted]
