"""Holds a corpus against its manifest: what is there, and what is wrong with which file."""

import math
import multiprocessing
import os
import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from valenza.corpora.card import Card, Figures, weights
from valenza.corpora.clip import Clip
from valenza.corpora.frames import SAMPLE_RATE, FrameLabelsError, frame_count, read_frames
from valenza.corpora.listen import Heard, Job, listen_all, prepare
from valenza.corpora.parse import AUDIO, Parsed, Problem, clips
from valenza.corpora.report import LabelCount, Report
from valenza.terminal import count, track

_FILES_PER_TASK = 24


def check(card: Card, root: Path, jobs: int | None = None) -> Report:
    """Parse the corpus, decode every clip in `jobs` processes, and compare with the manifest.

    Raises `DataError` where the root or a table cannot be read; everything else is in the report.
    """
    parsed = clips(card, root)
    errors, notes = list(parsed.problems), [*_notes(card, parsed), *_missing_tables(card, root)]
    heard = listen_to(parsed.clips, jobs, card.id)
    for clip, what in zip(parsed.clips, heard, strict=True):
        errors += [Problem(clip.source, "audio", fault) for fault in what.faults]
        notes += [Problem(clip.source, "audio", remark) for remark in what.remarks]
    errors += _frame_labels(parsed.clips, heard)
    _duplicates(parsed.clips, heard, errors, notes)
    errors += _split_speakers(parsed.clips)
    if not parsed.clips and not parsed.problems:
        errors.append(Problem("", "audio", _nothing(card, root)))
    speakers = len({clip.speaker for clip in parsed.clips})
    hours = sum(what.duration for what in heard) / 3600
    release, mismatches = _release(
        card, Figures.model_construct(clips=len(parsed.clips), speakers=speakers, hours=hours)
    )
    errors += mismatches
    durations = [what.duration for what in heard if what.duration > 0] or [0.0]
    return Report(
        corpus=card.id,
        root=str(root),
        clips=len(parsed.clips),
        speakers=speakers,
        recordings=len({clip.recording for clip in parsed.clips}),
        hours=hours,
        durations=(min(durations), statistics.median(durations), max(durations)),
        languages=_counted(clip.language for clip in parsed.clips),
        genders=_counted(clip.gender or "unknown" for clip in parsed.clips),
        splits=_counted(clip.split for clip in parsed.clips if clip.split),
        rates=_counted(what.rate for what in heard if what.rate),
        channels=_counted(what.channels for what in heard if what.channels),
        containers=_counted(what.container for what in heard if what.container),
        labels=_labels(card, parsed.clips, heard),
        ignored=parsed.ignored,
        not_audio=parsed.not_audio,
        release=release,
        errors=sorted(set(errors)),
        notes=sorted(set(notes)),
    )


def listen_to(found: Sequence[Clip], jobs: int | None, label: str) -> list[Heard]:
    """Decode every clip in worker processes; a file on which a decoder crashes or hangs is named, not fatal."""
    tasks = [
        range(start, min(start + _FILES_PER_TASK, len(found))) for start in range(0, len(found), _FILES_PER_TASK)
    ]  # fmt: skip
    work = [Job(clip.audio, clip.start, clip.end) for clip in found]
    heard: dict[int, Heard] = {}
    lost: list[range] = []
    for rows, answer in track(_decoded(work, tasks, jobs), f"{label}: listening", len(tasks)):
        if answer is None:
            lost.append(rows)
        else:
            heard.update(zip(rows, answer, strict=True))
    for rows in lost:
        heard.update(zip(rows, _isolated(work, rows), strict=True))
    return [heard[row] for row in range(len(found))]


def _isolated(work: Sequence[Job], rows: range) -> list[Heard]:
    """Decode a task whose process died: again by itself, then each of its files, until the guilty one is alone."""
    answer = next(iter(_decoded(work, [rows], 1)))[1]
    if answer is not None:
        return answer
    if len(rows) == 1:
        return [Heard(faults=("the decoder crashed or hung on it",))]
    return [heard for row in rows for heard in _isolated(work, range(row, row + 1))]


def _decoded(
    work: Sequence[Job], tasks: Sequence[range], jobs: int | None
) -> Iterator[tuple[range, list[Heard] | None]]:
    """Yield tasks with their answers, or with None for those in flight when a worker died."""
    workers = max(1, min(jobs or os.cpu_count() or 1, len(tasks) or 1, 61))
    queue = deque(tasks)
    while queue:
        # spawned, not forked: a fork of a process with threads may hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=prepare) as pool:
            waiting: dict[Future[list[Heard]], range] = {}
            broken = False
            while (queue or waiting) and not broken:
                try:
                    while queue and len(waiting) < 2 * workers:
                        waiting[pool.submit(listen_all, [work[row] for row in queue[0]])] = queue[0]
                        queue.popleft()
                except BrokenProcessPool:
                    broken = True
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    rows = waiting.pop(future)
                    broken |= isinstance(future.exception(), BrokenProcessPool)
                    yield rows, None if isinstance(future.exception(), BrokenProcessPool) else future.result()
            for rows in waiting.values():
                yield rows, None


