"""The page of emotion over time: what the pictures show, and that a browser takes it as it is."""

import io
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from playwright.sync_api import sync_playwright

from valenza.evaluation.dynamic.beta import BETAS, summarise_betas, system
from valenza.evaluation.dynamic.intervals import Measured
from valenza.evaluation.dynamic.metrics import SUMS
from valenza.evaluation.dynamic.page import errors, write_dynamic
from valenza.evaluation.dynamic.picture import COLOURS, Shown, loudness, picture
from valenza.evaluation.dynamic.table import CLAIM, SYSTEMS, summarise
from valenza.labels.taxonomy import EMOTIONS, NEUTRAL

COLUMNS = (0, 1, 5, NEUTRAL)


def flac(seconds: float) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.sin(np.arange(int(16_000 * seconds)) / 20), 16_000, format="FLAC")
    return file.getvalue()


def shown(name: str = "track 1", audio: bytes = b"") -> Shown:
    """4 s of neutral and then 2 s of anger, and a system that says anger from 3 s on, for a quarter."""
    truth = np.eye(len(EMOTIONS))[np.repeat([NEUTRAL, 5], [200, 100])]
    said = np.repeat([0.0, 0.25], [150, 150])[:, None]
    mixtures = (1 - said) * np.eye(len(EMOTIONS))[NEUTRAL] + said * np.eye(len(EMOTIONS))[5]
    return Shown(name, "speaker 3", loudness(np.sin(np.arange(96_000) / 7)), truth, {"one": mixtures}, COLUMNS, audio)


def measured(names: tuple[str, ...], sets: tuple[str, ...] = ("set",)) -> list[Measured]:
    """Made-up errors: 100 frames of each of six speakers."""
    found = []
    for i, name in enumerate(names):
        for seed in (1, 2):
            for number in range(6):
                sums = np.zeros(SUMS)
                sums[:3] = (1, 100, 20 - 2 * i + 0.3 * seed + number)
                found += [Measured(name, seed, s, f"t{number}", f"{s} {number}", sums) for s in sets]
    return found


def drawn(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def test_truth_lies_as_bands_at_its_seconds() -> None:
    bands = [e for e in drawn(picture(shown())).iter("rect") if e.get("fill") in COLOURS.values()]
    assert [e.get("fill") for e in bands] == [COLOURS["neutral"], COLOURS["anger"]]
    (a, width), (b, rest) = [(float(e.attrib["x"]), float(e.attrib["width"])) for e in bands]
    assert (b - a) / (b + rest + 1 - a) == pytest.approx(4 / 6, abs=0.002)
    assert width == pytest.approx(b - a - 1, abs=0.1)
    text = " ".join(e.text or "" for e in drawn(picture(shown())).iter("text"))
    for word in ("neutral", "anger", "one", "MAE 0.146", "4 s", "loudness"):
        assert word in text


def places(path: str) -> np.ndarray:
    return np.array([[float(n) for n in point.split()] for point in re.findall(r"[\d.]+ [\d.]+", path)])


def test_a_share_is_the_height_of_its_area() -> None:
    areas = {
        e.attrib["fill"]: places(e.attrib["d"])
        for e in drawn(picture(shown())).iter("path")
        if e.get("fill") in COLOURS.values()
    }
    assert set(areas) == {COLOURS["neutral"], COLOURS["anger"]}
    total = np.ptp(areas[COLOURS["neutral"]][:, 1])
    for colour, early, late in ((COLOURS["neutral"], 1, 0.75), (COLOURS["anger"], 0, 0.25)):
        points = areas[colour]
        high, low = points[: len(points) // 2], points[len(points) // 2 :][::-1]
        assert high[:, 0] == pytest.approx(low[:, 0])
        heights = (low[:, 1] - high[:, 1]) / total
        middle = len(heights) // 2  # 3 s of 6
        assert heights[: middle - 3] == pytest.approx(early, abs=0.01)
        assert heights[middle + 3 :] == pytest.approx(late, abs=0.01)


def test_a_track_says_in_words_what_it_shows() -> None:
    spoken = drawn(picture(shown())).attrib["aria-label"]
    assert "neutral 0.0 to 4.0 s, anger 4.0 to 6.0 s" in spoken
    assert f"{shown().error('one'):.3f}" in spoken
    assert shown().error("one") == pytest.approx((50 * 0.5 + 100 * 1.5) / 300 / 4)


def test_every_emotion_has_a_colour_of_its_own() -> None:
    assert set(COLOURS) == set(EMOTIONS)
    assert len(set(COLOURS.values())) == len(EMOTIONS)


@pytest.mark.parametrize("samples", [10, 356, 16_000])
def test_loudness_is_the_peak_of_each_stretch(samples: int) -> None:
    wave = np.zeros(samples)
    wave[samples // 2] = -0.25
    found = loudness(wave)
    assert len(found) == 356
    assert found.max() == 1
    assert np.isclose(np.flatnonzero(found == 1).mean() / 356, 0.5, atol=0.06)
    assert loudness(np.zeros(samples)).max() == 0


def test_the_chart_has_a_mark_for_each_system_and_seed_in_its_place() -> None:
    part = summarise(measured(SYSTEMS), draws=200)["sets"][0]
    chart = drawn(errors(part))
    means = [float(e.attrib["cx"]) for e in chart.iter("circle") if e.get("class") == "model"]
    seeds = [e for e in chart.iter("circle") if e.get("class") == "seen"]
    assert len(means) == 5
    assert len(seeds) == 10
    values = [row["scores"]["mae"]["mean"] for row in part["rows"]]
    assert np.corrcoef(means, values)[0, 1] == pytest.approx(1, abs=1e-4)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    sets = ("fifth language", "<b>unseen</b> speakers")
    summary = summarise(measured(SYSTEMS, sets), claim=CLAIM, draws=200)
    betas = summarise_betas(measured(tuple(map(system, BETAS)), sets), draws=200)
    tracks = {
        "fifth language": [shown(audio=flac(1.0)), shown("track 2")],
        "<b>unseen</b> speakers": [shown("<script>x</script>")],
    }
    out = tmp_path / "dynamic.html"
    write_dynamic(summary, tracks, out, betas=betas, note="Preferences are <simulated>.")
    return out


def test_text_is_escaped_and_nothing_is_fetched(page: Path) -> None:
    text = page.read_text()
    assert "<script" not in text
    assert "<b>" not in text
    assert "Preferences are &lt;simulated&gt;." in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


@pytest.fixture(scope="module")
def chromium() -> str:
    found = os.environ.get("VALENZA_CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.skip("no Chromium; set VALENZA_CHROMIUM")
    return found


def in_browser(chromium: str, page: Path, look: Callable[..., None]) -> None:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1060, "height": 900})
        said: list[str] = []
        asked: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        look(tab)
        browser.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_a_browser_shows_the_page_whole(chromium: str, page: Path) -> None:
    def look(tab) -> None:
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1060
        assert tab.locator("figure svg[role=img]").count() == 3 + 1 + 3
        assert tab.locator("audio").count() == 1
        tab.wait_for_function("document.querySelector('audio').duration > 0.9")
        labels = tab.locator("figure svg text")
        inside = "(all) => all.every(t => { const b = t.getBBox(), v = t.ownerSVGElement.viewBox.baseVal;"
        inside += " return b.x >= -1 && b.x + b.width <= v.width + 1 && b.y + b.height <= v.height + 1 })"
        assert labels.evaluate_all(inside)

    in_browser(chromium, page, look)
