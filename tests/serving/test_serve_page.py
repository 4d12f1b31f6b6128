"""The live page in a real browser, on the real server: a file, a microphone, and what goes wrong."""

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = os.environ.get("VALENZA_CHROMIUM") or shutil.which("chromium")
SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE = 60_000  # milliseconds: a face is drawn without a graphics card
RATE = 16_000


@pytest.fixture(scope="module")
def voice(speech: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "voice.wav"
    soundfile.write(path, speech[: 4 * RATE], RATE)
    return path


@pytest.fixture(scope="module")
def browser(voice: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install one, or name it in $VALENZA_CHROMIUM")
    microphone = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={voice}"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=[*SOFTWARE, *microphone])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, server: Any) -> Iterator[Callable[..., Page]]:
    """`visit(*permissions)` opens the page; at the end, nothing may have been complained of but what was expected."""
    problems: list[str] = []
    contexts = []

    def open_(*permissions: str) -> Page:
        context = browser.new_context(viewport={"width": 700, "height": 500}, permissions=list(permissions))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: server.url in request.url or problems.append(request.url))
        page.goto(server.url)
        is_in(page, "rest")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


def is_in(page: Page, state: str) -> None:
    expect(page.locator("body")).to_have_attribute("data-state", state, timeout=PATIENCE)


def moments(page: Page) -> int:
    return int(page.locator("#timeline").get_attribute("data-moments") or 0)


def painted(page: Page) -> int:
    """How many pixels of the timeline are coloured, and not of the page's own greys."""
    picture = Image.open(io.BytesIO(page.locator("#timeline").screenshot())).convert("HSV")
    return int((np.asarray(picture)[..., 1] > 100).sum())


def faces(page: Page) -> bytes:
    return page.locator("#face").screenshot()


def test_a_file_makes_the_timeline_grow_and_the_face_move(visit: Callable[..., Page], voice: Path) -> None:
    page = visit()
    still = faces(page)
    page.set_input_files("#file", voice)
    is_in(page, "live")
    expect(page.locator("#says")).to_contain_text("voice.wav is being heard")
    expect(page.locator("#timeline")).not_to_have_attribute("data-moments", "0", timeout=PATIENCE)
    first, drawn = moments(page), painted(page)
    assert drawn > 0
    expect(page.locator("#label")).not_to_have_text("—")
    assert page.evaluate(
        """() => new Promise((done) => {
          const face = document.getElementById('face');
          const seen = new Set();
          new MutationObserver(() => { seen.add(face.dataset.mouth); if (seen.size > 3) done(true); })
            .observe(face, { attributeFilter: ['data-mouth'] });
          setTimeout(() => done(false), 10000);
        })"""
    )
    assert faces(page) != still
    is_in(page, "rest")
    expect(page.locator("#says")).to_contain_text("Ended: 4.0 s, mostly")
    assert moments(page) > first
    assert painted(page) > drawn
    shares = page.locator("#legend .per").all_inner_texts()
    assert abs(sum(int(text.split()[0]) for text in shares) - 100) <= 2
    expect(page.locator("#legend li")).to_have_count(4)


def test_the_microphone_is_heard_until_it_is_stopped_by_keyboard_alone(visit: Callable[..., Page]) -> None:
    page = visit("microphone")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    is_in(page, "live")
    expect(page.locator("#says")).to_contain_text("the microphone is being heard")
    expect(page.locator("#timeline")).to_have_attribute(
        "data-moments", re.compile(r"^([6-9]|\d\d+)$"), timeout=PATIENCE
    )
    expect(page.locator("#stop")).to_be_focused()
    page.keyboard.press("Space")
    is_in(page, "rest")
    expect(page.locator("#says")).to_contain_text("Ended: ")
    expect(page.locator("#microphone")).to_be_focused()


def test_a_refused_microphone_is_said(visit: Callable[..., Page]) -> None:
    page = visit()
    page.get_by_role("button", name="Use the microphone").click()
    is_in(page, "failed")
    expect(page.locator("#says")).to_contain_text("The microphone was refused")
    expect(page.locator("#microphone")).to_be_enabled()


def test_a_file_that_is_no_sound_is_said(visit: Callable[..., Page], tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_text("not a sound")
    page = visit()
    page.set_input_files("#file", tmp_path / "words.wav")
    is_in(page, "failed")
    expect(page.locator("#says")).to_contain_text("words.wav cannot be read as sound")


def test_what_the_server_says_is_said(visit: Callable[..., Page], voice: Path) -> None:
    """The server ends a stream: the page says why, and is ready for another."""
    page = visit()
    page.route_web_socket("**/stream", lambda line: _busy(line))
    page.set_input_files("#file", voice)
    is_in(page, "failed")
    expect(page.locator("#says")).to_have_text("Disconnected: all 64 places are taken; try again later.")
    page.unroute_all()
    expect(page.locator("#microphone")).to_be_enabled()


def _busy(line: Any) -> None:
    line.close(code=1013, reason="all 64 places are taken; try again later")


def test_the_page_fits_a_phone_and_has_names_for_everything(visit: Callable[..., Page], server: Any) -> None:
    page = visit()
    page.set_viewport_size({"width": 360, "height": 720})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    names = json.loads(
        page.evaluate(
            "JSON.stringify([...document.querySelectorAll('button,input')].map((e) => e.closest('label')"
            " ? e.closest('label').textContent : e.textContent))"
        )
    )
    assert all(name.strip() for name in names)