def _notes(card: Card, parsed: Parsed) -> Iterator[Problem]:
    met = {clip.label for clip in parsed.clips} | {native for clip in parsed.clips for native in clip.votes or {}}
    speakers = {clip.speaker for clip in parsed.clips}
    if parsed.clips and (unused := [native for native in card.labels if native not in met]):
        *others, last = unused
        named = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        yield Problem("", "labels", f"{named} in the manifest, but no clip carries {'them' if others else 'it'}")
    for name, listed in (("validation", card.splits.validation), ("test", card.splits.test)):
        yield from (
            Problem("", "splits", f"{name} names speaker {s}, who has no clips") for s in listed if s not in speakers
        )
    if card.intensities:
        strange = {clip.intensity for clip in parsed.clips if clip.intensity} - card.intensities.keys()
        yield from (
            Problem("", "intensities", f"{i!r} is not listed, so it counts as full intensity") for i in sorted(strange)
        )


def _missing_tables(card: Card, root: Path) -> Iterator[Problem]:
    for table in card.tables:
        if table.optional and not (root / table.path).is_file() and not any(root.glob(table.path)):
            yield Problem(table.path, "tables", "is not there; the manifest can do without it")


def _frame_labels(found: Sequence[Clip], heard: Sequence[Heard]) -> Iterator[Problem]:
    """Hold each clip's frame labels against its audio; resampling may round its length to either side."""
    for clip, what in zip(found, heard, strict=True):
        if clip.frames is None or what.faults:
            continue
        samples = what.duration * SAMPLE_RATE
        counts = {frame_count(math.floor(samples + 1e-6)), frame_count(math.ceil(samples - 1e-6))}
        try:
            read_frames(clip.frames, counts)
        except FrameLabelsError as error:
            yield Problem(clip.source, "frames", f"{clip.frames.name} {error}")


def _duplicates(found: Sequence[Clip], heard: Sequence[Heard], errors: list[Problem], notes: list[Problem]) -> None:
    """Report equal audio: an error where the copies contradict each other, a note where they only count twice."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip, what in zip(found, heard, strict=True):
        if what.digest and what.peak > 0:
            groups[what.digest].append(clip)
    for group in groups.values():
        first, *others = group
        for other in others:
            unlike = [
                n
                for n, a, b in (("label", first.label, other.label), ("speaker", first.speaker, other.speaker))
                if a != b
            ]
            text = f"the same audio as {first.source}"
            if unlike:
                errors.append(Problem(other.source, "duplicate", f"{text}, under another {' and '.join(unlike)}"))
            else:
                notes.append(Problem(other.source, "duplicate", text))


def _split_speakers(found: Sequence[Clip]) -> Iterator[Problem]:
    for what in ("speaker", "recording"):
        splits: dict[str, dict[str, str]] = defaultdict(dict)
        for clip in found:
            if clip.split:
                splits[clip.speaker if what == "speaker" else clip.recording].setdefault(clip.split, clip.source)
        for name, places in splits.items():
            if len(places) > 1:
                named = ", ".join(f"{split} ({source})" for split, source in sorted(places.items()))
                yield Problem("", "split", f"{what} {name} is in {len(places)} splits: {named}; scores would flatter")


def _release(card: Card, found: Figures) -> tuple[str | None, list[Problem]]:
    """Return the name of the expected figures that fit, or how the nearest ones differ."""
    own = Figures.model_construct(clips=card.expect.clips, speakers=card.expect.speakers, hours=card.expect.hours)
    stated = {"published": own} if any(v is not None for v in (own.clips, own.speakers, own.hours)) else {}
    releases = {**stated, **card.expect.releases}
    differences = {name: _differences(figures, found) for name, figures in releases.items()}
    for name, texts in differences.items():
        if not texts:
            return name, []
    # of a corpus that is not there at all, more need not be told
    if not releases or not found.clips:
        return None, []
    there = found.clips
    nearest = min(releases, key=lambda name: abs((releases[name].clips or there) - there))
    which = f" in the release {nearest}, the nearest of {', '.join(releases)}" if len(releases) > 1 else ""
    return None, [Problem("", "expect", text + which) for text in differences[nearest]]


def _differences(expected: Figures, found: Figures) -> list[str]:
    texts: list[str] = []
    for name, wanted, there in (
        ("clips", expected.clips, found.clips),
        ("speakers", expected.speakers, found.speakers),
    ):
        if wanted is not None and wanted != there:
            texts.append(f"{count(there or 0, name[:-1])} found, {wanted:,} expected")
    if expected.hours is not None and found.hours is not None and abs(found.hours / expected.hours - 1) > 0.05:
        texts.append(f"{found.hours:.3g} hours found, {expected.hours:g} expected (within 5 %)")
    return texts


def _nothing(card: Card, root: Path) -> str:
    globs = [card.audio] if isinstance(card.audio, str) else card.audio
    there = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix[1:].lower() in AUDIO)
    hint = "it holds no audio at all"
    if there:
        lie = "lies elsewhere under it:" if len(there) == 1 else "lie elsewhere under it, such as"
        hint = f"{count(len(there), 'audio file')} {lie} {there[0]}"
    return f"no audio matches {' or '.join(globs)} under {root}; {hint}"


def _labels(card: Card, found: Sequence[Clip], heard: Sequence[Heard]) -> list[LabelCount]:
    rows: dict[str, list[tuple[str, float]]] = {native: [] for native in card.labels}
    for clip, what in zip(found, heard, strict=True):
        if (native := clip.loudest) is not None:
            rows.setdefault(native, []).append((clip.speaker, what.duration))
    return [
        LabelCount(
            native,
            {str(target): weight for target, weight in weights(card.labels.get(native)).items()},
            len(spoken),
            len({speaker for speaker, _ in spoken}),
            sum(duration for _, duration in spoken) / 3600,
            native in card.labels,
        )
        for native, spoken in rows.items()
    ]


def _counted(values: Iterable[object]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}
