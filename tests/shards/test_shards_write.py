"""The same bytes however a build went, and an earlier build that no failure touches."""

import hashlib
import io
import json
import multiprocessing
import os
import resource
import signal
import struct
import subprocess
import sys
import tarfile
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from valenza.errors import DataError, UsageError, WriteError
from valenza.shards import audio, pool, tar
from valenza.shards.pool import encode, encode_all
from valenza.shards.read import Reader
from valenza.shards.stored import read_cards, read_index
from valenza.shards.verify import verify
from valenza.shards.write import build

SEVERAL = 60_000
"""Bytes a shard that deal the small corpus to several."""


def sums(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


def test_any_number_of_processes_and_any_order_of_clips_give_the_same_bytes(card, manifest, clips, tmp_path):
    one = build(card, manifest, clips, tmp_path / "one", 1, shard_bytes=SEVERAL)
    two = build(card, manifest, clips[::-1], tmp_path / "two", 2, shard_bytes=SEVERAL)
    assert sums(one.folder) == sums(two.folder)
    assert len(one.description.shards) > 1
    assert [p.name for p in tmp_path.joinpath("one").iterdir()] == ["toy"]
    assert verify(two.folder) == []


def test_the_stored_audio_is_the_mean_of_the_channels_at_16_khz(card, manifest, clips, tmp_path):
    build(card, manifest, clips, tmp_path / "shards")
    index = read_index(tmp_path / "shards", ["toy"])
    reader = Reader(tmp_path / "shards", index)
    stored = {index["id"][i].as_py(): reader.audio(i) for i in range(len(reader))}
    assert len(stored) == len(clips)
    for clip in clips:
        sound, rate = soundfile.read(clip.audio, dtype="float64", always_2d=True)
        wanted = soxr.resample(sound.mean(axis=1), rate, 16000, quality="VHQ")
        assert abs(len(wanted) - len(stored[clip.id])) <= 1
        n = min(len(wanted), len(stored[clip.id]))
        assert np.abs(stored[clip.id][:n] / 32768 - wanted[:n]).max() < 2e-3
    exact, _ = soundfile.read(clips[0].audio, dtype="int16")
    np.testing.assert_array_equal(stored[clips[0].id], exact)


def test_what_annotators_said_is_in_the_index_and_in_the_tar(card, manifest, clips, tmp_path):
    report = build(card, manifest, clips, tmp_path / "shards")
    rows = {r["id"]: r for r in read_index(tmp_path / "shards", ["toy"]).to_pylist()}
    with tarfile.open(report.folder / "toy-000000.tar") as file:
        members = {m.name: m for m in file.getmembers()}
        assert all(m.isreg() and (m.mtime, m.uid, m.gid, m.mode) == (0, 0, 0, 0o644) for m in members.values())
        for clip in clips:
            said = json.load(file.extractfile(f"{clip.id}.json"))
            row = rows[clip.id]
            assert row["offset"] == members[f"{clip.id}.flac"].offset_data
            for name in ("language", "speaker", "recording", "label", "intensity", "gender", "text", "split", "source"):
                assert said[name] == row[name] == getattr(clip, name)
            assert said["votes"] == clip.votes == (dict(row["votes"]) if row["votes"] is not None else None)


def test_clips_of_over_30_s_are_stored_in_equal_parts(card, manifest, make, tmp_path):
    clips = [*make(3), *[replace(c, id="long") for c in make(1, seconds=75.0, votes={"a": 1.0}, split="train")]]
    report = build(card, manifest, clips[1:], tmp_path / "shards")
    assert [(c.id, c.parts) for c in report.description.cut] == [("long", 3)]
    rows = {r["id"]: r for r in read_index(tmp_path / "shards", ["toy"]).to_pylist()}
    parts = [rows[f"long-{i}of3"] for i in (1, 2, 3)]
    assert sum(p["samples"] for p in parts) == 75 * 16000
    assert {p["samples"] for p in parts} == {25 * 16000}
    assert {(p["label"], p["recording"], p["split"], p["speaker"]) for p in parts} == {("a", "take0", "train", "s0")}
    assert [v["start"] for v in members(report.folder, [f"long-{i}of3.json" for i in (1, 2, 3)])] == [0.0, 25.0, 50.0]
    assert verify(report.folder) == []


def members(folder: Path, names: list[str]) -> list[dict[str, object]]:
    with tarfile.open(folder / "toy-000000.tar") as file:
        return [json.load(file.extractfile(name)) for name in names]


def test_start_and_end_cut_a_stretch_out_of_a_recording(card, manifest, make, tmp_path):
    clip = replace(make(1, seconds=10.0)[0], start=2.5, end=4.0)
    build(card, manifest, [clip], tmp_path / "shards")
    whole, _ = soundfile.read(clip.audio, dtype="int16")
    stored = Reader(tmp_path / "shards", read_index(tmp_path / "shards", ["toy"])).audio(0)
    np.testing.assert_array_equal(stored, whole[40000:64000])


def test_nothing_is_done_twice_and_a_label_map_touches_no_tar(card, manifest, clips, tmp_path):
    first = build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL)
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in first.folder.glob("*.tar")}
    again = build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL)
    assert (again.built, again.kept) == (0, len(before))
    manifest.write_text(manifest.read_text().replace("h: happiness", "h: surprise"))
    build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL)
    assert read_cards(tmp_path / "shards", ["toy"])["toy"].labels["h"] == "surprise"
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in first.folder.glob("*.tar")} == before
    assert verify(first.folder) == []


