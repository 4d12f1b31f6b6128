"""Reading through the index, from any process, and by webdataset alone."""

import json
import multiprocessing
import pickle
import subprocess
import sys
import zlib

import numpy as np
import pytest

from valenza.errors import ShardError
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.shards.write import build

ALONE = """
import io, json, sys, zlib
import soundfile, webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    sound, rate = soundfile.read(io.BytesIO(sample["flac"]), dtype="int16")
    said = json.loads(sample["json"])
    print(json.dumps([sample["__key__"], said["id"], said["label"], rate, len(sound), zlib.crc32(sound.tobytes())]))
assert "valenza" not in sys.modules
"""


@pytest.fixture
def reader(card, manifest, clips, tmp_path) -> Reader:
    build(card, manifest, clips, tmp_path / "shards", shard_bytes=60_000)
    return Reader(tmp_path / "shards", read_index(tmp_path / "shards", ["toy"]))


def test_webdataset_alone_reads_the_same_samples(reader, tmp_path):
    index = read_index(tmp_path / "shards", ["toy"])
    tars = sorted(map(str, (tmp_path / "shards" / "toy").glob("*.tar")))
    assert len(tars) > 1
    command = [sys.executable, "-I", "-W", "ignore", "-c", ALONE, *tars]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    assert ended.returncode == 0, ended.stderr
    wanted = []
    for i, (name, label) in enumerate(zip(index["id"].to_pylist(), index["label"].to_pylist(), strict=True)):
        sound = reader.audio(i)
        wanted.append([name, name, label, 16000, len(sound), zlib.crc32(sound.tobytes())])
    assert [json.loads(line) for line in ended.stdout.splitlines()] == wanted


def test_rows_may_be_read_in_any_order_and_from_part_of_an_index(reader, tmp_path):
    index = read_index(tmp_path / "shards", ["toy"])
    whole = [reader.audio(i) for i in range(len(reader))]
    order = np.random.default_rng(0).permutation(len(reader))
    part = Reader(tmp_path / "shards", index.take(order[:7]))
    for i, row in enumerate(order[:7]):
        np.testing.assert_array_equal(part.audio(i), whole[row])
        assert len(whole[row]) == index["samples"][int(row)].as_py()
    assert len(Reader(tmp_path / "shards", index.slice(0, 0))) == 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_reader_goes_to_other_processes(reader, method):
    wanted = [reader.audio(i) for i in range(4)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        for sound, same in zip(wanted, pool.map(reader.audio, range(4)), strict=True):
            np.testing.assert_array_equal(sound, same)
    assert len(pickle.dumps(reader)) < 20_000


def test_few_shards_are_open_at_a_time(reader, monkeypatch):
    monkeypatch.setattr("valenza.shards.read._MOST_OPEN", 2)
    for i in range(len(reader)):
        reader.audio(i)
    assert len(reader._open) <= 2


def test_damage_names_shard_and_clip(reader, tmp_path):
    index = read_index(tmp_path / "shards", ["toy"])
    row = index.slice(3, 1).to_pylist()[0]
    path = tmp_path / "shards" / "toy" / row["shard"]
    data = bytearray(path.read_bytes())
    data[row["offset"] + row["size"] // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(ShardError, match=rf"{row['shard']}: {row['id']}: .*CRC-32"):
        Reader(tmp_path / "shards", index).audio(3)
    path.write_bytes(b"")
    with pytest.raises(ShardError, match=rf"{row['shard']}: {row['id']}: "):
        Reader(tmp_path / "shards", index).audio(3)
    path.unlink()
    with pytest.raises(ShardError, match=rf"{row['shard']}: {row['id']}: .*No such file"):
        Reader(tmp_path / "shards", index).audio(3)
