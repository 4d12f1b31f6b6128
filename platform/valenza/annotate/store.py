"""The log of a study in SQLite: what was committed is on disk, and nothing in it is ever changed."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from valenza.errors import DataError, UsageError, WriteError
from valenza.shards.record import sync
from valenza.version import __version__

FILE = "votes.sqlite"
FORMAT = 1
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('start', 'invite', 'revoke', 'consent', 'show', 'vote', 'undo')),
    annotator TEXT,
    id TEXT UNIQUE,
    number INTEGER,
    pair TEXT,
    left_side TEXT,
    choice TEXT,
    answer TEXT,
    watched_left REAL,
    watched_right REAL,
    replays INTEGER,
    milliseconds INTEGER,
    undoes INTEGER UNIQUE REFERENCES log (seq),
    done INTEGER,
    total INTEGER,
    note TEXT
);
CREATE INDEX log_of_annotator ON log (annotator, event);
CREATE TRIGGER log_stays BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log is never changed'); END;
CREATE TRIGGER log_whole BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log is never shortened'); END;
CREATE TABLE turns (
    annotator TEXT NOT NULL,
    number INTEGER NOT NULL,
    pair TEXT NOT NULL,
    since REAL NOT NULL,
    answer TEXT,
    vote INTEGER REFERENCES log (seq),
    milliseconds INTEGER,
    PRIMARY KEY (annotator, number),
    UNIQUE (annotator, pair)
) WITHOUT ROWID;
CREATE INDEX turns_of_pair ON turns (pair, answer);
"""
"""`turns` is what the log amounts to: a row for each pair shown, `vote` being the vote that stands."""
COLUMNS = ("annotator", "id", "number", "pair", "left_side", "choice", "answer", "watched_left", "watched_right",
           "replays", "milliseconds", "undoes", "done", "total", "note")  # fmt: skip


class Store:
    """The open log of a study, shared by the threads of one process and by several processes."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._lock = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Make what happens inside one change: on disk when this returns, or not there at all."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite may have rolled back by itself on a full disk
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Let what happens inside see one state."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")

    def revoked(self, annotator: str) -> bool:
        """Whether an annotator's invitation was withdrawn, by this process or another."""
        return self._has(annotator, "revoke")

    def consented(self, annotator: str) -> bool:
        """Whether an annotator agreed to take part."""
        return self._has(annotator, "consent")

    def note(self, event: str, annotator: str | None = None, **note: object) -> None:
        """Log an event other than a vote."""
        with self.writing() as db:
            write(db, event, annotator=annotator, note=json.dumps(note, sort_keys=True))

    def consent(self, annotator: str) -> None:
        """Log an annotator's consent, once."""
        with self.writing() as db:
            if not _has(db, annotator, "consent"):
                write(db, "consent", annotator=annotator)

    def invited(self) -> dict[str, int]:
        """Return the annotators whose invitations stand, and when they expire in seconds since 1970 (0 for never)."""
        with self.reading() as db:
            rows = db.execute(
                "SELECT annotator, note FROM log WHERE event = 'invite' AND annotator NOT IN "
                "(SELECT annotator FROM log WHERE event = 'revoke') ORDER BY seq"
            ).fetchall()
        return {row["annotator"]: int(json.loads(row["note"])["expires"]) for row in rows}

    def close(self) -> None:
        """Fold the log into its one file and let go of it."""
        with self._lock:
            self._db.close()

    def _has(self, annotator: str, event: str) -> bool:
        with self.reading() as db:
            return _has(db, annotator, event)


def _has(db: sqlite3.Connection, annotator: str, event: str) -> bool:
    found = db.execute("SELECT 1 FROM log WHERE annotator = ? AND event = ? LIMIT 1", (annotator, event))
    return found.fetchone() is not None


def write(db: sqlite3.Connection, event: str, **values: Any) -> int:
    """Add a line to the log, inside a change, and return its number."""
    names = ", ".join(COLUMNS)
    marks = ", ".join("?" * len(COLUMNS))
    row = db.execute(
        f"INSERT INTO log (at, event, {names}) VALUES (?, ?, {marks})",  # noqa: S608 - the names are those above
        (datetime.now(UTC).isoformat(timespec="milliseconds"), event, *(values.get(name) for name in COLUMNS)),
    )
    return int(row.lastrowid or 0)


def open_store(folder: Path, digest: str, **settings: object) -> Store:
    """Open the log of a study for writing, making it where there is none, and note `settings` in it.

    Raises `DataError` where it is another study's or no log, and `WriteError` where it cannot be written.
    """
    path = folder / FILE
    db: sqlite3.Connection | None = None
    try:
        db = _connect(str(path))
        # An acknowledged vote outlives a power cut only where each commit is flushed, which WAL alone does not do.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        store = Store(db)
        with store.writing():
            if db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                for statement in _statements(SCHEMA):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES ('format', ?), ('study', ?)", (str(FORMAT), digest))
            _check(db, path, digest)
            write(db, "start", note=json.dumps({"valenza": __version__} | settings, sort_keys=True))
        sync(folder)
    except BaseException as error:
        if db is not None:
            db.close()
        if isinstance(error, sqlite3.OperationalError | OSError):
            raise WriteError(f"{path}: votes cannot be stored: {error}") from None
        if isinstance(error, sqlite3.DatabaseError):
            raise DataError(f"{path}: is not a log of votes: {error}") from None
        raise
    return store


@contextmanager
def read_store(folder: Path, digest: str) -> Iterator[sqlite3.Connection]:
    """Open the log of a study for reading alone, while a server writes to it or from a disk that nobody can write to.

    Raises `UsageError` where there is none yet, and `DataError` where it is another study's or no log.
    """
    path = folder / FILE
    if not path.is_file():
        raise UsageError(f"{path}: there are no votes yet; ask for them with `valenza annotate {folder}`")
    db: sqlite3.Connection | None = None
    try:
        try:
            db = _connect(f"{path.absolute().as_uri()}?mode=ro")
            db.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            db = _connect(f"{path.absolute().as_uri()}?immutable=1")
        _check(db, path, digest)
        db.execute("BEGIN")
        yield db
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path}: is not a log of votes: {error}") from None
    finally:
        if db is not None:
            db.close()


def _connect(where: str) -> sqlite3.Connection:
    uri = where.startswith("file:")
    db = sqlite3.connect(where, timeout=10, isolation_level=None, check_same_thread=False, uri=uri)
    db.row_factory = sqlite3.Row
    return db


def _check(db: sqlite3.Connection, path: Path, digest: str) -> None:
    try:
        meta = {row["name"]: row["value"] for row in db.execute("SELECT name, value FROM meta")}
    except sqlite3.OperationalError as error:
        raise DataError(f"{path}: is not a log of votes: {error}") from None
    if meta.get("format") != str(FORMAT):
        raise DataError(f"{path}: format {meta.get('format')} is not the format {FORMAT} that this version reads")
    if meta.get("study") != digest:
        raise DataError(
            f"{path}: holds votes on other pairs than those that lie here now; "
            "put the pairs back, or move the votes away to begin anew"
        )


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
