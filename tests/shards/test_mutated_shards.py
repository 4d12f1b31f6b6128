"""Thousands of damaged shards: all are found, and in training no clip is lost in silence or heard as another."""

import os
import random
import time
import zlib
from collections import Counter

import numpy as np
import pytest
import soundfile
from damages import KINDS, Stored, damages, with_checksum

from valenza.corpora.card import read_card
from valenza.corpora.clip import Clip
from valenza.errors import ShardError
from valenza.features.batch import FRAME, Hearing, WindowDataset
from valenza.mixture.stream import Window
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.shards.verify import verify
from valenza.shards.write import build

MUTATIONS = int(os.environ.get("VALENZA_MUTATIONS", "2000"))
SECONDS_EACH = 0.06
"""What `verify` may take of one core on average: 2,000 shards in two minutes."""
CORPORA = ("one", "two")
CLIPS = 10
SAMPLES = (1_000, 1_300)
MANIFEST = """id: {corpus}
title: Clips that know their names
languages: [de]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_(?P<label>\\w)'
labels: {{a: anger, h: happiness}}
"""


def spoken(clip: str, samples: int) -> np.ndarray:
    """Noise whose low bytes spell the clip's id, over and over; clips of one length have FLAC files of one size."""
    name = np.frombuffer(f"{clip}\0".encode(), np.uint8)
    rng = np.random.default_rng(zlib.crc32(clip.encode()))
    high = rng.integers(-128, 128, samples, dtype=np.int16) << 8
    return (high | np.resize(name, samples).astype(np.int16)).astype(np.int16)


def named(audio: np.ndarray) -> set[str]:
    """The ids that samples spell: one, for those of a clip as it was written."""
    letters = (audio & 0xFF).astype(np.uint8).tobytes()
    return {word.decode("latin-1") for word in letters.split(b"\0")[:-1]}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    folder = tmp_path_factory.mktemp("named")
    for corpus in CORPORA:
        manifest = folder / f"{corpus}.yaml"
        manifest.write_text(MANIFEST.format(corpus=corpus))
        clips = []
        for i in range(CLIPS):
            clip, path = f"{corpus}_{i}", folder / f"{corpus}_{i}.wav"
            soundfile.write(path, spoken(clip, SAMPLES[i % len(SAMPLES)]), 16_000, subtype="PCM_16")
            clips.append(Clip(clip, corpus, path, path.name, "de", f"s{i % 3}", f"take{i}", label="ah"[i % 2]))
        build(read_card(manifest), manifest, clips, folder / "shards", shard_bytes=9_000)
    tars = sorted((folder / "shards").glob("*/*.tar"))
    assert len(tars) == 4, [path.stat().st_size for path in tars]
    index = read_index(folder / "shards", CORPORA)
    found = Stored(folder / "shards", index, tars, {path: path.read_bytes() for path in tars})
    sizes = {size for path in tars for _, size in found.members(path)}
    assert len(sizes) == len(SAMPLES), "clips of one length have FLAC files of one size"
    return found


def trained_on(stored: Stored, rows: list[int]) -> tuple[set[int], set[int]]:
    """Serve rows as training does; returns those that were heard and those that were not, and looks at every sample."""
    dataset = WindowDataset(
        Reader(stored.folder, stored.index),
        Hearing("waveform", window_samples=16 * FRAME),
        np.ones((len(stored.index), 2)),
        np.ones((len(stored.index), 2), dtype=bool),
        on_device=True,
    )
    batch = dataset[[Window(tuple(rows[i : i + 3]), 0, i) for i in range(0, len(rows), 3)]]
    bad = dict(batch.quarantined)
    flat, of_frame = batch.inputs.numpy().reshape(-1), batch.clip_of_frame.flatten().numpy()
    assert batch.rows.tolist() == rows
    heard: set[int] = set()
    for i, row in enumerate(rows):
        clip, samples = stored.index["id"][row].as_py(), stored.index["samples"][row].as_py()
        own = np.repeat(of_frame == i, FRAME)
        if row in bad:
            assert not own.any()
            assert clip in bad[row]
        else:
            heard.add(row)
            assert named(flat[own][:samples]) == {clip}
            np.testing.assert_array_equal(flat[own][:samples], spoken(clip, samples))
    assert batch.counts.tolist() == [row not in bad for row in rows]
    assert not flat[np.repeat(of_frame < 0, FRAME)].any(), "what is nobody's is silent"
    return heard, set(bad)


