"""The page's protocol, on a real server."""

import io
import json
import re
import resource
import signal
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from valenza.labels.sequences import Sequence
from valenza.stages.pairs.folder import read_pairs

CHOICES = ("left", "right", "tie", "cannot_tell")


def finish(annotator: Any, choices: tuple[str, ...] = CHOICES) -> list[Any]:
    """Judge every pair and return what was shown."""
    shown = []
    while not (pair := annotator.next()).get("finished"):
        assert annotator.vote(pair["pair"], choices[len(shown) % len(choices)]).status_code == 200
        shown.append(pair)
    return shown


def log(folder: Path, *events: str) -> list[sqlite3.Row]:
    db = sqlite3.connect(folder / "votes.sqlite")
    db.row_factory = sqlite3.Row
    rows = [row for row in db.execute("SELECT * FROM log ORDER BY seq") if row["event"] in events]
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()
    return rows


def test_from_invitation_to_the_end(server: Any, study_folder: Path) -> None:
    annotator = server.annotator()
    session = annotator.get("/api/session").json()
    assert session == {
        "annotator": annotator.name,
        "title": "Tones <script>alert(1)</script>",
        "consent": session["consent"],
        "consented": False,
        "done": 0,
        "total": 12,
        "undoable": False,
        "seconds_left": None,
        "watch_share": 0.8,
    }
    assert len(session["consent"]) > 100
    for answer in (
        annotator.get("/api/next"),
        annotator.get(f"/api/audio/{'0' * 32}"),
        annotator.vote("0" * 32, "left"),
        annotator.post("/api/undo", {"id": str(uuid.uuid4())}),
    ):
        assert answer.status_code == 403
    assert annotator.post("/api/consent", {"sound": False}).status_code == 422
    assert annotator.post("/api/consent", {"sound": 1}).status_code == 422
    assert annotator.post("/api/consent", {"sound": True}).json() == session | {"consented": True}

    shown = finish(annotator)
    assert [pair["number"] for pair in shown] == list(range(1, 13))
    assert len({pair["pair"] for pair in shown}) == 12
    assert annotator.next() == {"finished": True}
    session = annotator.get("/api/session").json()
    assert (session["done"], session["total"], session["seconds_left"]) == (12, 12, 0)
    assert [row["choice"] for row in log(study_folder, "vote")] == [CHOICES[i % 4] for i in range(12)]
    assert len(log(study_folder, "consent")) == 1


def test_what_is_shown_are_the_candidates_on_the_drawn_sides(server: Any, study_folder: Path) -> None:
    study = read_pairs(study_folder)
    pairs = {pair.id: pair for pair in study.pairs}
    shown = finish(server.annotator().agree())
    rows = log(study_folder, "show")
    for told, row in zip(shown, rows, strict=True):
        pair = pairs[row["pair"]]
        track = study.tracks[pair.track]
        assert told["seconds"] == track.seconds
        names = (pair.a, pair.b) if row["left_side"] == "a" else (pair.b, pair.a)
        for side, name in zip(("left", "right"), names, strict=True):
            times = np.arange(0.01, track.seconds, 0.02)
            drawn = Sequence.of(told[side]["times"], told[side]["mixtures"])
            assert abs(drawn.at(times) - study.candidates[name].sequence.at(times)).max() < 1e-4
        # Only the numbers differ between candidates: their own keys would tell how they were made.
        assert told["left"]["times"] == told["right"]["times"]


def test_nothing_tells_what_a_pair_is(server: Any, study_folder: Path) -> None:
    study = read_pairs(study_folder)
    first, second = (finish(server.annotator(number).agree()) for number in (0, 1))
    names = [*study.tracks, *study.candidates, *(pair.id for pair in study.pairs)]
    words = ["window", "checkpoint", "catch", "identical", "obvious", "swapped", "plain", "kind", "source", "step"]
    for told in (*first, *second):
        assert set(told) == {"pair", "number", "seconds", "audio", "left", "right"}
        assert set(told["left"]) == set(told["right"]) == {"times", "mixtures"}
        assert not any(f'"{word}"' in json.dumps(told) for word in [*names, *words])
        assert re.fullmatch("[0-9a-f]{32}", told["pair"])
        assert re.fullmatch("[0-9a-f]{32}", told["audio"])
    # Two annotators who compare notes find no common name, and another order.
    for key in ("pair", "audio"):
        assert not {told[key] for told in first} & {told[key] for told in second}
    orders = [[row["pair"] for row in log(study_folder, "show") if row["annotator"] == name] for name in server.tokens]
    assert orders[0] != orders[1]


def test_the_same_pair_until_there_is_a_vote(server: Any) -> None:
    one, other = server.annotator(0).agree(), server.annotator(1).agree()
    first = one.next()
    for _ in range(4):
        pair = other.next()
        other.vote(pair["pair"], "left")
        assert one.next() == first
    assert one.vote(first["pair"], "tie").json() == {"accepted": True, "done": 1, "total": 12}
    assert one.next()["pair"] != first["pair"]


