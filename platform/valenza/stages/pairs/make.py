"""A folder of pairs from trained networks and the shards of tracks."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa

from valenza.errors import DataError, UsageError
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.stages.pairs.candidates import SIMILAR, Caller, Draw, Found, Slides, Student, short_id
from valenza.stages.pairs.catch import Trial, catch_trials
from valenza.stages.pairs.choose import choose, offers, plain_pairs
from valenza.stages.pairs.folder import HEAD, Head, Pair, Study, Track, write_pairs
from valenza.stages.pairs.given import Given, read_given
from valenza.terminal import track as progress

TITLE = "Which face fits the voice?"


def make_pairs(
    out: Path,
    shards: Path,
    corpora: Many[str],
    *,
    slide: Slides,
    students: Many[Student] = (),
    files: Path | None = None,
    tracks: int | None = None,
    k: int = 5,
    per_track: int = 4,
    pairs: int | None = None,
    catch: float = 0.08,
    samples: int = 1,
    similar: float = SIMILAR,
    low: float = 0.25,
    high: float = 1.25,
    seed: int = 7,
    title: str = TITLE,
) -> Study:
    """Make candidates for the clips of these corpora, choose pairs of them, and write the folder.

    Each track has up to `k` drawn candidates: `samples` of them from students with a Dirichlet head where there are
    students, the rest from the slid network; the students' one-pass sequences and the sequences in `files` come on top.
    `tracks` takes so many clips, evenly from all speakers. `pairs` is how many plain pairs there are at most; catch
    trials come on top, such that they are the share `catch` of all. The same arguments and weights give the same bytes.
    Raises `UsageError` for settings that make nothing, and `DataError` where no two sequences of a track differ.
    """
    _refuse(out, students, k, samples, per_track, tracks, pairs)
    draw = Draw(low, high, similar)
    index = read_index(shards, corpora)
    reader, ids = Reader(shards, index), index["id"].to_pylist()
    given = {} if files is None else read_given(files, ids)
    caller = Caller(reader, ids, slide, students, given, draw, k, samples if students else 0, seed)
    rows = {track_of(index, reader, row): row for row in choose_tracks(index, tracks, seed)}
    found: dict[str, Found] = {}
    for track, row in progress(rows.items(), "candidates", len(rows)):
        found[track.id] = caller.candidates(row, track)
    offered = [offer for one in found.values() for offer in offers(one.track, one.candidates)]
    plain = plain_pairs(choose(offered, per_track, pairs), seed)
    if not plain:
        raise DataError(f"{', '.join(corpora)}: no track has two sequences that differ by {similar:g} or more")
    trials = catch_trials(plain, found, catch, seed)
    judged = {pair.track for pair in plain}
    kept = {name: one for name, one in found.items() if name in judged}
    settings = {"corpora": list(corpora), "seed": seed, "k": k, "samples": samples, "low": low, "high": high,
                "similar": similar, "per_track": per_track, "pairs": pairs, "catch": catch, "slide": slide.name,
                "students": [{"run": s.name, "checkpoint": s.checkpoint} for s in students]}  # fmt: skip
    return write_pairs(
        out,
        Head(title=title, seed=seed, made=settings | {"counts": counts(found, kept, plain, trials, given)}),
        _Audio(reader, {track.id: row for track, row in rows.items() if track.id in kept}),
        [one.track for one in kept.values()],
        [*(c for one in kept.values() for c in one.candidates), *(t.made for t in trials if t.made is not None)],
        [*plain, *(trial.pair for trial in trials)],
    )


def choose_tracks(index: pa.Table, tracks: int | None, seed: int) -> list[int]:
    """Return the rows of so many clips, in the index's order: one of each speaker by turns, drawn by hash."""
    if tracks is None or tracks >= index.num_rows:
        return list(range(index.num_rows))
    columns = (index[name].to_pylist() for name in ("corpus", "speaker", "id"))
    of_speaker: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for row, (corpus, speaker, clip) in enumerate(zip(*columns, strict=True)):
        of_speaker[corpus, speaker].append((short_id(f"{seed} track {clip}"), row))
    speakers = sorted(of_speaker, key=lambda speaker: short_id(f"{seed} speaker {speaker}"))
    turns = zip_longest(*(sorted(of_speaker[speaker]) for speaker in speakers))
    return sorted([drawn[1] for turn in turns for drawn in turn if drawn is not None][:tracks])


def track_of(index: pa.Table, reader: Reader, row: int) -> Track:
    """Return a clip as a track; ids of clips are unique over corpora, so those of tracks are."""
    clip, corpus, language, speaker = (
        str(index[name][row].as_py()) for name in ("id", "corpus", "language", "speaker")
    )
    name, seconds = f"t-{clip}", reader.samples(row) / SAMPLE_RATE
    return Track(
        id=name,
        audio=f"audio/{name}.flac",
        seconds=seconds,
        corpus=corpus,
        language=language,
        speaker=speaker,
        clip=clip,
    )


def counts(
    found: Mapping[str, Found], kept: Mapping[str, Found], plain: Many[Pair], trials: Many[Trial], given: Given
) -> dict[str, Any]:
    """Return how many of everything there are, and of what there is too little."""
    candidates = [candidate for one in kept.values() for candidate in one.candidates]
    used = {clip for one in found.values() if (clip := one.track.clip) in given}
    return {
        "tracks": len(kept),
        "tracks_without_a_pair": len(found) - len(kept),
        "tracks_that_fell_short": sum(one.short > 0 for one in found.values()),
        "candidates": dict(sorted(Counter(candidate.source["kind"] for candidate in candidates).items())),
        "left_out_as_similar": sum(one.similar for one in found.values()),
        "pairs": dict(Counter([pair.kind for pair in plain] + [trial.pair.kind for trial in trials])),
        "files_of_clips_not_taken": sum(len(each) for clip, each in given.items() if clip not in used),
    }


class _Audio(Mapping[str, bytes]):
    """The FLAC files of tracks, read when they are asked for."""

    def __init__(self, reader: Reader, rows: Mapping[str, int]) -> None:
        self.reader, self.rows = reader, rows

    def __getitem__(self, track: str) -> bytes:
        return self.reader.flac(self.rows[track])

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def _refuse(
    out: Path, students: Many[Student], k: int, samples: int, per_track: int, tracks: int | None, pairs: int | None
) -> None:
    if (out / HEAD).exists():
        raise UsageError(f"{out}: holds pairs already; give another folder, or delete it")
    for name, value in (("k", k), ("per_track", per_track), ("tracks", tracks), ("pairs", pairs)):
        if value is not None and value < 1:
            raise UsageError(f"{name} {value}: at least 1")
    if not 0 <= samples <= k:
        raise UsageError(f"samples {samples}: from 0 to k, which is {k}")
    if students and samples and not any(student.dirichlet for student in students):
        named = ", ".join(f"{student.name} ({student.checkpoint})" for student in students)
        raise UsageError(f"{named}: mixtures are drawn from a Dirichlet head, and none has one; ask for 0 samples")
    twice = Counter((student.name, student.checkpoint) for student in students)
    for (name, checkpoint), times in twice.items():
        if times > 1:
            raise UsageError(f"student {name} is given {times} times at {checkpoint}")
