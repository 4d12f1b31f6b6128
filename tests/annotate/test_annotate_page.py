"""The annotation page in a real browser, on the real server: from the invitation to the end by keyboard alone."""

import csv
import io
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, expect, sync_playwright

from valenza.stages.pairs.folder import Study, write_pairs

CHROMIUM = os.environ.get("VALENZA_CHROMIUM") or shutil.which("chromium")
SOFTWARE = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE = 60_000  # milliseconds: two faces are drawn without a graphics card
# What is played is recorded where the browser takes it, so that the page is not held against its own clock.
RECORD_STARTS = """
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  window.started = { context: this.context, when, offset };
  return start.call(this, when, offset);
};
"""
FOLLOW = """() => {
  window.drawn = [];
  const [left, right] = ['face-left', 'face-right'].map((id) => document.getElementById(id));
  new MutationObserver(() => {
    if (!window.started) return;
    const { context, when, offset } = window.started;
    const audio = context.currentTime - context.outputLatency - when + offset;
    window.drawn.push([audio, Number(left.dataset.pose), Number(right.dataset.pose)]);
  }).observe(left, { attributeFilter: ['data-pose'] });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install one, or name it in $VALENZA_CHROMIUM")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE)
        yield browser
        browser.close()


class Person:
    """Someone at a keyboard, and all that their browser complained of or asked for."""

    def __init__(self, context: BrowserContext, link: str) -> None:
        self.link = link
        self.origin = "{0.scheme}://{0.netloc}".format(urlsplit(link))
        self.problems: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda said: self.problems.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._asked)
        self.page.goto(link)

    def _asked(self, request: Request) -> None:
        url = urlsplit(request.url)
        own = request.url.startswith(self.origin + "/") and not url.query
        if not own and url.scheme != "blob":
            self.problems.append(f"asked for {request.url}")
        if url.path == "/api/votes":
            self.sent.append(request.post_data_json)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def sees(self, view: str) -> None:
        expect(self.page.locator("body")).to_have_attribute("data-view", view, timeout=PATIENCE)

    def agree(self) -> None:
        self.sees("consent")
        self.press("Tab", "Enter")
        self.sees("sound")
        self.press("Space")
        expect(self.page.locator("#sound-yes")).to_have_attribute("aria-disabled", "false")
        self.press("y")
        self.sees("trial")
        self.at(1)

    def watch(self, *keys: str) -> None:
        """Play until the answers open, then hold still."""
        for key in keys or ("Space",):
            self.press(key)
            expect(self.page.locator("#faces")).not_to_have_attribute("data-playing", "none")
            expect(self.page.locator("#faces")).to_have_attribute("data-playing", "none", timeout=PATIENCE)
        self.is_open()

    def is_open(self) -> None:
        expect(self.page.locator("#answers")).to_have_attribute("data-locked", "false", timeout=PATIENCE)

    def at(self, number: int) -> None:
        expect(self.page.locator("#progress-text")).to_contain_text(f"Pair {number} of ", timeout=PATIENCE)
        expect(self.page.locator("#faces")).to_have_attribute("data-ready", "true", timeout=PATIENCE)

    def hint(self) -> Any:
        return expect(self.page.locator("#hint"))

    def at_ease(self) -> None:
        """Nothing went wrong: no error, warning or violated policy, and no other origin was asked."""
        assert self.problems == []


@pytest.fixture
def sit(browser: Browser) -> Iterator[Callable[[str], Person]]:
    """`sit(link)` opens an invitation in a browser that has never seen the page."""
    contexts: list[BrowserContext] = []

    def open_link(link: str) -> Person:
        contexts.append(browser.new_context(viewport={"width": 720, "height": 580}, device_scale_factor=0.5))
        contexts[-1].add_init_script(RECORD_STARTS)
        return Person(contexts[-1], link)

    yield open_link
    for context in contexts:
        context.close()


@pytest.fixture
def pairs(make_study: Callable[..., Study], tmp_path: Path) -> Study:
    """A study of three plain pairs on tracks of one second."""
    long = make_study(tmp_path / "long", plain=3, identical=0, obvious=0, swapped=0)
    audio = {}
    for track in long.tracks.values():
        samples, rate = soundfile.read(long.folder / track.audio, stop=16_000)
        flac = io.BytesIO()
        soundfile.write(flac, samples, rate, format="FLAC")
        audio[track.id] = flac.getvalue()
    tracks = [track.model_copy(update={"seconds": 1.0}) for track in long.tracks.values()]
    return write_pairs(tmp_path / "pairs", long.head, audio, tracks, long.candidates.values(), long.pairs)


def shown(study: Study, side: dict[str, Any], other: dict[str, Any]) -> tuple[str, str]:
    """Return the ids of the two candidates whose sequences an annotator is sent, found by the numbers alone."""

    def find(told: dict[str, Any]) -> str:
        frames = {name: c.sequence.frames(len(told["times"])) for name, c in study.candidates.items()}
        return min(frames, key=lambda name: float(np.abs(frames[name] - told["mixtures"]).max()))

    return find(side), find(other)


def logged(valenza: Callable[..., tuple[int, str, str]], study: Study) -> list[dict[str, str]]:
    """Return the log of all votes as `valenza pairs export` writes it."""
    log = study.folder / "log.csv"
    assert valenza("pairs", "export", study.folder, "--log", log)[0] == 0
    return list(csv.DictReader(log.read_text(encoding="utf-8").splitlines()))


def keep_time(drawn: np.ndarray) -> None:
    """Both faces are drawn at one moment, which is that of the audio; a row is the audio's time, left's and right's."""
    assert len(drawn) >= 5
    assert (drawn[:, 1] == drawn[:, 2]).all()
    moving = drawn[(drawn[:, 1] > 0) & (drawn[:, 1] < drawn[:, 1].max())]
    drift = np.abs(moving[:, 0] - moving[:, 1])
    assert np.quantile(drift, 0.9) < 0.05, drift
    assert (np.diff(moving[:, 1]) > 0).all()