def test_a_vote_sent_again_counts_once(server: Any, study_folder: Path) -> None:
    annotator = server.annotator().agree()
    pair = annotator.next()
    ballot = annotator.ballot(pair["pair"], "left")
    first = annotator.post("/api/votes", ballot)
    annotator.vote(annotator.next()["pair"], "right")
    again = annotator.post("/api/votes", ballot)
    assert (again.status_code, again.json()) == (200, first.json()) == (200, {"accepted": True, "done": 1, "total": 12})
    assert len(log(study_folder, "vote")) == 2

    # The id stands for that vote alone.
    assert annotator.post("/api/votes", ballot | {"choice": "right"}).status_code == 409
    assert annotator.post("/api/undo", {"id": ballot["id"]}).status_code == 409
    other = server.annotator(1).agree()
    stolen = other.ballot(other.next()["pair"], "left") | {"id": ballot["id"]}
    assert other.post("/api/votes", stolen).status_code == 409
    # A pair that is no longer before the annotator takes no other vote.
    assert annotator.vote(pair["pair"], "right").status_code == 409
    assert annotator.vote(other.next()["pair"], "right").status_code == 409
    assert len(log(study_folder, "vote")) == 2


def test_undo_brings_the_pair_back(server: Any, study_folder: Path) -> None:
    annotator = server.annotator().agree()
    assert annotator.undo() == {"undone": False, "done": 0, "total": 12}
    pairs = []
    for choice in ("left", "right", "tie"):
        pairs.append(annotator.next())
        annotator.vote(pairs[-1]["pair"], choice)
    fourth = annotator.next()
    request = {"id": str(uuid.uuid4())}
    assert annotator.post("/api/undo", request).json() == {"undone": True, "done": 2, "total": 12}
    assert annotator.post("/api/undo", request).json() == {"undone": True, "done": 2, "total": 12}
    assert annotator.next() == pairs[2]
    assert annotator.undo() == {"undone": True, "done": 1, "total": 12}
    assert annotator.next() == pairs[1]
    for pair in (pairs[1], pairs[2]):
        assert annotator.next() == pair
        annotator.vote(pair["pair"], "cannot_tell")
    assert annotator.next() == fourth
    rows = log(study_folder, "vote", "undo")
    assert [row["event"] for row in rows] == ["undo", *["vote"] * 3, *["undo"] * 2, *["vote"] * 2]
    assert [row["undoes"] for row in rows if row["event"] == "undo"] == [None, rows[3]["seq"], rows[2]["seq"]]


@pytest.mark.parametrize(
    "change",
    [
        {"watched": {"left": 0.79, "right": 1.0}},
        {"watched": {"left": 1.0, "right": 0.0}},
        {"watched": {"left": 1.0, "right": 1.01}},
        {"watched": {"left": 1.0}},
        {"watched": {"left": "1.0", "right": 1.0}},
        {"watched": {"left": True, "right": 1.0}},
        {"choice": "both"},
        {"choice": None},
        {"pair": "p-1"},
        {"id": "1"},
        {"id": "' OR 1=1; DROP TABLE log; --"},
        {"replays": -1},
        {"replays": 1.5},
        {"replays": 10**30},
        {"milliseconds": "1200"},
        {"milliseconds": True},
        {"more": 1},
    ],
)
def test_votes_that_are_not_votes(one_server: Any, change: dict[str, Any]) -> None:
    annotator = one_server.annotator()
    pair = annotator.next()
    answer = annotator.post("/api/votes", annotator.ballot(pair["pair"], "left") | change)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(next(iter(change)))
    assert annotator.next() == pair


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory, make_study: Any, start_module: Any) -> Any:
    folder = make_study(tmp_path_factory.mktemp("one") / "pairs").folder
    server = start_module(folder)
    server.annotator().agree()
    return server


def test_audio_whole_and_in_part(one_server: Any) -> None:
    annotator = one_server.annotator()
    pair = annotator.next()
    whole = annotator.get(f"/api/audio/{pair['audio']}")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/flac")
    wave, rate = soundfile.read(io.BytesIO(whole.content))
    assert (len(wave) / rate, rate) == (pair["seconds"], 16_000)
    part = annotator.get(f"/api/audio/{pair['audio']}", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    head = annotator.http.head(f"/api/audio/{pair['audio']}")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(whole.content)), b"")
    for wrong in ("bytes=-0", "bytes=9999999-", "bytes=a-b", "bytes=5-1", "bytes=" + "0-1," * 900):
        answer = annotator.get(f"/api/audio/{pair['audio']}", headers={"range": wrong})
        assert answer.status_code in (200, 206, 400, 416), wrong
    assert annotator.get(f"/api/audio/{'0' * 32}").status_code == 404


def test_overlap_is_shared_out(start: Callable[..., Any], study_folder: Path) -> None:
    """With one vote a pair, annotators at work at once are never asked the same, and finish together."""
    server = start(study_folder, "--invite", 3)
    annotators = [server.annotator(i).agree() for i in range(3)]
    waiting, shown = dict(enumerate(annotators)), 0
    while waiting:
        for number, annotator in list(waiting.items()):
            pair = annotator.next()
            if pair.get("finished"):
                del waiting[number]
                continue
            shown += 1
            assert annotator.vote(pair["pair"], "left").status_code == 200
    kinds = {pair.id: pair.kind for pair in read_pairs(study_folder).pairs}
    plain = [row["pair"] for row in log(study_folder, "vote") if kinds[row["pair"]] == "plain"]
    assert sorted(plain) == sorted(name for name, kind in kinds.items() if kind == "plain")
    assert {a.get("/api/session").json()["seconds_left"] for a in annotators} == {0.0}


