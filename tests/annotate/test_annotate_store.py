"""The log: never changed, of one study only, and nothing is served where it cannot be written."""

import json
import resource
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valenza.annotate.assign import Overlap
from valenza.annotate.invites import Names, new_annotator, read_secret
from valenza.annotate.schema import Undo, Vote, Watched
from valenza.annotate.store import FILE, open_store, read_store
from valenza.annotate.turns import Turns
from valenza.errors import DataError, UsageError, WriteError
from valenza.stages.pairs.folder import read_pairs
from valenza.web.guard import RefusedError


def test_the_log_is_never_changed(study_folder: Path) -> None:
    store = open_store(study_folder, "d")
    store.note("invite", "a-0", expires=0)
    with pytest.raises(sqlite3.IntegrityError, match="never changed"), store.writing() as db:
        db.execute("UPDATE log SET annotator = 'a-1'")
    with pytest.raises(sqlite3.IntegrityError, match="never shortened"), store.writing() as db:
        db.execute("DELETE FROM log")
    assert store.invited() == {"a-0": 0}
    store.close()


def test_commits_are_flushed(study_folder: Path) -> None:
    store = open_store(study_folder, "d")
    with store.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    store.close()


def test_a_change_is_whole_or_not_there(study_folder: Path) -> None:
    store = open_store(study_folder, "d")
    row = "INSERT INTO turns (annotator, number, pair, since) VALUES ('a', 0, 'p', 0)"

    def twice() -> None:
        with store.writing() as db:
            db.execute(row)
            db.execute(row)

    with pytest.raises(sqlite3.IntegrityError):
        twice()
    with store.reading() as db:
        assert db.execute("SELECT COUNT(*) FROM turns").fetchone()[0] == 0
    store.close()


def test_votes_on_other_pairs_are_refused(study_folder: Path, make_study: Any, tmp_path: Path) -> None:
    open_store(study_folder, read_pairs(study_folder).digest).close()
    other = make_study(tmp_path / "other", seed=4)
    (study_folder / FILE).rename(other.folder / FILE)
    with pytest.raises(DataError, match=f"{FILE}: holds votes on other pairs"):
        open_store(other.folder, other.digest)
    with pytest.raises(DataError, match="other pairs"), read_store(other.folder, other.digest):
        pass


def test_what_is_no_log_is_refused(study_folder: Path) -> None:
    with pytest.raises(UsageError, match="no votes yet"), read_store(study_folder, "d"):
        pass
    (study_folder / FILE).write_bytes(b"not a database at all, but long enough to look at" * 50)
    for opening in (open_store, lambda folder, digest: read_store(folder, digest).__enter__()):
        with pytest.raises(DataError, match="is not a log of votes"):
            opening(study_folder, "d")
    (study_folder / FILE).unlink()
    db = sqlite3.connect(study_folder / FILE)
    db.execute("CREATE TABLE meta (name TEXT, value TEXT)")
    db.execute("INSERT INTO meta VALUES ('format', '9')")
    db.commit()
    db.close()
    with pytest.raises(DataError, match="format 9"):
        open_store(study_folder, "d")


def test_a_folder_that_cannot_be_written(study_folder: Path, tmp_path: Path) -> None:
    (study_folder / FILE).mkdir()
    with pytest.raises(WriteError, match="votes cannot be stored"):
        open_store(study_folder, "d")


def command(folder: Path, *words: object) -> list[str]:
    """The command as a user on a disk that has room for no more than so many bytes a file."""
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    run = "from valenza.cli import main; main()"
    return [sys.executable, "-c", limit + run, "annotate", str(folder), *map(str, words)]