def test_a_changed_clip_costs_one_shard_and_a_deleted_shard_comes_back(card, manifest, clips, tmp_path):
    first = build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL)
    wanted = sums(first.folder)
    changed = [replace(clips[0], label="h"), *clips[1:]]
    report = build(card, manifest, changed, tmp_path / "shards", shard_bytes=SEVERAL)
    assert report.built == 1
    assert report.kept == len(first.description.shards) - 1
    assert verify(first.folder) == []
    assert build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL).built == 1
    assert sums(first.folder) == wanted
    (first.folder / "toy-000001.tar").unlink()
    assert build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL).built == 1
    assert sums(first.folder) == wanted


def test_every_bad_file_is_listed_or_left_out(card, manifest, clips, tmp_path, capfd):
    soundfile.write(clips[1].audio, np.zeros((0, 1), np.float32), 16000)
    clips[2].audio.write_bytes(b"fLaC" + bytes(50))
    soundfile.write(clips[3].audio, np.full(800, np.nan, np.float32), 16000, format="WAV", subtype="FLOAT")
    clips[4].audio.unlink()
    soundfile.write(clips[5].audio, np.full(800, 9000.0, np.float32), 16000, format="WAV", subtype="FLOAT")
    (tmp_path / "raw" / "x.mp3").write_bytes(b"\xff\xfb\x90\x00" + bytes(range(256)) * 20)
    late = replace(clips[6], end=99.0)
    mp3 = replace(clips[7], audio=tmp_path / "raw" / "x.mp3", source="x.mp3")
    pipe = tmp_path / "raw" / "pipe.wav"
    os.mkfifo(pipe)
    clips = [*clips[:6], late, mp3, replace(clips[8], audio=pipe, source="pipe.wav"), *clips[9:]]
    capfd.readouterr()
    with pytest.raises(DataError) as error:
        build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL)
    lines = str(error.value).splitlines()
    bad = sorted(c.source for c in clips[1:9])
    assert [line.split(": ")[0] for line in lines[:-1]] == bad
    assert lines[-1] == "toy: 8 of 18 clips cannot be stored"
    noise = capfd.readouterr().err.splitlines()
    assert all("storing clips" in line for line in noise)
    assert not (tmp_path / "shards" / "toy").exists()
    report = build(card, manifest, clips, tmp_path / "shards", 2, shard_bytes=SEVERAL, skip_bad=True)
    assert [b.source for b in report.description.left_out] == bad
    assert report.description.clips == 10
    assert verify(report.folder) == []
    with pytest.raises(DataError):
        build(card, manifest, clips, tmp_path / "shards", shard_bytes=SEVERAL)
    assert read_index(tmp_path / "shards", ["toy"]).num_rows == 10


def test_clips_that_cannot_be_named_are_refused_together(card, manifest, clips, tmp_path):
    odd = [replace(clips[0], id="a.b"), replace(clips[1], id="x" * 129), clips[2], clips[2]]
    odd += [
        replace(clips[3], corpus="o"),
        replace(clips[4], votes={"a": float("nan")}),
        replace(clips[5], text="\udcff"),
    ]
    with pytest.raises(DataError) as error:
        build(card, manifest, odd, tmp_path / "shards")
    assert len(str(error.value).splitlines()) == 6
    with pytest.raises(DataError, match="no clips"):
        build(card, manifest, [], tmp_path / "shards")


def test_an_id_of_128_characters_is_stored_with_a_pax_record(card, manifest, clips, tmp_path):
    long = [replace(c, id=f"{i:x}".rjust(128, "Z")) for i, c in enumerate(clips)]
    report = build(card, manifest, long, tmp_path / "shards")
    with tarfile.open(report.folder / "toy-000000.tar") as file:
        assert sorted(file.getnames()) == sorted(f"{c.id}.{e}" for c in long for e in ("flac", "json"))
        flac = file.extractfile(f"{long[0].id}.flac").read()
    assert soundfile.info(io.BytesIO(flac)).samplerate == 16000
    assert verify(report.folder) == []


@pytest.mark.parametrize("name", ["a.flac", "b" * 95 + ".flac", "c" * 96 + ".flac", "d" * 128 + ".json"])
@pytest.mark.parametrize("size", [0, 1, 512, 123456])
def test_headers_are_what_the_standard_library_reads(name, size):
    head = tar.header(name, size)
    data = io.BytesIO(head + bytes(size) + bytes(tar.padding(size)) + tar.END)
    with tarfile.open(fileobj=data, mode="r:") as file:
        (member,) = file.getmembers()
    assert (member.name, member.size, member.offset_data) == (name, size, len(head))
    assert len(head) == tar.header_length(name)
    assert tar.stated_size(head) == size