def test_two_annotators_finish_a_set_by_keyboard_alone(pairs, start, sit, valenza) -> None:
    server = start(pairs.folder, "--invite", 2, "--votes-per-pair", 2, "--most", 2)
    chosen: Counter[tuple[str, str]] = Counter()
    people = [sit(link) for link in server.links]
    for person in people:
        person.agree()
    for turn, keys in enumerate((("ArrowLeft", "1"), ("2", "ArrowRight"), ("x", "ArrowDown")), 1):
        for number, (person, key) in enumerate(zip(people, keys, strict=True)):
            person.at(turn)
            pair = server.annotator(number).next()
            left, right = shown(pairs, pair["left"], pair["right"])
            person.watch(*(("a", "b") if turn == 1 and number else ("Space",)))
            person.press(key)
            if key in ("ArrowLeft", "1"):
                chosen[left, right] += 1
            elif key in ("ArrowRight", "2"):
                chosen[right, left] += 1
    for person in people:
        person.sees("finished")
        expect(person.page.locator("#finished-text")).to_have_text("You have judged all 3 pairs.")
        person.at_ease()
    assert sum(chosen.values()) == 4

    code, out, _ = valenza("pairs", "export", pairs.folder, "--json")
    assert code == 0
    assert json.loads(out)["votes"] == 6
    lines = (pairs.folder / "preferences.jsonl").read_text(encoding="utf-8").splitlines()
    exported = {(row["chosen"]["candidate"], row["rejected"]["candidate"]): row for row in map(json.loads, lines)}
    expected = {(one, other): n for (one, other), n in chosen.items() if n > chosen[other, one]}
    assert {way: row["weight"] * row["annotators"] for way, row in exported.items()} == expected

    code, out, _ = valenza("pairs", "report", pairs.folder, "--json")
    assert code == 0
    told = json.loads(out)
    assert {name: told["overall"][name] for name in ("left", "right", "tie", "cannot_tell")} == {
        "left": 2, "right": 2, "tie": 1, "cannot_tell": 1,
    }  # fmt: skip
    assert [told["annotators"][name]["votes"] for name in server.tokens] == [3, 3]


