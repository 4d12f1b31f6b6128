"""Frame labels in shards: stored whole, read by anyone, and no damage to them goes unseen."""

import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from valenza.corpora.clip import Clip
from valenza.corpora.frames import COLUMNS, frame_count
from valenza.errors import DataError, ShardError
from valenza.shards import audio, record
from valenza.shards.export.hand_over import export
from valenza.shards.index import SCHEMA, sha256
from valenza.shards.info import describe, show_info
from valenza.shards.read import Reader
from valenza.shards.stored import read_corpus, read_index
from valenza.shards.verify import verify
from valenza.shards.write import build

SEVERAL = 60_000
MUTATIONS = 100
ALONE = """
import io, json, sys
import numpy, webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    frames = numpy.load(io.BytesIO(sample["npy"]), allow_pickle=False) if "npy" in sample else numpy.zeros((0, 8))
    said = json.loads(sample["json"])
    print(json.dumps([said["id"], said["samples"], str(frames.dtype), frames.astype(float).tolist()]))
assert "valenza" not in sys.modules
"""


def labelled(clip: Clip, seed: int) -> tuple[Clip, np.ndarray]:
    """Give a clip a mixture for each of its frames."""
    count = frame_count(len(audio.load(clip)))
    mixtures = np.random.default_rng(seed).dirichlet(np.ones(len(COLUMNS)), count)
    path = clip.audio.with_suffix(".npy")
    np.save(path, mixtures)
    return replace(clip, frames=path), mixtures


@pytest.fixture
def heard(clips: list[Clip]) -> tuple[list[Clip], dict[str, np.ndarray]]:
    """18 clips of which every third has no frame labels, and the mixtures of the others."""
    pairs = [labelled(clip, i) if i % 3 else (clip, None) for i, clip in enumerate(clips)]
    return [clip for clip, _ in pairs], {clip.id: m for clip, m in pairs if m is not None}


@pytest.fixture
def stored(card, manifest, heard, tmp_path) -> Path:
    return build(card, manifest, heard[0], tmp_path / "shards", shard_bytes=SEVERAL).folder


def bytes_of(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()}


def test_each_clip_has_its_own_mixtures_again(stored, heard):
    index = read_index(stored.parent, ["toy"])
    reader = pickle.loads(pickle.dumps(Reader(stored.parent, index)))
    for row, name in enumerate(index["id"].to_pylist()):
        assert reader.has_frames[row] == (name in heard[1])
        if name in heard[1]:
            read = reader.frames(row)
            assert read.dtype == np.float32
            assert len(read) == frame_count(len(reader.audio(row)))
            np.testing.assert_allclose(read, heard[1][name], atol=1e-3)
            np.testing.assert_allclose(read.sum(axis=1), 1, atol=1e-6)
        else:
            with pytest.raises(ShardError, match=f"{name}: has no frame labels"):
                reader.frames(row)
    order = np.random.default_rng(0).permutation(len(reader))[:7]
    part = Reader(stored.parent, index.take(order))
    for i, row in enumerate(order):
        if part.has_frames[i]:
            np.testing.assert_array_equal(part.frames(i), reader.frames(int(row)))
    assert not Reader(stored.parent, index.slice(0, 0)).has_frames.any()


def test_webdataset_alone_reads_them(stored, heard, tmp_path):
    tars = sorted(map(str, stored.glob("*.tar")))
    command = [sys.executable, "-I", "-W", "ignore", "-c", ALONE, *tars]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    assert ended.returncode == 0, ended.stderr
    said = {name: (samples, kind, values) for name, samples, kind, values in map(json.loads, ended.stdout.splitlines())}
    assert len(said) == 18
    for name, mixtures in heard[1].items():
        samples, kind, values = said[name]
        assert (kind, len(values)) == ("float16", frame_count(samples))
        np.testing.assert_array_equal(values, mixtures.astype(np.float32).astype(np.float16))
    assert {name for name, (_, _, values) in said.items() if not values} == said.keys() - heard[1].keys()


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_same_clips_give_the_same_bytes(card, manifest, heard, stored, tmp_path, jobs):
    again = build(card, manifest, heard[0], tmp_path / "again", jobs, shard_bytes=SEVERAL).folder
    assert bytes_of(again) == bytes_of(stored)