def test_no_damage_goes_unseen_and_no_clip_is_heard_as_another(stored: Stored, capsys: pytest.CaptureFixture) -> None:
    rng = random.Random(5)
    rows = list(range(len(stored.index)))
    assert trained_on(stored, rows) == (set(rows), set())
    shards = stored.index["shard"].to_pylist()
    missed: list[tuple[int, str]] = []
    lost: Counter[str] = Counter()
    seconds = 0.0
    began = time.perf_counter()
    for number, (kind, damage) in enumerate(damages(stored, MUTATIONS, rng)):
        for path, data in damage.items():
            path.write_bytes(data)
        started = time.process_time()
        found = verify(next(iter(damage)).parent)
        seconds += time.process_time() - started
        if not all(any(path.name in finding.path for finding in found) for path in damage):
            missed.append((number, kind))
        order = rng.sample(rows, len(rows))
        try:
            heard, bad = trained_on(stored, order)
        except ShardError:  # of a file without a byte, nothing can be said of one clip
            assert any(data == b"" for data in damage.values()), (number, kind)
            heard, bad = set(rows), set()
        assert heard | bad == set(rows), (number, kind)
        assert not heard & bad
        assert {shards[row] for row in bad} <= {path.name for path in damage}
        lost[kind] += bool(bad)
        for path in damage:
            path.write_bytes(stored.whole[path])
    whole = time.perf_counter() - began
    with capsys.disabled():
        print(
            f"\n{MUTATIONS} mutated shards: {MUTATIONS - len(missed)} found by verify in {seconds:.1f} s of one core "
            f"({1000 * seconds / MUTATIONS:.1f} ms each), {sum(lost.values())} with clips in quarantine, "
            f"0 clips lost or heard as another, {whole:.1f} s in all; {dict(lost)}"
        )
    assert missed == []
    assert seconds < SECONDS_EACH * MUTATIONS
    for kind in ("flip_audio", "swap_members", "overwrite_by_another", "replace_by_another_corpus"):
        assert lost[kind] == sum(KINDS[n % len(KINDS)].__name__ == kind for n in range(MUTATIONS)), kind
    assert all(verify(stored.folder / corpus) == [] for corpus in CORPORA)


def test_a_clip_in_the_place_of_another_with_a_forged_checksum_is_found(stored: Stored) -> None:
    """CRC-32 tells accidents; against those who mean it there is the SHA-256 of the shard, which `verify` holds to."""
    path = stored.tars[0]
    data = bytearray(stored.whole[path])
    members = stored.members(path)
    (i, size), (j, _) = next((a, b) for a in members for b in members if a != b and a[1] == b[1])
    data[i : i + size] = with_checksum(bytearray(data[j : j + size]), zlib.crc32(data[i : i + size]))
    path.write_bytes(data)
    try:
        assert next(finding.problem for finding in verify(path.parent)).startswith("is not the file that was written")
    finally:
        path.write_bytes(stored.whole[path])


def test_a_shard_that_cannot_be_opened_stops_training(stored: Stored) -> None:
    """Its clips are not damaged: where a disk or a server is away, they would vanish from a run one by one."""
    path = stored.tars[0]
    path.unlink()
    try:
        with pytest.raises(ShardError, match=path.name):
            trained_on(stored, list(range(len(stored.index))))
    finally:
        path.write_bytes(stored.whole[path])