def test_a_disputed_pair_is_asked_again(start: Callable[..., Any], study_folder: Path) -> None:
    server = start(study_folder, "--invite", 4, "--votes-per-pair", 2, "--most", 3)
    study = read_pairs(study_folder)
    plain = {pair.id for pair in study.pairs if pair.kind == "plain"}
    disputed = {"p-3", "p-7"}
    for number in range(4):
        annotator = server.annotator(number).agree()
        while not (pair := annotator.next()).get("finished"):
            name, side = [(r["pair"], r["left_side"]) for r in log(study_folder, "show")][-1]
            wanted = "ab"[number % 2] if name in disputed else "a"
            annotator.vote(pair["pair"], "left" if wanted == side else "right")
    counts = dict.fromkeys(plain, 0)
    for row in log(study_folder, "vote"):
        if row["pair"] in plain:
            counts[row["pair"]] += 1
    assert counts == {name: 3 if name in disputed else 2 for name in plain}


def test_a_reload_and_a_restart_change_nothing(start: Callable[..., Any], study_folder: Path, free_port: int) -> None:
    server = start(study_folder, "--invite", 2, "--votes-per-pair", 2, "--port", free_port)
    annotator = server.annotator().agree()
    annotator.vote(annotator.next()["pair"], "left")
    pair, session = annotator.next(), annotator.get("/api/session").json()
    tokens = dict(server.tokens)
    assert server.stop() == 0
    assert server.said[-1].startswith("stopped")
    again = start(study_folder, "--votes-per-pair", 2, "--port", free_port)
    assert again.tokens == tokens
    annotator = again.annotator()
    assert annotator.next() == pair
    assert annotator.get("/api/session").json() == session


def test_a_full_disk_refuses_votes_and_loses_none(start: Callable[..., Any], study_folder: Path) -> None:
    server = start(study_folder, "--invite", 1)
    annotator = server.annotator().agree()
    annotator.vote(annotator.next()["pair"], "left")
    pair = annotator.next()
    ballot = annotator.ballot(pair["pair"], "right")
    no_room = (1, resource.RLIM_INFINITY)
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, no_room)
    for _ in range(3):
        refused = annotator.post("/api/votes", ballot)
        assert refused.status_code == 503
        assert "try again" in refused.json()["detail"]
        assert annotator.next() == pair
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
    assert annotator.post("/api/votes", ballot).json()["done"] == 2
    assert annotator.post("/api/votes", ballot).json()["done"] == 2
    assert [row["choice"] for row in log(study_folder, "vote")] == ["left", "right"]


def test_missing_audio_is_not_a_crash(start: Callable[..., Any], study_folder: Path) -> None:
    server = start(study_folder, "--invite", 1)
    annotator = server.annotator().agree()
    pair = annotator.next()
    for file in (study_folder / "audio").iterdir():
        file.unlink()
    assert annotator.get(f"/api/audio/{pair['audio']}").status_code == 503


def test_sigint_and_sigterm_end_well(start: Callable[..., Any], study_folder: Path) -> None:
    for how in (signal.SIGINT, signal.SIGTERM):
        assert start(study_folder).stop(how) == 0
    assert not (study_folder / "votes.sqlite-wal").exists()


def test_the_log_says_nothing_of_anyone(server: Any) -> None:
    annotator = server.annotator().agree()
    annotator.get(f"/api/session?token={annotator.token}")
    annotator.get(f"/{annotator.token}")
    finish(annotator)
    said = "\n".join(server.said)
    assert "POST /api/votes 200" in said
    assert annotator.token not in said
    assert annotator.name not in said
    assert not re.search(rf"127\.0\.0\.1:(?!{server.port})\d", said)


def test_pages_come_from_a_fixed_table(one_server: Any) -> None:
    with one_server.client() as anyone:
        page = anyone.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert anyone.get("/", headers={"if-none-match": page.headers["etag"]}).status_code == 304
        assert anyone.head("/").headers["content-length"] == str(len(page.content))
        assert anyone.get("/healthz").json() == {"ok": True}
        for match in re.findall(r'(?:src|href)="([^"#]+)"', page.text):
            assert anyone.get(match).status_code == 200, match
        rig = anyone.get("/assets/avatar/rig.json")
        assert (rig.status_code, rig.headers["content-type"]) == (200, "application/json")
        for wrong in ("/docs", "/redoc", "/assets/", "/assets/none.js", "/votes.sqlite", "/secret.key", "/api/nothing"):
            answer = anyone.get(wrong)
            assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"}), wrong


def test_the_secret_is_its_owners(server: Any, study_folder: Path) -> None:
    assert (study_folder / "secret.key").stat().st_mode & 0o777 == 0o600
