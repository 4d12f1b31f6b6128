"""Ways in which a shard is damaged by disks, networks, people and forgers."""

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from valenza.shards import tar

Damage = dict[Path, bytes]


@dataclass(frozen=True)
class Stored:
    """Two shards each of two corpora."""

    folder: Path
    index: pa.Table
    tars: list[Path]
    whole: dict[Path, bytes]

    def heads(self, data: bytes) -> list[int]:
        return [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]

    def members(self, path: Path) -> list[tuple[int, int]]:
        """Offset and size of every FLAC file in a shard."""
        rows = self.index.to_pylist()
        return [(row["offset"], row["size"]) for row in rows if row["shard"] == path.name]


def flip(stored: Stored, path: Path, rng: random.Random) -> Damage:
    data = bytearray(stored.whole[path])
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return {path: bytes(data)}


def flip_audio(stored: Stored, path: Path, rng: random.Random) -> Damage:
    data = bytearray(stored.whole[path])
    offset, size = rng.choice(stored.members(path))
    data[offset + rng.randrange(size)] ^= 1 << rng.randrange(8)
    return {path: bytes(data)}


def cut(stored: Stored, path: Path, rng: random.Random) -> Damage:
    return {path: stored.whole[path][: rng.randrange(len(stored.whole[path]))]}


def cut_at_a_member(stored: Stored, path: Path, rng: random.Random) -> Damage:
    return {path: stored.whole[path][: rng.choice(stored.heads(stored.whole[path])[1:])]}


def swap_blocks(stored: Stored, path: Path, rng: random.Random) -> Damage:
    data = stored.whole[path]
    blocks = [data[i : i + 512] for i in range(0, len(data), 512)]
    i, j = rng.sample(range(len(blocks)), 2)
    blocks[i], blocks[j] = blocks[j], blocks[i]
    return {path: b"".join(blocks)}


def swap_members(stored: Stored, path: Path, rng: random.Random) -> Damage:
    """Two FLAC files of one size change places, and nothing else does."""
    data = bytearray(stored.whole[path])
    members = stored.members(path)
    first, second = rng.choice([(a, b) for a in members for b in members if a < b and a[1] == b[1]])
    (i, size), (j, _) = first, second
    data[i : i + size], data[j : j + size] = data[j : j + size], data[i : i + size]
    return {path: bytes(data)}


def swap_whole_members(stored: Stored, path: Path, rng: random.Random) -> Damage:
    """Two members change places with their headers, so that the tar is a valid one."""
    data = stored.whole[path]
    heads = [*stored.heads(data), len(data) - len(tar.END)]
    parts = [data[a:b] for a, b in pairwise(heads)]
    i, j = rng.sample(range(len(parts)), 2)
    parts[i], parts[j] = parts[j], parts[i]
    return {path: b"".join(parts) + tar.END}


def duplicate(stored: Stored, path: Path, rng: random.Random) -> Damage:
    data = stored.whole[path]
    heads = [*stored.heads(data), len(data) - len(tar.END)]
    i, where = rng.randrange(len(heads) - 1), rng.choice(heads)
    return {path: data[:where] + data[heads[i] : heads[i + 1]] + data[where:]}


def overwrite_by_another(stored: Stored, path: Path, rng: random.Random) -> Damage:
    """A member takes the place of another one, under the other's header."""
    data = bytearray(stored.whole[path])
    members = stored.members(path)
    (i, size), (j, _) = rng.choice([(a, b) for a in members for b in members if a != b and a[1] == b[1]])
    data[i : i + size] = data[j : j + size]
    return {path: bytes(data)}


