"""No damage goes unseen, none is a crash, and what is reported names shard and member."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from valenza.errors import ShardError, UsageError
from valenza.shards.info import describe, show_build, show_info
from valenza.shards.read import Reader
from valenza.shards.stored import read_cards, read_index
from valenza.shards.verify import verify
from valenza.shards.write import build

MUTATIONS = 240
SEVERAL = 60_000


@pytest.fixture
def stored(card, manifest, clips, tmp_path) -> Path:
    return build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL).folder


def flip(data: bytearray, rng: random.Random) -> bytes:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def truncate(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data))])


def at_a_member(data: bytearray, rng: random.Random) -> bytes:
    heads = [i for i in range(512, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]
    return bytes(data[: rng.choice(heads)])


def swap(data: bytearray, rng: random.Random) -> bytes:
    blocks = [bytes(data[i : i + 512]) for i in range(0, len(data), 512)]
    different = [(i, j) for i in range(len(blocks)) for j in range(i) if blocks[i] != blocks[j]]
    i, j = rng.choice(different)
    blocks[i], blocks[j] = blocks[j], blocks[i]
    return b"".join(blocks)


def duplicate(data: bytearray, rng: random.Random) -> bytes:
    heads = [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"] + [len(data) - 1024]
    i = rng.randrange(len(heads) - 1)
    member = bytes(data[heads[i] : heads[i + 1]])
    where = rng.choice(heads)
    return bytes(data[:where]) + member + bytes(data[where:])


def header(data: bytearray, rng: random.Random) -> bytes:
    """Edit a field of a header and make its checksum right again."""
    heads = [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]
    at = rng.choice(heads)
    where, what = rng.choice(
        [(0, b"../../x.flac"), (0, b"/etc/passwd"), (124, b"00000000001"), (124, b"77777777777"), (156, b"2"),
         (156, b"1"), (156, b"L"), (156, b"x"), (156, b"S"), (100, b"0000777"), (136, b"00000000001"),
         (157, b"/etc/passwd"), (345, b"a/b")]
    )  # fmt: skip
    data[at + where : at + where + len(what)] = what
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)


def insert(data: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return bytes(data[:at]) + rng.randbytes(rng.choice([1, 512, 700])) + bytes(data[at:])


def right_or_named(reader: Reader, row: int, true: set[bytes]) -> bool:
    try:
        return reader.audio(row).tobytes() in true
    except ShardError as error:
        return reader._ids[row].as_py() in str(error)


def test_every_mutation_is_found_and_none_crashes(stored, tmp_path):
    assert verify(stored) == []
    rng = random.Random(5)
    index = read_index(stored.parent, ["toy"])
    reader = Reader(stored.parent, index)
    true = {reader.audio(i).tobytes() for i in range(len(reader))}
    missed = []
    for n in range(MUTATIONS):
        kind = [flip, truncate, at_a_member, swap, duplicate, header, insert][n % 7]
        everything = sorted(p for p in stored.iterdir() if p.is_file())
        tars = [p for p in everything if p.suffix == ".tar"]
        path = rng.choice(everything if kind in {flip, truncate, insert} and n % 3 == 0 else tars)
        original = path.read_bytes()
        damaged = kind(bytearray(original), rng)
        path.write_bytes(damaged)
        findings = verify(stored) if damaged != original else [None]
        if not findings or (findings[0] is not None and not any(path.name in f.path for f in findings)):
            missed.append((n, kind.__name__, path.name, findings))
        if path.suffix == ".tar":
            # What is read at all is right, whatever happened to the file: no wrong audio, no silent loss.
            fresh = Reader(stored.parent, index)
            for i in np.flatnonzero([s == path.name for s in index["shard"].to_pylist()]):
                assert right_or_named(fresh, int(i), true)
        path.write_bytes(original)
    assert missed == []
    assert verify(stored) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_shards_that_changed_places_are_found(stored, jobs):
    one, two = stored / "toy-000000.tar", stored / "toy-000001.tar"
    one.rename(stored / "x")
    two.rename(one)
    (stored / "x").rename(two)
    assert {Path(f.path).name for f in verify(stored, jobs)} == {one.name, two.name}


def test_one_damaged_header_hides_no_other_member(stored):
    path = stored / "toy-000000.tar"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    findings = verify(stored)
    assert len(findings) == 2
    assert "SHA-256" in findings[0].problem
    assert findings[1].member is not None
    assert "checksum" in findings[1].problem


def test_links_missing_and_foreign_shards_are_named(stored):
    kept = stored / "kept"
    (stored / "toy-000000.tar").rename(kept)
    assert [f.problem for f in verify(stored)] == ["cannot be read: No such file or directory"]
    (stored / "toy-000000.tar").symlink_to(kept)
    assert [f.problem for f in verify(stored)] == ["is not a regular file"]
    (stored / "toy-000000.tar").unlink()
    kept.rename(stored / "toy-000000.tar")
    shutil.copy(stored / "toy-000000.tar", stored / "toy-000099.tar")
    assert [f.problem for f in verify(stored)] == ["is not in shards.json"]


def test_a_tar_that_contradicts_its_index_is_found_even_with_the_right_checksums(card, manifest, clips, tmp_path):
    """The JSON is held against the index, so a label cannot change in one of the two."""
    one = build(card, manifest, clips, tmp_path / "one").folder
    two = build(card, manifest, [replace(clips[0], label="h"), *clips[1:]], tmp_path / "two").folder
    for name in ("toy-000000.tar", "card.yaml"):
        shutil.copy(two / name, one / name)
    findings = verify(one)
    assert [(f.member, f.problem) for f in findings if f.member] == [
        ("toy_000.json", "does not say what the index says")
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"format": 99}', "\x00", '{"format": 1}', "1e999"]
)
def test_any_description_is_refused_with_a_message(stored, text):
    (stored / "shards.json").write_text(text)
    assert len(verify(stored)) == 1
    with pytest.raises(ShardError, match=r"shards\.json"):
        read_index(stored.parent, ["toy"])


def test_a_description_that_was_edited_is_refused(stored):
    text = (stored / "shards.json").read_text()
    (stored / "shards.json").write_text(text.replace('"clips": 18', '"clips": 17'))
    with pytest.raises(ShardError, match="is damaged"):
        read_index(stored.parent, ["toy"])


def test_missing_corpora_are_all_explained(stored):
    with pytest.raises(ShardError) as error:
        read_index(stored.parent, ["toi", "toy", "../toy", "pipe:ls"])
    first, second, third = str(error.value).splitlines()
    assert "did you mean 'toy'?" in first
    assert "valenza shards build toi" in first
    assert "'../toy'" in second
    assert "'pipe:ls'" in third
    with pytest.raises(UsageError, match="not a local folder"):
        read_index(Path("pipe:cat /etc/passwd"), ["toy"])
    with pytest.raises(ShardError, match="named twice"):
        read_index(stored.parent, ["toy", "toy"])


def test_a_shard_of_another_size_stops_the_run_at_once(stored):
    path = stored / "toy-000001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(ShardError, match=r"toy-000001\.tar.*delete it"):
        read_index(stored.parent, ["toy"])


def test_a_manifest_that_is_not_the_corpus_own_is_refused(stored):
    (stored / "card.yaml").write_text((stored / "card.yaml").read_text().replace("id: toy", "id: other"))
    with pytest.raises(ShardError, match="'other'"):
        read_cards(stored.parent, ["toy"])
    assert [Path(f.path).name for f in verify(stored)] == ["card.yaml"]
    (stored / "card.yaml").unlink()
    with pytest.raises(ShardError, match="is missing"):
        read_cards(stored.parent, ["toy"])


def test_figures_of_a_folder(card, manifest, clips, tmp_path, capsys):
    report = build(card, manifest, clips, tmp_path / "shards")
    (info,) = describe(tmp_path / "shards")
    assert (info["clips"], info["speakers"], info["languages"], info["splits"]) == (18, 3, ["de"], {"": 15, "test": 3})
    assert info["bytes"] == sum(p.stat().st_size for p in report.folder.glob("*.tar"))
    assert json.dumps(info)
    show_info([info])
    show_build(report)
    printed = capsys.readouterr()
    assert "toy" in printed.out
    assert "18 clips" in printed.err
    with pytest.raises(ShardError, match="holds no shards"):
        describe(tmp_path)
