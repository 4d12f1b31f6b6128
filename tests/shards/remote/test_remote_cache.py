"""Copies of remote shards: right, bounded, shared by processes, and there whole or not at all."""

import fcntl
import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from valenza.errors import CANNOT_WRITE, SHARD_IO, ShardError, UsageError
from valenza.place import Remote, place
from valenza.shards import remote
from valenza.shards.cache import Cache, Item
from valenza.shards.info import describe
from valenza.shards.read import Reader
from valenza.shards.stored import read_cards, read_corpus, read_description, read_index

PROGRAM = """
import os, resource, sys, time, zlib
from pathlib import Path
from valenza.errors import ValenzaError
from valenza.place import place
from valenza.shards import remote
from valenza.shards.stored import read_index
from valenza.shards.read import Reader
remote.PATIENCE = remote.Patience(20.0, 6, 0.01, 0.05, 0.01)
remote.BLOCK = 1 << 13
try:
    index = read_index(place(sys.argv[1]), ["toy"])
    reader = Reader(place(sys.argv[1]), index)
    if int(sys.argv[3]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
    print("ready", flush=True)
    while not Path(sys.argv[2]).exists():
        time.sleep(0.01)
    for row in range(len(reader)):
        print(zlib.crc32(reader.flac(row)) == reader.checksum(row))
except ValenzaError as error:
    print(error, file=sys.stderr)
    sys.exit(error.code)
"""


class Served:
    """Shards of one corpus in a local folder, and the same on a web server."""

    def __init__(self, shards: Path, server: Any, cache: Path) -> None:
        self.local, self.server, self.cache = shards, server, cache
        found = place(f"http://127.0.0.1:{server.port}/shards")
        assert isinstance(found, Remote)
        self.place = found
        self.index = read_index(shards, ["toy"])
        self.files = read_description(shards / "toy").shards
        self.rows = [self.index["shard"].to_pylist().index(file.name) for file in self.files]
        """The first clip of each shard."""

    def reader(self) -> Reader:
        return Reader(self.place, self.index)

    def item(self, number: int) -> Item:
        file = self.files[number]
        return Item(self.place / "toy" / file.name, file.sha256, file.bytes)

    def there(self) -> list[int]:
        """Which shards have a copy."""
        return [i for i, file in enumerate(self.files) if (self.cache / file.sha256).exists()]

    @property
    def size(self) -> int:
        """Bytes of all that lies in the cache."""
        return sum(p.stat().st_size for p in self.cache.iterdir())

    def fetched(self) -> dict[str, int]:
        """Shard → how often it was asked for."""
        return {file.name: len(self.server.gets(file.name)) for file in self.files}


@pytest.fixture
def served(shards: Path, web: Callable[[Path], Any], tmp_path: Path) -> Served:
    found = Served(shards, web(shards.parent), tmp_path / "cache")
    assert len(found.files) >= 5
    return found


def bound(monkeypatch: Any, count: int) -> None:
    monkeypatch.setenv("VALENZA_SHARD_CACHE_GB", f"{(count + 0.5) / 1e9:.12f}")


def test_all_is_as_in_a_local_folder(served: Served) -> None:
    assert read_index(served.place, ["toy"]).equals(served.index)
    assert read_cards(served.place, ["toy"]) == read_cards(served.local, ["toy"])
    assert read_corpus(served.place / "toy")[0] == read_corpus(served.local / "toy")[0]
    assert describe(served.place, ["toy"]) == describe(served.local)
    local, far = Reader(served.local, served.index), served.reader()
    for row in np.random.default_rng(0).permutation(len(local)).tolist():
        assert far.flac(row) == local.flac(row)
        assert np.array_equal(far.audio(row), local.audio(row))
    assert set(served.fetched().values()) == {1}
    again = served.reader()
    assert all(again.flac(row) == local.flac(row) for row in range(len(local)))
    assert set(served.fetched().values()) == {1}


def test_every_small_file_that_is_wrong_is_fetched_again_or_refused(served: Served, monkeypatch: Any) -> None:
    for name in ("shards.json", "index.parquet", "card.yaml"):
        served.server.misbehave(["flip", "flip"], only=name)
        assert read_index(served.place, ["toy"]).equals(served.index)
        assert read_cards(served.place, ["toy"]) == read_cards(served.local, ["toy"])
        assert len(served.server.done) == 2, name
        monkeypatch.setattr("valenza.shards.stored._descriptions", {})
        shutil.rmtree(served.cache)
    for name in ("shards.json", "index.parquet", "card.yaml"):
        monkeypatch.setattr("valenza.shards.stored._descriptions", {})
        served.server.misbehave(itertools.repeat("flip"), only=name)
        with pytest.raises(ShardError, match=name):
            read_cards(served.place, ["toy"]), read_index(served.place, ["toy"])
        shutil.rmtree(served.cache, ignore_errors=True)


