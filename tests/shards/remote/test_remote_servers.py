"""Files of servers arrive whole or not at all, whatever the servers do."""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valenza.errors import SHARD_IO, ShardError, UsageError
from valenza.place import Remote, place
from valenza.shards import remote

DATA = bytes(range(256)) * 16000 + b"the end"  # more than arrives at once, or a cut might leave nothing
LOADED = """
import sys, valenza.shards.read, valenza.mixture.admission
print(*(m for m in ("fsspec", "aiohttp", "s3fs", "gcsfs", "botocore", "tenacity") if m in sys.modules))
"""
FAULTS = ["stall", "pause", "trickle", "cut", "longer", "shorter", "whole", "elsewhere", 429, 500, 503, 408]


@pytest.fixture(params=["http", "s3", "gs"])
def served(request: Any, tmp_path: Path, monkeypatch: Any) -> tuple[Any, Remote]:
    """A server of each kind that gives out DATA, and where."""
    root = tmp_path / "root"
    folder = root / "test" / "shards" if request.param == "gs" else root
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(DATA)
    server = request.getfixturevalue("bucket" if request.param == "s3" else "web")(root)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.port}")
    address = f"http://127.0.0.1:{server.port}" if request.param == "http" else f"{request.param}://test/shards"
    found = place(f"{address}/data")
    assert isinstance(found, Remote)
    return server, found


def whole(found: Remote, start: int = 0) -> bytes:
    return b"".join(remote.blocks(found, start, len(DATA)))


def test_every_fault_is_borne(served: tuple[Any, Remote], monkeypatch: Any) -> None:
    server, found = served
    monkeypatch.setattr(remote, "PATIENCE", remote.Patience(0.3, 6, 0.01, 0.05, 0.01))
    assert whole(found) == DATA
    for fault in FAULTS:
        server.misbehave([fault, None, fault] if found.scheme != "gs" else [fault])
        assert whole(found) == DATA, fault
        assert server.done, fault


def test_a_cut_transfer_goes_on_where_it_was_cut(served: tuple[Any, Remote]) -> None:
    server, found = served
    server.misbehave([None, "cut"] if found.scheme != "http" else ["cut", "cut"])
    assert whole(found) == DATA
    starts = [int(span.removeprefix("bytes=").split("-")[0] or 0) for span in server.gets("data")]
    assert starts == sorted(starts)
    assert starts[0] == 0 < starts[-1]
    server.misbehave([])
    assert whole(found, 300_001) == DATA[300_001:]
    assert server.gets("data")[0].startswith("bytes=300001-")


def test_a_file_of_unknown_size_is_read_to_its_end(served: tuple[Any, Remote], monkeypatch: Any) -> None:
    _, found = served
    for block in (1 << 16, len(DATA), len(DATA) // 7):
        monkeypatch.setattr(remote, "BLOCK", block)
        assert b"".join(remote.blocks(found, 0, None)) == DATA


def test_what_is_missing_is_not_asked_for_again(served: tuple[Any, Remote]) -> None:
    server, found = served
    server.misbehave([])
    with pytest.raises(remote.MissingError, match=r"absent: is not there") as told:
        b"".join(remote.blocks(found.parent / "absent", 0, 10))
    assert told.value.code == SHARD_IO
    assert len(server.gets("absent")) == 1


def test_a_server_that_never_answers_well_is_given_up(served: tuple[Any, Remote], capfd: Any) -> None:
    server, found = served
    server.misbehave(itertools.repeat(503))
    began = time.monotonic()
    with pytest.raises(ShardError, match=r"data: cannot be read: .*, tried 6 times in a row") as told:
        whole(found)
    assert time.monotonic() - began < 6 * 0.8 + 2
    assert len(server.gets("data")) == 6
    assert str(told.value).startswith(str(found))
    assert capfd.readouterr().err.count("asking again") == 3


def test_a_web_server_that_refuses_is_asked_once(tmp_path: Path, web: Callable[[Path], Any]) -> None:
    (tmp_path / "data").write_bytes(DATA)
    server = web(tmp_path)
    found = place(f"http://user:p4ss@127.0.0.1:{server.port}/data?sig=s3cret")
    assert isinstance(found, Remote)
    for status in (400, 401, 403, 405, 418):
        server.misbehave([status])
        with pytest.raises(ShardError, match=f"{status}") as told:
            whole(found)
        assert len(server.asked) == 1
        assert "p4ss" not in str(told.value)
        assert "s3cret" not in str(told.value)
    server.misbehave([])
    assert whole(found) == DATA
    assert server.asked[0][1] == "/data?sig=s3cret"


def test_redirects_lead_to_no_other_plain_address(tmp_path: Path, web: Callable[[Path], Any]) -> None:
    (tmp_path / "data").write_bytes(DATA)
    server, other = web(tmp_path), web(tmp_path)
    found = place(f"http://127.0.0.1:{server.port}/data")
    assert isinstance(found, Remote)
    server.misbehave([f"http://127.0.0.1:{server.port}/data"])
    assert whole(found) == DATA
    server.misbehave([f"http://127.0.0.1:{other.port}/data"])
    with pytest.raises(ShardError, match="redirects to an address without encryption"):
        whole(found)
    assert other.asked == []


def test_patience_ends_when_the_documentation_says(monkeypatch: Any, capfd: Any) -> None:
    waits: list[float] = []
    monkeypatch.setattr(remote, "PATIENCE", patience := remote.Patience())
    monkeypatch.setattr(time, "sleep", waits.append)
    found = place("http://user:p4ss@127.0.0.1:1/data")
    assert isinstance(found, Remote)
    with pytest.raises(
        ShardError, match=r"\*\*\*@127.0.0.1:1/data: cannot be read: Cannot connect .* 8 times in a row"
    ):
        whole(found)
    assert len(waits) == 7
    assert 91 <= sum(waits) <= 98
    assert [round(wait - extra) for wait, extra in zip(waits, [0.5] * 7, strict=True)] == [1, 2, 4, 8, 16, 30, 30]
    assert sum(waits) + patience.tries * patience.seconds <= 338
    assert "p4ss" not in capfd.readouterr().err


def test_a_missing_package_is_named(monkeypatch: Any) -> None:
    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        monkeypatch.setitem(sys.modules, package, None)
        found = place(f"{scheme}://test/data")
        assert isinstance(found, Remote)
        with pytest.raises(UsageError, match=rf"needs {package}; pip install 'valenza\[remote\]'"):
            whole(found)


def test_local_shards_need_none_of_the_packages() -> None:
    told = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []


def test_folders_of_a_bucket_are_listed(bucket: Callable[[Path], Any], tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("german", "english", ".hidden"):
        (root / name).mkdir(parents=True)
        (root / name / "shards.json").write_text("{}")
    server = bucket(root)
    found = place("s3://test/shards")
    assert isinstance(found, Remote)
    server.misbehave([503, None])
    assert remote.folders(found) == [".hidden", "english", "german"]
    with pytest.raises(UsageError, match="a web server does not tell"):
        remote.folders(Remote("https", "host", ""))