def test_answers_are_locked_until_both_faces_were_seen_and_can_be_taken_back(pairs, start, sit, valenza) -> None:
    server = start(pairs.folder, "--invite", 1)
    person, protocol = sit(server.links[0]), server.annotator()
    person.agree()
    before = protocol.next()
    person.press("1")
    person.hint().to_have_text("Please watch the faces first: press Space to play both.")
    person.press("u")
    person.hint().to_have_text("There is no answer to take back yet.")
    person.press("a")
    expect(person.page.locator("#faces")).to_have_attribute("data-playing", "left")
    expect(person.page.locator("#faces")).to_have_attribute("data-playing", "none", timeout=PATIENCE)
    assert float(person.page.locator("#face-right").get_attribute("data-pose") or "nan") == 0
    for key in ("ArrowLeft", "2", "0", "x"):
        person.press(key)
        person.hint().to_contain_text("of the left and 0 % of the right face. The answers open at 80 %. Press B")
    assert person.sent == []

    person.press("Shift+ArrowRight")
    expect(person.page.locator("#faces")).to_have_attribute("data-playing", "right")
    person.is_open()
    person.press("r", "ArrowLeft")
    person.at(2)
    person.press("u")
    person.at(1)
    person.hint().to_have_text("Your last answer was taken back. Here is that pair again.")
    assert protocol.next() == before
    person.is_open()  # it was seen, and need not be seen again
    person.press("ArrowRight")
    person.at(2)
    person.at_ease()
    assert [(row["choice"], row["undone"]) for row in logged(valenza, pairs)] == [("left", "1"), ("right", "0")]
    first, second = person.sent
    assert (first["pair"], first["replays"]) == (before["pair"], 2)
    assert first["id"] != second["id"]


def test_faces_keep_time_and_a_reload_comes_back_to_the_same_pair_and_sides(pairs, start, sit) -> None:
    server = start(pairs.folder, "--invite", 1)
    person, protocol = sit(server.links[0]), server.annotator()
    person.agree()
    person.page.evaluate(FOLLOW)
    person.watch()
    keep_time(np.array(person.page.evaluate("window.drawn")))
    person.press("0")
    person.at(2)
    person.press("Space")
    before = protocol.next()
    with person.page.expect_response("**/api/next") as reloaded:
        person.page.reload()
    assert reloaded.value.json() == before
    person.at(2)
    person.hint().to_have_text("Welcome back: 1 of 3 pairs are done.")
    person.press("1")
    person.hint().to_contain_text("Please watch the faces first")
    person.watch()
    person.press("1")
    person.at(3)
    person.page.goto(server.url)  # this tab remembers its invitation
    person.at(3)
    person.at_ease()


def test_a_killed_server_loses_and_doubles_no_answer(pairs, start, sit, valenza) -> None:
    server = start(pairs.folder, "--invite", 1)
    person, notice = sit(server.links[0]), "#notice-text"
    person.agree()

    def store_and_die(route: Route) -> None:
        route.fetch()
        server.stop(signal.SIGKILL)
        route.abort()

    person.watch()
    person.page.route("**/api/votes", store_and_die, times=1)
    person.press("1")
    expect(person.page.locator(notice)).to_contain_text("Your answer is kept on this computer", timeout=PATIENCE)
    server = start(pairs.folder, "--port", server.port)
    person.at(2)
    expect(person.page.locator(notice)).to_have_text("The connection is back.")

    person.watch()
    person.page.route("**/api/votes", lambda route: route.abort())  # lost before the server heard of it
    person.press("2")
    expect(person.page.locator(notice)).to_contain_text("Your answer is kept on this computer")
    server.stop(signal.SIGKILL)
    server = start(pairs.folder, "--port", server.port)
    person.page.reload()
    expect(person.page.locator(notice)).to_contain_text("Your answer is kept on this computer", timeout=PATIENCE)
    person.page.unroute("**/api/votes")
    person.page.locator("#notice-retry").dispatch_event("click")
    person.at(3)
    person.hint().to_have_text("Your last answer has been sent.")

    rows = logged(valenza, pairs)
    assert [row["choice"] for row in rows] == ["left", "right"]
    ids = [vote["id"] for vote in person.sent]
    assert list(dict.fromkeys(ids)) == [row["id"] for row in rows]
    assert len(ids) >= 4
    assert person.page.evaluate("localStorage.length") == 0
    assert all("net::ERR" in problem for problem in person.problems), person.problems


def test_links_that_do_not_work_are_explained(pairs, start, sit) -> None:
    server = start(pairs.folder, "--invite", 1)
    person = sit(server.url)
    person.sees("message")
    expect(person.page.locator("#message-title")).to_have_text("Please use your invitation link")
    person.at_ease()

    stranger = sit(server.links[0][:-1] + ("A" if server.links[0][-1] != "A" else "B"))
    stranger.sees("message")
    expect(stranger.page.locator("#message-title")).to_have_text("This link does not work")
    assert all("401" in problem for problem in stranger.problems), stranger.problems
    assert person.page.context.cookies() == []