def test_a_clip_over_30_seconds_is_cut_between_frames(card, manifest, make, tmp_path):
    (clip,) = make(1, text="long")
    samples = 61 * 16000 + 123
    soundfile.write(clip.audio, 0.1 * np.random.default_rng(0).standard_normal(samples), 16000)
    clip, mixtures = labelled(clip, 5)
    folder = build(card, manifest, [clip], tmp_path / "shards").folder
    index = read_index(folder.parent, ["toy"])
    reader = Reader(folder.parent, index)
    rows = sorted(range(3), key=lambda row: index["id"][row].as_py())
    lengths = index["samples"].to_pylist()
    assert [lengths[row] % 320 for row in rows[:2]] == [0, 0]
    assert sum(lengths) == samples
    assert max(lengths) <= 30 * 16000
    np.testing.assert_allclose(np.concatenate([reader.frames(row) for row in rows]), mixtures, atol=1e-3)
    whole = np.concatenate([reader.audio(row) for row in rows])
    np.testing.assert_array_equal(whole, audio.load(clip))
    assert verify(folder) == []


def test_another_file_of_labels_renews_its_shard_alone(card, manifest, heard, stored, tmp_path):
    again = build(card, manifest, heard[0], tmp_path / "shards", shard_bytes=SEVERAL)
    assert again.built == 0
    changed = heard[0][1]
    status = changed.frames.stat()
    np.save(changed.frames, np.roll(heard[1][changed.id], 1, axis=1))
    os.utime(changed.frames, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    third = build(card, manifest, heard[0], tmp_path / "shards", shard_bytes=SEVERAL)
    assert (third.built, third.kept) == (1, again.kept - 1)
    index = read_index(stored.parent, ["toy"])
    row = index["id"].to_pylist().index(changed.id)
    found = Reader(stored.parent, index).frames(row)
    np.testing.assert_allclose(found, np.roll(heard[1][changed.id], 1, axis=1), atol=1e-3)


def test_labels_that_do_not_fit_stop_the_build_or_are_left_out(card, manifest, heard, tmp_path):
    bad, missing = heard[0][1], heard[0][2]
    np.save(bad.frames, heard[1][bad.id][1:])
    missing.frames.unlink()
    with pytest.raises(DataError) as error:
        build(card, manifest, heard[0], tmp_path / "shards")
    assert f"{bad.source}: has frame labels that cannot be stored: {bad.frames.name} holds" in str(error.value)
    assert f"{missing.source}: has frame labels that cannot be stored" in str(error.value)
    report = build(card, manifest, heard[0], tmp_path / "shards", skip_bad=True)
    assert [out.id for out in report.description.left_out] == [bad.id, missing.id]


def as_before(folder: Path) -> None:
    """Rewrite the index and the records of finished shards without the column, as earlier versions wrote them."""
    description, rows = read_corpus(folder)
    index = record.parquet(rows.drop_columns(["frames"]))
    (folder / "index.parquet").write_bytes(index)
    description = description.model_copy(update={"index_sha256": sha256(index)})
    (folder / "shards.json").write_bytes(description.render())
    for shard in description.shards:
        found = record.read(folder, shard.name)
        record.save(folder, record.Record(found.made, found.rows.drop_columns(["frames"])))


def test_shards_from_before_are_read_verified_and_kept(card, manifest, clips, tmp_path):
    folder = build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL).folder
    as_before(folder)
    assert "frames" not in pq.read_schema(folder / "index.parquet").names
    index = read_index(folder.parent, ["toy"])
    assert index.schema.equals(SCHEMA)
    assert index["frames"].null_count == 18
    assert not Reader(folder.parent, index).has_frames.any()
    assert verify(folder) == []
    assert build(card, manifest, clips, folder.parent, shard_bytes=SEVERAL).built == 0
    one = labelled(clips[0], 1)[0]
    report = build(card, manifest, [one, *clips[1:]], folder.parent, shard_bytes=SEVERAL)
    assert report.built == 1
    assert verify(folder) == []


def test_one_corpus_with_and_one_without_are_read_together(card, manifest, heard, stored, corner):
    names = ["english", "toy"]
    (corner.shards / "toy").symlink_to(stored)
    try:
        index = read_index(corner.shards, names)
        reader = Reader(corner.shards, index)
        assert reader.has_frames.sum() == len(heard[1])
        assert not reader.has_frames[:24].any()
    finally:
        (corner.shards / "toy").unlink()