def edit_a_header(stored: Stored, path: Path, rng: random.Random) -> Damage:
    """A field of a header says something else, and the header's checksum is right again."""
    data = bytearray(stored.whole[path])
    at = rng.choice(stored.heads(data))
    where, what = rng.choice(
        [(0, b"../../x.flac"), (0, b"/etc/passwd"), (0, b"two_7.flac\0"), (124, b"00000000001"), (124, b"77777777777"),
         (156, b"2"), (156, b"1"), (156, b"L"), (156, b"x"), (156, b"S"), (156, b"5"), (100, b"0000777"),
         (136, b"00000000001"), (157, b"/etc/passwd"), (345, b"a/b")]
    )  # fmt: skip
    data[at + where : at + where + len(what)] = what
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return {path: bytes(data)}


def append(stored: Stored, path: Path, rng: random.Random) -> Damage:
    return {path: stored.whole[path] + rng.randbytes(rng.choice([1, 512, 10_240]))}


def insert(stored: Stored, path: Path, rng: random.Random) -> Damage:
    data = stored.whole[path]
    at = rng.randrange(len(data))
    return {path: data[:at] + rng.randbytes(rng.choice([1, 512, 700])) + data[at:]}


def zero(stored: Stored, path: Path, rng: random.Random) -> Damage:
    """A stretch of nothing: what a disk gives that lost a write."""
    data = bytearray(stored.whole[path])
    at, length = rng.randrange(len(data)), rng.choice([512, 4096])
    data[at : at + length] = bytes(len(data[at : at + length]))
    return {path: bytes(data)}


def exchange(stored: Stored, path: Path, rng: random.Random) -> Damage:
    """Two shards of one corpus change their names."""
    other = rng.choice([p for p in stored.tars if p.parent == path.parent and p != path])
    return {path: stored.whole[other], other: stored.whole[path]}


def replace_by_another_corpus(stored: Stored, path: Path, rng: random.Random) -> Damage:
    return {path: stored.whole[rng.choice([p for p in stored.tars if p.parent != path.parent])]}


def forge(stored: Stored, path: Path, rng: random.Random) -> Damage:
    """Bytes of a FLAC file are changed, and four more, so that its CRC-32 is what it was."""
    data = bytearray(stored.whole[path])
    offset, size = rng.choice(stored.members(path))
    flac = bytearray(data[offset : offset + size])
    for _ in range(rng.choice([1, 8])):
        flac[rng.randrange(size - 8)] ^= 1 << rng.randrange(8)
    data[offset : offset + size] = with_checksum(flac, zlib.crc32(stored.whole[path][offset : offset + size]))
    return {path: bytes(data)}


KINDS: tuple[Callable[[Stored, Path, random.Random], Damage], ...] = (
    flip, flip_audio, cut, cut_at_a_member, swap_blocks, swap_members, swap_whole_members, duplicate,
    overwrite_by_another, edit_a_header, append, insert, zero, exchange, replace_by_another_corpus, forge,
)  # fmt: skip


def with_checksum(data: bytearray, wanted: int) -> bytes:
    """Return the bytes with other last four, so that their CRC-32 is the wanted one."""
    table = [_entry(i) for i in range(256)]
    back = {entry >> 24: i for i, entry in enumerate(table)}
    state = wanted ^ 0xFFFFFFFF
    for _ in range(4):
        i = back[state >> 24]
        state = ((state ^ table[i]) << 8 | i) & 0xFFFFFFFF
    before = zlib.crc32(data[:-4]) ^ 0xFFFFFFFF
    found = bytes(data[:-4]) + struct.pack("<I", state ^ before)
    assert zlib.crc32(found) == wanted
    return found


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value


def damages(stored: Stored, amount: int, rng: random.Random) -> Iterator[tuple[str, Damage]]:
    """Yield so many damages, of every kind in turn; what happens to change nothing is drawn again."""
    for number in range(amount):
        kind = KINDS[number % len(KINDS)]
        damage: Damage = {}
        while not damage:
            drawn = kind(stored, rng.choice(stored.tars), rng)
            damage = {path: data for path, data in drawn.items() if data != stored.whole[path]}
        yield kind.__name__, damage
