"""A study to photograph: two dozen pairs of made-up sequences on a tone, and the real server on it."""

import io
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import soundfile
from playwright.sync_api import Page

from valenza.labels.taxonomy import EMOTIONS
from valenza.stages.pairs.folder import Candidate, Head, Pair, Track, write_pairs

VALENZA = [sys.executable, "-m", "valenza"]
PAIRS = 24
SECONDS = 3.0
RATE = 16_000
WAYS = (("neutral", "happiness"), ("surprise", "anger"))  # how the two sequences of every pair begin and end


def write_study(folder: Path) -> None:
    """Write a study in which the same two sequences are compared again and again."""
    time = np.arange(int(SECONDS * RATE)) / RATE
    syllables = np.sin(2 * np.pi * 2.2 * time) ** 2 * np.sin(np.pi * time / SECONDS)
    flac = io.BytesIO()
    soundfile.write(flac, 0.3 * np.sin(2 * np.pi * 180 * time) * syllables, RATE, format="FLAC")
    track = Track(id="t-0", audio="audio/t-0.flac", seconds=SECONDS, corpus="tones", language="en", speaker="s")
    one_hot = dict(zip(EMOTIONS, map(tuple, np.eye(len(EMOTIONS)).tolist()), strict=True))
    candidates = [
        Candidate(
            id=f"c-{k}",
            track=track.id,
            source={"kind": "file"},
            times=(0.0, 1.0),
            mixtures=tuple(one_hot[name] for name in way),
        )
        for k, way in enumerate(WAYS)
    ]
    pairs = [Pair(id=f"p-{k}", track=track.id, a="c-0", b="c-1", disagreement=0.2) for k in range(PAIRS)]
    head = Head(title="Voices and faces, first round", seed=1, made={"by": "docs/photograph.py"})
    write_pairs(folder, head, {track.id: flac.getvalue()}, [track], candidates, pairs)


def until(lines: Iterable[str], words: str) -> Iterator[str]:
    """Yield lines up to the first that has these words."""
    for line in lines:
        yield line
        if words in line:
            return


@contextmanager
def invited(done: int | None) -> Iterator[str]:
    """Give an invitation link to someone who has judged so many pairs, or has not yet agreed to take part."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "pairs"
        write_study(study)
        command = [*VALENZA, "annotate", str(study), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
        try:
            said = "".join(until(server.stdout or (), "serving at"))
            found = re.search(r"\S+/#\S+", said)
            if found is None:
                raise SystemExit(f"valenza annotate does not start: {said}")
            link = found[0]
            if done is not None:
                judge(link, done)
            yield link
        finally:
            server.terminate()
            server.communicate()


def judge(link: str, pairs: int) -> None:
    """Agree, and vote on so many pairs."""
    url, _, token = link.partition("/#")
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}) as http:
        http.post("/api/consent", json={"sound": True}).raise_for_status()
        for _ in range(pairs):
            vote = {"id": str(uuid.uuid4()), "pair": http.get("/api/next").json()["pair"], "choice": "left"}
            vote |= {"watched": {"left": 1.0, "right": 1.0}, "replays": 0, "milliseconds": 9000}
            http.post("/api/votes", json=vote).raise_for_status()


def of_annotation(done: int | None, view: str, *keys: str) -> Callable[[Page, str], bytes]:
    """Return what takes a view of the page, pressing keys in it first."""

    def take(page: Page, _: str) -> bytes:
        page.set_viewport_size({"width": 1280, "height": 720})
        with invited(done) as link:
            page.goto(link)
            page.wait_for_selector(f"body[data-view={view}]")
            page.wait_for_timeout(1500)  # everything is drawn
            for key in keys:
                page.keyboard.press(key)
            page.wait_for_timeout(1600)  # what plays is in its middle
            return page.screenshot()

    return take
