"""The live page in a real browser, on the real server: a file, a microphone, and what goes wrong."""

import io
import json
import os
import re
import shutil
import signal
import time
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
MOUTHS = """() => {
  const face = document.getElementById('face');
  window.mouths = new Set();
  new MutationObserver(() => mouths.add(face.dataset.mouth)).observe(face, { attributeFilter: ['data-mouth'] });
}"""
NO_WORKLET = """
  window.taken = [];
  const { getUserMedia } = MediaDevices.prototype;
  MediaDevices.prototype.getUserMedia = async function (what) {
    const stream = await getUserMedia.call(this, what);
    taken.push(...stream.getTracks());
    return stream;
  };
  window.AudioContext = class extends AudioContext { constructor(what) { super(what); taken.push(this); } };
  AudioWorklet.prototype.addModule = () => Promise.reject(new Error('no capture.js'));
"""
AT_192_KHZ = """
  window.AudioContext = class extends AudioContext {
    constructor({ sampleRate }) {
      if (sampleRate) throw new DOMException('at my own rate only', 'NotSupportedError');
      super({ sampleRate: 192000 });
    }
  };
"""
NO_SOUND_YET = "AudioContext.prototype.resume = () => new Promise((go, no) => Object.assign(window, { go, no }));"


@pytest.fixture(scope="module")
def server(start: Callable[..., Any]) -> Iterator[Any]:
    """A server with the limits it has by itself: the shared one's would end streams on a busy machine."""
    served = start()
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def voice(speech: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "voice.wav"
    soundfile.write(path, speech, RATE)
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
    """`visit(*permissions)` opens the page, of another server or after a script where one is given.

    At the end, nothing may have been complained of but what is spelled `but`.
    """
    problems: list[str] = []
    contexts = []

    def open_(*permissions: str, at: str = server.url, script: str = "", but: str = "$.") -> Page:
        contexts.append(browser.new_context(viewport={"width": 700, "height": 500}, permissions=list(permissions)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.add_init_script(script)

        def complain(problem: str) -> None:
            if not re.search(but, problem):
                problems.append(problem)

        page.on("console", lambda said: complain(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complain(str(error)))
        page.on("request", lambda request: at in request.url or complain(request.url))
        page.goto(at)
        is_in(page, "rest")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


def is_in(page: Page, state: str) -> None:
    expect(page.locator("body")).to_have_attribute("data-state", state, timeout=PATIENCE)


def says(page: Page, words: str) -> None:
    expect(page.locator("#says")).to_contain_text(words)


def until(met: Callable[[], bool], seconds: float = PATIENCE / 1000) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.1)


def hears(page: Page) -> None:
    """Wait until a few moments have come."""
    some = re.compile(r"^([6-9]|\d\d+)$")
    expect(page.locator("#timeline")).to_have_attribute("data-moments", some, timeout=PATIENCE)


def painted(page: Page) -> int:
    """How many pixels of the timeline are coloured, and not of the page's own greys."""
    picture = Image.open(io.BytesIO(page.locator("#timeline").screenshot())).convert("HSV")
    return int((np.asarray(picture)[..., 1] > 100).sum())


def settled(page: Page) -> bytes:
    """The face, once it keeps still."""
    seen = [b""]

    def still() -> bool:
        page.wait_for_timeout(1000)
        seen.append(page.locator("#face").screenshot())
        return seen[-1] == seen[-2]

    until(still)
    return seen[-1]


def wears_what_is_told(page: Page) -> None:
    """The face comes to show the shares that the legend tells, which are not those of a face at rest."""
    rows = [row.split("\n") for row in page.locator("#legend li").all_inner_texts()]
    told = {row[0]: int(row[-1].removesuffix(" %")) for row in rows}
    assert len(told) == 4
    assert abs(sum(told.values()) - 100) <= 2
    assert max(told.values()) < 100

    def worn() -> bool:
        mixture = page.locator("#face").get_attribute("data-mixture") or ""
        shown = {name: int(share) for name, share in re.findall(r"(\w+) (\d+) %", mixture)}
        return len(shown) == 8 and all(abs(share - told.get(name, 0)) <= 1 for name, share in shown.items())

    until(worn)


def test_a_file_makes_the_timeline_grow_and_the_face_move(visit: Callable[..., Page], voice: Path) -> None:
    page = visit()
    page.evaluate(MOUTHS)
    page.set_input_files("#file", voice)
    is_in(page, "live")
    says(page, "voice.wav is being heard")
    until(lambda: painted(page) > 0)
    drawn = painted(page)
    expect(page.locator("#label")).not_to_have_text("—")
    is_in(page, "rest")
    says(page, "Ended: 12.0 s, mostly")
    hears(page)
    until(lambda: painted(page) > drawn)
    assert page.evaluate("mouths.size") > 3
    face = page.locator("#face")
    expect(face).to_have_attribute("data-mouth", "0.000")
    wears_what_is_told(page)
    expect(face).to_have_attribute("aria-label", f"A face that shows {page.locator('#label').inner_text()} most")


def test_where_less_motion_is_wanted_emotions_alone_move_the_face(visit: Callable[..., Page]) -> None:
    page = visit("microphone")
    page.emulate_media(reduced_motion="reduce")
    still = settled(page)
    assert settled(page) == still
    page.locator("#microphone").click()
    hears(page)
    page.locator("#stop").click()
    is_in(page, "rest")
    wears_what_is_told(page)
    assert settled(page) != still


@pytest.mark.parametrize("script", ["", AT_192_KHZ], ids=["16 kHz", "192 kHz"])
def test_the_microphone_is_heard_until_it_is_stopped_by_keyboard_alone(visit: Callable[..., Page], script: str) -> None:
    """At a rate that the server would not take, too."""
    page = visit("microphone", script=script)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    is_in(page, "live")
    says(page, "the microphone is being heard")
    hears(page)
    expect(page.locator("#stop")).to_be_focused()
    page.keyboard.press("Space")
    is_in(page, "rest")
    says(page, "Ended: ")
    expect(page.locator("#microphone")).to_be_focused()


def test_a_microphone_that_cannot_be_listened_to_is_let_go(visit: Callable[..., Page]) -> None:
    page = visit("microphone", script=NO_WORKLET)
    page.locator("#microphone").click()
    is_in(page, "failed")
    says(page, "The server cannot be reached.")
    assert page.evaluate("taken.map((it) => it.readyState ?? it.state)") == ["ended", "closed", "closed"]


def test_a_refused_microphone_is_said(visit: Callable[..., Page]) -> None:
    page = visit()
    page.get_by_role("button", name="Use the microphone").click()
    is_in(page, "failed")
    says(page, "The microphone was refused")
    expect(page.locator("#microphone")).to_be_enabled()


def test_a_file_that_is_no_sound_is_said(visit: Callable[..., Page], tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_text("not a sound")
    page = visit()
    page.set_input_files("#file", tmp_path / "words.wav")
    is_in(page, "failed")
    says(page, "words.wav cannot be read as sound")


@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_a_stream_that_never_begins_leaves_its_place(visit: Callable[..., Page], server: Any, how: str) -> None:
    page = visit("microphone", script=NO_SOUND_YET)
    page.locator("#microphone").click()
    until(lambda: page.evaluate("Boolean(window.go)"))
    assert server.healthy()["streams"] == 1
    if how == "stopped":
        page.locator("#stop").click()
        page.evaluate("go()")
        is_in(page, "rest")
    else:
        page.evaluate("no(new Error('no loudspeaker'))")
        is_in(page, "failed")
        says(page, "no loudspeaker")
    until(lambda: server.healthy()["streams"] == 0, 15)  # after 30 s the server would end it by itself


def test_what_the_server_says_is_said(visit: Callable[..., Page], voice: Path) -> None:
    """The server ends a stream: the page says why, and is ready for another."""
    page = visit()
    reason = "all 64 places are taken; try again later"
    page.route_web_socket("**/stream", lambda line: line.close(code=1013, reason=reason))
    page.set_input_files("#file", voice)
    is_in(page, "failed")
    expect(page.locator("#says")).to_have_text(f"Disconnected: {reason}.")
    expect(page.locator("#microphone")).to_be_enabled()


def test_a_server_that_does_not_end_what_was_stopped_is_given_up(visit: Callable[..., Page]) -> None:
    page = visit("microphone")
    page.clock.install()
    page.route_web_socket("**/stream", lambda line: line.send(json.dumps({"type": "ready", "latency": 1})))
    page.locator("#microphone").click()
    is_in(page, "live")
    page.locator("#stop").click()
    is_in(page, "ending")
    page.clock.fast_forward(31_000)
    is_in(page, "failed")
    says(page, "Disconnected: The last moments did not come.")
    expect(page.locator("#microphone")).to_be_enabled()


def test_a_server_that_dies_is_said_and_heard_again_when_it_is_back(
    visit: Callable[..., Page], start: Callable[..., Any]
) -> None:
    mortal = start()
    page = visit("microphone", at=mortal.url, but="ERR_CONNECTION_REFUSED")
    page.locator("#microphone").click()
    hears(page)
    mortal.stop(signal.SIGKILL)
    is_in(page, "failed")
    says(page, "Disconnected: The connection was lost.")
    page.locator("#microphone").click()
    is_in(page, "failed")
    says(page, "The server cannot be reached.")
    expect(page.locator("#label")).to_have_text("—")
    start("--port", mortal.port)
    page.locator("#microphone").click()
    hears(page)


def test_the_page_fits_a_phone_and_has_names_for_everything(visit: Callable[..., Page]) -> None:
    page = visit()
    page.set_viewport_size({"width": 360, "height": 720})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    named = "[...document.querySelectorAll('button,input')].map((it) => (it.closest('label') ?? it).textContent)"
    names = page.evaluate(named)
    assert len(names) == 3
    assert all(name.strip() for name in names)
