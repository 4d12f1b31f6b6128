"""A server that is killed again and again loses no vote, counts none twice, and goes on with the same pair (R16)."""

import os
import random
import signal
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from valenza.terminal import say

KILLS = int(os.environ.get("VALENZA_KILLS", "20"))
ANNOTATORS = 4
SECONDS = 1.0  # that a server lives after it serves, on average


@dataclass
class Worker:
    """An annotator who votes without pause, sends what was not answered again, and remembers all that was answered."""

    annotator: Any
    dice: random.Random
    running: threading.Event
    votes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Acknowledged vote ids, with pair and choice."""
    sent: set[str] = field(default_factory=set)
    undone: list[str] = field(default_factory=list)
    """Acknowledged undo requests."""
    standing: list[str] = field(default_factory=list)
    """Acknowledged votes that were not taken back, in order."""
    again: int = 0
    same: int = 0
    """How often a kill cut off a vote that was not stored, and the pair was there again in the same bytes."""
    moved: int = 0
    """How often it cut off a vote that was stored but not answered."""
    wrong: list[str] = field(default_factory=list)
    over: bool = False

    def once(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Ask once; nothing where no answer comes."""
        try:
            answer: httpx.Response = self.annotator.http.request(method, path, json=body)
        except httpx.TransportError:
            self.again += 1
            time.sleep(0.05)
            return None
        if answer.status_code >= 500:
            self.wrong.append(answer.text)
        return answer

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Ask until there is an answer; nothing where the test ends first."""
        while (answer := self.once(method, path, body)) is None and self.running.is_set():
            pass
        return answer

    def work(self) -> None:
        while self.running.is_set() and not self.over:
            asked = self.ask("GET", "/api/next")
            if asked is None:
                return
            if asked.status_code != 200 or "finished" in asked.json():
                self.over = True
                self.wrong.append(asked.text)
                return
            if self.standing and self.dice.random() < 0.1:
                self.undo()
            else:
                self.vote(asked)

    def vote(self, asked: httpx.Response) -> None:
        name, choice = str(uuid.UUID(int=self.dice.getrandbits(128))), self.dice.choice(["left", "right", "tie"])
        pair = asked.json()["pair"]
        body = {"id": name, "pair": pair, "choice": choice, "replays": 0, "milliseconds": 5}
        body |= {"watched": {"left": 1.0, "right": 1.0}}
        self.sent.add(name)
        answer = self.once("POST", "/api/votes", body)
        if answer is None:  # killed: what is before the annotator now, ere the vote is sent again?
            now = self.ask("GET", "/api/next")
            if now is None:
                return
            stays = now.json()["pair"] == pair
            if stays and now.content != asked.content:
                self.wrong.append(f"the same pair in other words: {now.text[:100]}")
            self.same += stays
            self.moved += not stays
            answer = self.ask("POST", "/api/votes", body)
            after = self.ask("GET", "/api/next")
            if not stays and after is not None and after.content != now.content:
                self.wrong.append(f"a vote that was stored moved the annotator on again: {after.text[:100]}")
            if answer is None:
                return
        if answer.status_code != 200:
            self.wrong.append(answer.text)
        self.votes[name] = (pair, choice)
        self.standing.append(name)
        if answer.json().get("done") != len(self.standing):
            self.wrong.append(f"{answer.text} after {len(self.standing)}")

    def undo(self) -> None:
        name = str(uuid.UUID(int=self.dice.getrandbits(128)))
        answer = self.ask("POST", "/api/undo", {"id": name})
        if answer is None:
            self.over = True  # it may be done or not: nothing more can be said of what stands
            return
        if answer.json() != {**answer.json(), "undone": True}:
            self.wrong.append(answer.text)
        self.standing.pop()
        self.undone.append(name)


@pytest.mark.timeout(120 + 12 * KILLS)
def test_kills_lose_nothing(
    start: Callable[..., Any], make_study: Any, tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_study(tmp_path / "pairs", plain=1_800, identical=80, obvious=60, swapped=60).folder
    words = ("--votes-per-pair", ANNOTATORS, "--port", free_port)
    server = start(folder, "--invite", ANNOTATORS, *words)
    running = threading.Event()
    running.set()
    workers = [Worker(server.annotator(i).agree(), random.Random(i), running) for i in range(ANNOTATORS)]
    threads = [threading.Thread(target=worker.work) for worker in workers]
    for thread in threads:
        thread.start()
    dice, began = random.Random(1), time.monotonic()
    try:
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.2, 2 * SECONDS - 0.2))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            server = start(folder, *words)
        time.sleep(0.5)
    finally:
        running.clear()
        for thread in threads:
            thread.join(60)
    shown = [worker.annotator.next() for worker in workers]
    assert server.stop() == 0
    count_all(folder, workers, shown)
    assert sum(worker.same + worker.moved for worker in workers) > 0
    with capsys.disabled():
        say(
            f" {KILLS} kills in {time.monotonic() - began:.0f} s under {ANNOTATORS} annotators: "
            f"{sum(len(w.votes) for w in workers):,} votes and {sum(len(w.undone) for w in workers):,} undos "
            f"acknowledged; of the votes cut off, {sum(w.moved for w in workers)} were stored and "
            f"{sum(w.same for w in workers)} not"
        )


def count_all(folder: Path, workers: list[Worker], shown: list[Any]) -> None:
    """Hold what was acknowledged against what is stored."""
    from valenza.annotate.invites import Names, read_secret
    from valenza.stages.pairs.folder import read_pairs

    names = Names(read_secret(folder), read_pairs(folder).digest)
    db = sqlite3.connect(folder / "votes.sqlite")
    db.row_factory = sqlite3.Row
    assert db.execute("PRAGMA integrity_check").fetchall()[0][0] == "ok"
    rows = db.execute("SELECT * FROM log ORDER BY seq").fetchall()
    for worker, now in zip(workers, shown, strict=True):
        assert worker.wrong == []
        own = worker.annotator.name
        votes = {r["id"]: r for r in rows if r["annotator"] == own and r["event"] == "vote"}
        undos = [r for r in rows if r["annotator"] == own and r["event"] == "undo"]
        assert set(worker.votes) <= set(votes) <= worker.sent
        assert len(votes) - len(worker.votes) <= 1  # the one that was on its way at the end
        for name, (pair, choice) in worker.votes.items():
            assert (names.pair(own, votes[name]["pair"]), votes[name]["choice"]) == (pair, choice)
        assert set(worker.undone) <= {r["id"] for r in undos}
        taken = {r["undoes"] for r in undos}
        alive = [r for r in votes.values() if r["seq"] not in taken]
        assert max(Counter(r["pair"] for r in alive).values()) == 1
        if not worker.over:
            assert {r["id"] for r in alive if r["id"] in worker.votes} == set(worker.standing)
        # A pair is on the same side in every line of the log.
        sides = {(r["pair"], r["left_side"]) for r in rows if r["annotator"] == own and r["left_side"]}
        assert len(sides) == len({pair for pair, _ in sides})
        # The state that the server works with is what the log amounts to.
        turns = db.execute("SELECT * FROM turns WHERE annotator = ? ORDER BY number", (own,)).fetchall()
        assert {t["vote"] for t in turns if t["vote"]} == {r["seq"] for r in alive}
        assert [t["number"] for t in turns] == list(range(len(turns)))
        assert now["number"] == len(alive) + 1
        assert names.pair(own, turns[len(alive)]["pair"]) == now["pair"]
    db.close()