def test_a_full_disk_at_the_start(study_folder: Path) -> None:
    done = subprocess.run(command(study_folder, "--port", 0), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 73, done.stderr
    assert "votes.sqlite: votes cannot be stored" in done.stderr
    assert "Traceback" not in done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


def test_the_secret(study_folder: Path) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(read_secret(study_folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found[0]) == 32
    assert [file.name for file in study_folder.glob("*secret*")] == ["secret.key"]
    (study_folder / "secret.key").write_text("short")
    with pytest.raises(DataError, match="not a secret"):
        read_secret(study_folder)


@given(token=st.text(max_size=80))
def test_no_text_is_a_token(token: str) -> None:
    with pytest.raises(RefusedError):
        Names(bytes(32), "d").annotator(token)


@given(place=st.integers(0, 56), letter=st.sampled_from("abcdef0123456789-_.ABCXYZ"))
def test_no_letter_of_a_token_may_change(place: int, letter: str) -> None:
    names = Names(bytes(range(32)), "d")
    good = names.token("a-0123456789")
    assert names.annotator(good) == "a-0123456789"
    changed = good[:place] + letter + good[place + 1 :]
    if changed != good:
        with pytest.raises(RefusedError):
            names.annotator(changed)


def test_annotators_names_are_their_own() -> None:
    assert len({new_annotator() for _ in range(1_000)}) == 1_000


STEPS = st.lists(st.sampled_from(["next", "left", "right", "tie", "cannot_tell", "undo", "reopen"]), max_size=30)


@given(steps=STEPS, overlap=st.sampled_from([Overlap(1, 1), Overlap(2, 3), Overlap(1, 3)]))
@settings(max_examples=25, deadline=None)
def test_any_order_of_requests(
    tmp_path_factory: pytest.TempPathFactory, make_study: Any, steps: list[str], overlap: Overlap
) -> None:
    """Two annotators vote, undo and come back after restarts; what they are shown follows from the log alone."""
    study = make_study(tmp_path_factory.mktemp("any") / "pairs", plain=4, swapped=0, tracks=1)
    names = Names(bytes(32), study.digest)
    store = open_store(study.folder, study.digest)
    stack: dict[str, list[str]] = {"a-1": [], "a-2": []}
    for number, step in enumerate(steps):
        who = ("a-1", "a-2")[number % 2]
        turns = Turns(study, store, names, overlap)
        if step == "reopen":
            store.close()
            store = open_store(study.folder, study.digest)
            continue
        turn = turns.next(who)
        assert turns.next(who) == turn
        name = f"00000000-0000-4000-8000-{number:012}"
        if step == "undo":
            told = turns.undo(who, Undo(id=name))
            assert told.undone == bool(stack[who])
            assert turns.undo(who, Undo(id=name)) == told
            if stack[who]:
                back = turns.next(who)
                assert back is not None
                assert back.pair.id == stack[who].pop()
        elif step != "next" and turn is not None:
            vote = Vote(
                id=name,
                pair=names.pair(who, turn.pair.id),
                choice=step,
                watched=Watched(left=1.0, right=1.0),
                replays=0,
                milliseconds=10,
            )
            told_ = turns.vote(who, vote)
            stack[who].append(turn.pair.id)
            assert turns.vote(who, vote) == told_
        standing = turns.standing(who)
        assert standing.done == len(stack[who]) == len(set(stack[who]))
        assert standing.done <= standing.total <= len(study.pairs)
        assert (standing.done == standing.total) == (turns.next(who) is None)
    store.close()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--host", "no.such.host.invalid"], 64, "--host no.such.host.invalid"),
        (["--public-url", "study.example"], 64, "--public-url study.example: give http(s)://name"),
        (["--public-url", "https://study.example/page"], 64, "with no path"),
        (["--votes-per-pair", "3", "--most", "2"], 64, "is less than --votes-per-pair"),
        (["--consent", "none.txt"], 64, "none.txt: cannot be read"),
        (["--revoke", "a-0"], 64, "no open invitation"),
    ],
)
def test_mistakes_are_explained(valenza: Any, study_folder: Path, words: list[str], code: int, said: str) -> None:
    ended, out, err = valenza("annotate", study_folder, "--port", 0, *words)
    assert (ended, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1


def test_links_without_serving(valenza: Any, study_folder: Path) -> None:
    words = ("annotate", study_folder, "--no-serve", "--invite", 2, "--public-url", "https://study.example/")
    code, out, err = valenza(*words, "--expires", 2)
    assert (code, err) == (0, "")
    lines = [line.split("  ") for line in out.splitlines()]
    assert [line[2] for line in lines] == ["0 of 12"] * 2
    assert all(line[1].startswith(f"https://study.example/#{line[0]}.") for line in lines)
    expiry = int(lines[0][1].split(".")[-2])
    assert abs(expiry - time.time() - 2 * 86_400) < 120
    assert len(valenza(*words)[1].splitlines()) == 4


def test_a_port_that_is_taken(valenza: Any, study_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = valenza("annotate", study_folder, "--port", taken.getsockname()[1])
    assert code == 64
    assert "cannot listen there" in err


def test_no_folder_of_pairs(valenza: Any, tmp_path: Path) -> None:
    code, _, err = valenza("annotate", tmp_path)
    assert code == 64
    assert "not a folder of pairs" in err
    for name in ("report", "export"):
        assert valenza("pairs", name, tmp_path)[0] == 64


def test_two_servers_on_one_folder(start: Callable[..., Any], study_folder: Path) -> None:
    """Nobody should, but nothing breaks: each sees what the other stored."""
    one = start(study_folder, "--invite", 1)
    other = start(study_folder)
    here = one.annotator().agree()
    there = other.annotator()
    for number in range(12):
        asked, answering = (here, there) if number % 2 else (there, here)
        assert asked.next() == answering.next()
        assert answering.vote(asked.next()["pair"], "left").json()["done"] == number + 1
    assert json.loads(here.get("/api/next").text) == {"finished": True}