def members(path: Path, suffix: str) -> list[tuple[int, int]]:
    """Return where the header of each member with a suffix begins, and where its padded content ends."""
    data, found, at = path.read_bytes(), [], 0
    while any(data[at : at + 512]):
        size = int(data[at + 124 : at + 135], 8)
        end = at + 512 + size + -size % 512
        if data[at : at + 100].rstrip(b"\0").endswith(suffix.encode()):
            found.append((at, end))
        at = end
    return found


def flip(data: bytearray, at: int, end: int, rng: random.Random) -> bytes:
    data[rng.randrange(at, end)] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut(data: bytearray, at: int, end: int, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(at, end)])


def remove(data: bytearray, at: int, end: int, rng: random.Random) -> bytes:
    return bytes(data[:at] + data[end:])


def double(data: bytearray, at: int, end: int, rng: random.Random) -> bytes:
    return bytes(data[:end] + data[at:end] + data[end:])


def shift(data: bytearray, at: int, end: int, rng: random.Random) -> bytes:
    return bytes(data[: end - 1] + b"x" + data[end - 1 :])


def right_or_named(reader: Reader, row: int, true: np.ndarray) -> bool:
    try:
        return np.array_equal(reader.frames(row), true)
    except ShardError as error:
        return reader._ids[row].as_py() in str(error)


@pytest.mark.parametrize("kind", [flip, cut, remove, double, shift])
def test_every_damage_to_frame_labels_is_found_and_none_is_read(stored, kind: Callable[..., bytes]):
    index = read_index(stored.parent, ["toy"])
    whole = Reader(stored.parent, index)
    true = {row: whole.frames(row) for row in np.flatnonzero(whole.has_frames).tolist()}
    shards, rng, missed = index["shard"].to_pylist(), random.Random(kind.__name__), []
    for n in range(MUTATIONS // 5):
        path = rng.choice(sorted(stored.glob("*.tar")))
        original = path.read_bytes()
        damaged = kind(bytearray(original), *rng.choice(members(path, ".npy")), rng)
        path.write_bytes(damaged)
        findings = verify(stored)
        if not any(f.path == str(path) and (f.member or kind in (cut, double)) for f in findings):
            missed.append((n, findings))
        fresh = Reader(stored.parent, index)
        for row in (row for row in true if shards[row] == path.name):
            assert right_or_named(fresh, row, true[row])
        path.write_bytes(original)
    assert missed == []
    assert verify(stored) == []


def test_a_flipped_bit_names_the_member_alone(stored):
    path = sorted(stored.glob("*.tar"))[0]
    at, _ = members(path, ".npy")[0]
    data = bytearray(path.read_bytes())
    name = bytes(data[at : at + 100]).rstrip(b"\0").decode()
    data[at + 512 + 200] ^= 1
    path.write_bytes(data)
    first, second = verify(stored)
    assert "SHA-256" in first.problem
    assert second.member == name
    assert "CRC-32" in second.problem
    index = read_index(stored.parent, ["toy"])
    row = index["id"].to_pylist().index(name.removesuffix(".npy"))
    with pytest.raises(ShardError, match=rf"{path.name}: {name.removesuffix('.npy')}: .*frame labels.*CRC-32"):
        Reader(stored.parent, index).frames(row)


def test_labels_that_the_index_does_not_know_are_found(stored):
    """With every checksum made right, only the walk through the tar can tell."""
    description, rows = read_corpus(stored)
    place = rows.schema.get_field_index("frames")
    nothing = pa.nulls(rows.num_rows, rows.schema.field(place).type)
    index = record.parquet(rows.set_column(place, rows.schema.field(place), nothing))
    (stored / "index.parquet").write_bytes(index)
    (stored / "shards.json").write_bytes(description.model_copy(update={"index_sha256": sha256(index)}).render())
    problems = [f.problem for f in verify(stored) if f.member]
    assert len(problems) >= 8
    assert all("the member before it ends at" in problem for problem in problems)


def test_figures_and_exports(stored, heard, tmp_path, capsys):
    (info,) = describe(stored.parent)
    assert info["frames"] == len(heard[1]) == 12
    show_info([info])
    assert "frame labels" in capsys.readouterr().out
    for form in ("nemo", "emobox", "audformat", "audiofolder", "datasets", "cameo", "croissant"):
        assert export(stored.parent, ["toy"], form, tmp_path / form) == {"toy": 18}
    described = json.loads((tmp_path / "croissant" / "toy" / "croissant.json").read_text())
    assert any(part.get("includes") == "*.npy" for part in described["distribution"])