@pytest.mark.parametrize("samples", [1, 2, 15, 16, 17, 4095, 4097])
def test_flac_keeps_every_sample(samples):
    sound = np.random.default_rng(samples).integers(-32768, 32768, samples).astype(np.int16)
    np.testing.assert_array_equal(audio.decode(audio.encode(sound), samples), sound)


def test_overshoot_is_clipped_to_full_scale(make):
    clip = make(1)[0]
    square = np.sign(np.sin(np.arange(44100) / 20)).astype(np.float32)
    soundfile.write(clip.audio, square, 44100, subtype="FLOAT")
    stored = audio.load(clip)
    assert stored.max() == 32767
    assert stored.min() == -32768
    assert np.sign(stored[100:15900:7]).tolist() == pytest.approx(np.sign(stored[100:15900:7].astype(float)).tolist())


def test_other_files_are_never_swept_away(card, manifest, clips, tmp_path):
    mine = tmp_path / "shards" / "toy"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        build(card, manifest, clips, tmp_path / "shards")
    assert (mine / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("out", ["pipe:cat x", "s3://bucket/x", "https://a/b", "file:///tmp/x", "hf:x"])
def test_only_local_folders_are_written(card, manifest, clips, tmp_path, out):
    with pytest.raises(UsageError, match="not a local folder"):
        build(card, manifest, clips, Path(out))


def test_a_folder_that_cannot_be_made_is_named(card, manifest, clips, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written"):
        build(card, manifest, clips, tmp_path / "file" / "shards")


PROGRAM = """
import pickle, resource, sys
from pathlib import Path
from valenza.corpora.card import read_card
from valenza.errors import ValenzaError
from valenza.shards.write import build
if __name__ == "__main__":
    manifest, clips, out = map(Path, sys.argv[1:4])
    jobs, size, limit = map(int, sys.argv[4:])
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        build(read_card(manifest), manifest, pickle.loads(clips.read_bytes()), out, jobs, shard_bytes=size)
    except ValenzaError as error:
        print(error, file=sys.stderr)
        sys.exit(error.code)
"""


def program(folder: Path, manifest: Path, clips: list, out: Path, jobs: int, limit: int = 0) -> list[str]:
    import pickle

    (folder / "build.py").write_text(PROGRAM)
    (folder / "clips.pickle").write_bytes(pickle.dumps(clips))
    return [
        sys.executable,
        *map(str, (folder / "build.py", manifest, folder / "clips.pickle", out, jobs, SEVERAL, limit)),
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_build_resumes_and_ends_with_the_same_bytes(card, manifest, make, tmp_path, jobs):
    clips = make(60)
    wanted = sums(build(card, manifest, clips, tmp_path / "whole", shard_bytes=SEVERAL).folder)
    out, staging = tmp_path / "shards", tmp_path / "shards" / ".toy.building"
    with subprocess.Popen(program(tmp_path, manifest, clips, out, jobs), start_new_session=True) as process:
        while process.poll() is None and len(list(staging.glob("*.tar"))) < 2:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the build was too quick to be killed"
    assert not (out / "toy").exists()
    report = build(card, manifest, clips, out, shard_bytes=SEVERAL)
    assert report.kept >= 1
    assert sums(report.folder) == wanted
    assert [p.name for p in out.iterdir()] == ["toy"]


def test_a_full_disk_leaves_the_earlier_build_usable(card, manifest, clips, tmp_path):
    out = tmp_path / "shards"
    first = build(card, manifest, clips, out, shard_bytes=SEVERAL)
    wanted = sums(first.folder)
    changed = [replace(c, speaker="other") for c in clips]
    smallest = min(s.bytes for s in first.description.shards)
    ended = subprocess.run(program(tmp_path, manifest, changed, out, 2, smallest // 2), capture_output=True, text=True)
    assert ended.returncode == 73, ended.stderr
    assert "cannot be written: File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert sums(first.folder) == wanted
    assert verify(first.folder) == []
    assert [p.name for p in out.iterdir()] == ["toy"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_decoder_that_dies_costs_nothing_but_its_own_clip(clips):
    wanted = encode(clips)
    outcomes = encode_all(clips, 2)
    got = [next(outcomes)]
    for child in multiprocessing.active_children():
        child.kill()
    assert [*got, *outcomes] == wanted
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_in_the_middle_of_an_answer_is_not_waited_for():
    running = pool._start(1)
    future = running.submit(time.sleep, 60)
    (process,) = running._processes.values()
    os.write(running._result_queue._writer.fileno(), struct.pack("!i", 256))  # so many bytes are said to follow
    process.kill()
    with pytest.raises(BrokenProcessPool):
        pool._result(running, future)
    pool._stop(running)
    assert multiprocessing.active_children() == []


def test_two_builds_of_one_corpus_at_a_time_are_refused(card, manifest, clips, tmp_path):
    import fcntl

    staging = tmp_path / "shards" / ".toy.building"
    staging.mkdir(parents=True)
    lock = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process"):
            build(card, manifest, clips, tmp_path / "shards")
    finally:
        os.close(lock)