def test_a_cache_of_two_shards_is_never_fuller(served: Served, monkeypatch: Any) -> None:
    limit = 2 * max(file.bytes for file in served.files)
    bound(monkeypatch, limit)
    local, far = Reader(served.local, served.index), Reader(served.place, read_index(served.place, ["toy"]))
    for row in np.random.default_rng(1).permutation(len(local)).tolist():
        assert far.flac(row) == local.flac(row)
        assert served.size <= limit
    assert sum(served.fetched().values()) > len(served.files)


def test_the_least_recently_used_goes_first(served: Served, monkeypatch: Any) -> None:
    bound(monkeypatch, sum(sorted(file.bytes for file in served.files)[-3:]))
    cache = Cache.here()
    for number in (0, 1, 2, 0, 3):
        cache.open(served.item(number)).close()
        time.sleep(0.02)  # file times are as fine as the kernel's ticks
    assert 1 not in served.there()
    assert {0, 3} <= set(served.there())


def test_a_copy_in_use_goes_last_and_stays_readable(served: Served, monkeypatch: Any) -> None:
    bound(monkeypatch, sum(sorted(file.bytes for file in served.files)[-2:]))
    local, holder = Reader(served.local, served.index), served.reader()
    holder.flac(served.rows[0])  # the oldest, mapped from now on
    cache = Cache.here()
    for number in (1, 2, 3):
        time.sleep(0.02)
        cache.open(served.item(number)).close()
        assert 0 in served.there()
    held = cache.open(served.item(1))
    cache.open(served.item(2)).close()
    assert len(served.there()) <= 2
    with cache.open(served.item(3)), cache.open(served.item(4)):
        assert 0 not in served.there()  # all are in use, and one must go
    assert holder.flac(served.rows[0]) == local.flac(served.rows[0])
    assert holder.flac(served.rows[0] + 1) == local.flac(served.rows[0] + 1)
    held.close()


def test_a_reader_lets_go_of_its_own_before_others_lose_theirs(served: Served, monkeypatch: Any) -> None:
    bound(monkeypatch, sum(sorted(file.bytes for file in served.files)[-2:]))
    holder, reader = served.reader(), served.reader()
    holder.flac(served.rows[0])
    for row in served.rows[1:]:
        reader.flac(row)
        assert 0 in served.there()


def test_processes_of_a_machine_fetch_each_shard_once(served: Served, tmp_path: Path) -> None:
    served.server.misbehave(itertools.cycle(["cut", None, 503, None]), only=".tar")
    script, go = tmp_path / "program.py", tmp_path / "go"
    script.write_text(PROGRAM)
    command = [sys.executable, str(script), str(served.place), str(go), "0"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out.split() == ["True"] * len(served.index)
    # Each is asked for once, and once more for each bad answer.
    assert sum(served.fetched().values()) == len(served.files) + len(served.server.done)
    assert not list(served.cache.glob("*.part"))


def test_readers_go_through_forks_and_pickles(served: Served) -> None:
    local, reader = Reader(served.local, served.index), served.reader()
    reader.flac(served.rows[0])  # so that connections and their thread are there when the process forks
    for row in (served.rows[1], served.rows[2]):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(reader.flac, (row,)).get(30) == local.flac(row)
    assert reader.flac(served.rows[3]) == local.flac(served.rows[3])
    assert pickle.loads(pickle.dumps(reader)).flac(served.rows[4]) == local.flac(served.rows[4])
    assert list(served.fetched().values())[:5] == [1] * 5


def test_a_transfer_of_a_killed_process_goes_on(served: Served, tmp_path: Path) -> None:
    last = max(range(len(served.files)), key=lambda i: served.files[i].bytes)
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    served.server.misbehave(["pause"], only=served.files[last].name)
    command = [sys.executable, str(script), str(served.place), "/", "0"]
    part = served.cache / served.item(last).part
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (part.exists() and part.stat().st_size and len(served.server.done) == 1):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    size = part.stat().st_size
    served.server.misbehave([])
    with Cache.here().open(served.item(last)) as file:
        assert file.read() == (served.local / "toy" / served.files[last].name).read_bytes()
    assert served.server.gets(served.files[last].name) == [f"bytes={size}-"]


def test_a_transfer_that_was_left_is_removed_where_the_room_is_needed(served: Served, monkeypatch: Any) -> None:
    bound(monkeypatch, 2 * max(file.bytes for file in served.files))
    served.cache.mkdir()
    for name in ("0" * 64, "1" * 64, "2" * 64):
        (served.cache / f"{name}.{served.files[0].bytes}.part").write_bytes(b"left")
    Cache.here().open(served.item(0)).close()
    assert served.there() == [0]
    assert len(list(served.cache.glob("*.part"))) <= 1


def test_who_finds_no_room_waits_for_those_who_fetch(served: Served, monkeypatch: Any) -> None:
    bound(monkeypatch, max(file.bytes for file in served.files))
    served.cache.mkdir()
    other = served.cache / f"{'0' * 64}.{served.files[0].bytes}.part"
    with other.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        context = multiprocessing.get_context("fork")
        with context.Pool(1) as pool:
            waiting = pool.apply_async(served.reader().flac, (served.rows[1],))
            time.sleep(0.5)
            assert not waiting.ready()
            assert other.exists()
            other.unlink()
            assert waiting.get(20) == Reader(served.local, served.index).flac(served.rows[1])


def test_bytes_that_are_not_those_written_are_never_used(served: Served) -> None:
    file, row = served.files[2], served.rows[2]
    served.server.misbehave(itertools.repeat("flip"), only=file.name)
    reader = served.reader()
    with pytest.raises(ShardError, match=rf"{served.place}/toy/{file.name}: what the server gives is not") as told:
        reader.flac(row)
    assert told.value.code == SHARD_IO
    assert len(served.server.gets(file.name)) == remote.PATIENCE.wholes
    assert not [p for p in served.cache.iterdir() if p.name.startswith(file.sha256)]
    served.server.misbehave(["flip", "cut", "flip", None], only=file.name)
    assert reader.flac(row) == Reader(served.local, served.index).flac(row)


def test_a_copy_that_was_shortened_is_fetched_again(served: Served) -> None:
    Cache.here().open(served.item(1)).close()
    os.truncate(served.cache / served.files[1].sha256, 1000)
    assert served.reader().flac(served.rows[1]) == Reader(served.local, served.index).flac(served.rows[1])


def test_a_full_disk_is_told_and_keeps_nothing_half(served: Served, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, str(script), str(served.place), "/", "70000"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == CANNOT_WRITE, ended.stderr
    assert f"{served.cache}: cannot be written: File too large; lower $VALENZA_SHARD_CACHE_GB" in ended.stderr
    assert served.there() == []
    assert not list(served.cache.glob("*.part"))


def test_a_cache_that_cannot_be_is_told(served: Served, monkeypatch: Any, tmp_path: Path) -> None:
    bound(monkeypatch, served.files[0].bytes - 1)
    with pytest.raises(UsageError, match=r"do not fit into a cache of .* GB; raise \$VALENZA_SHARD_CACHE_GB"):
        served.reader().flac(served.rows[0])
    for size in ("none", "-1", "0", "nan", "inf"):
        monkeypatch.setenv("VALENZA_SHARD_CACHE_GB", size)
        with pytest.raises(UsageError, match="no number of gigabytes above 0"):
            Cache.here()
    monkeypatch.delenv("VALENZA_SHARD_CACHE_GB")
    (tmp_path / "file").touch()
    monkeypatch.setenv("VALENZA_SHARD_CACHE", str(tmp_path / "file"))
    with pytest.raises(Exception, match="cannot be") as told:
        served.reader().flac(served.rows[0])
    assert told.value.code in {CANNOT_WRITE, SHARD_IO}  # type: ignore[attr-defined]
    monkeypatch.delenv("VALENZA_SHARD_CACHE")
    monkeypatch.setenv("VALENZA_CACHE", "/somewhere")
    assert Cache.here() == Cache(Path("/somewhere/shards"), 50 * 10**9)


def test_an_unknown_corpus_is_told_and_a_dead_server_is_not_taken_for_one(served: Served) -> None:
    with pytest.raises(ShardError, match=r"no shards of 'tyo'.*\n.*no shards of '\.\.'"):
        read_index(served.place, ["tyo", ".."])
    served.server.misbehave(itertools.repeat(500))
    with pytest.raises(ShardError, match=r"shards\.json: cannot be read: the server answers 500") as told:
        read_index(served.place, ["toy", "other"])
    assert not isinstance(told.value, remote.MissingError)
    assert not served.server.gets("other/shards.json")


def test_damage_on_this_disk_names_the_copy(served: Served) -> None:
    Cache.here().open(served.item(0)).close()
    copy = served.cache / served.files[0].sha256
    copy.write_bytes(bytes(served.files[0].bytes))
    with pytest.raises(ShardError, match=rf"{served.files[0].name}: toy_.*CRC-32.*its copy is {copy}"):
        served.reader().flac(served.rows[0])
