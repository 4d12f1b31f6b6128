"""The clips of one corpus's shards as exports see them, and folders that are there whole or not at all."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from valenza.corpora.card import Card
from valenza.errors import UsageError
from valenza.shards.index import Description
from valenza.shards.read import Reader
from valenza.shards.record import put, sync, writing
from valenza.shards.stored import read_cards, read_corpus

_GENDERS = {"F": "female", "M": "male", "O": "other"}


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One row of an index, in the words that other projects use."""

    row: int
    name: str
    """The id without its corpus, which names the file."""
    label: str
    """The native label; that with most votes where annotators said only votes."""
    votes: Mapping[str, float]
    speaker: str
    gender: str | None
    """`female`, `male` or `other`."""
    language: str
    recording: str
    intensity: str | None
    text: str | None
    split: str | None
    seconds: float
    samples: int


@dataclass(frozen=True)
class StoredCorpus:
    """The shards of one corpus."""

    folder: Path
    card: Card
    description: Description
    clips: list[StoredClip]
    reader: Reader

    @cached_property
    def votes(self) -> list[str]:
        """The native labels that clips have votes for, sorted."""
        return sorted({native for clip in self.clips for native in clip.votes})

    @cached_property
    def languages(self) -> list[str]:
        """The languages of the clips, in the manifest's order."""
        spoken = {clip.language for clip in self.clips}
        return [*(tag for tag in self.card.languages if tag in spoken), *sorted(spoken - set(self.card.languages))]

    @cached_property
    def by_split(self) -> dict[str, list[StoredClip]]:
        """The clips of each split; those of none are under `clips`, which no project takes for training."""
        found: dict[str, list[StoredClip]] = {}
        for clip in self.clips:
            found.setdefault(clip.split or "clips", []).append(clip)
        return dict(sorted(found.items()))

    def save(self, clip: StoredClip, folder: Path) -> None:
        """Write a clip's FLAC file, byte for byte as it is stored; raises `ShardError` where it is damaged."""
        with writing(folder):
            (folder / f"{clip.name}.flac").write_bytes(self.reader.flac(clip.row))

    def facts(self, clip: StoredClip) -> dict[str, Any]:
        """Return what is said of a clip, absent where nothing is."""
        values = {"emotion": clip.label, "votes": dict(clip.votes), "speaker": clip.speaker, "gender": clip.gender,
                  "language": clip.language, "text": clip.text, "recording": clip.recording,
                  "intensity": clip.intensity, "split": clip.split}  # fmt: skip
        return {name: value for name, value in values.items() if value not in (None, {})}


def stored(shards: Path, corpus: str) -> StoredCorpus:
    """Read the shards of one corpus; raises `ShardError` where they are not whole."""
    folder = shards / corpus
    card = read_cards(shards, [corpus])[corpus]
    description, index = read_corpus(folder)
    clips = [_clip(corpus, number, row) for number, row in enumerate(index.to_pylist())]
    return StoredCorpus(folder, card, description, clips, Reader(shards, index))


def _clip(corpus: str, number: int, row: Mapping[str, Any]) -> StoredClip:
    votes = {native: count for native, count in sorted(row["votes"] or []) if count > 0}
    return StoredClip(
        row=number,
        name=row["id"].removeprefix(f"{corpus}-"),
        label=row["label"] or max(votes, key=lambda native: votes[native], default=""),
        votes=votes,
        speaker=row["speaker"],
        gender=_GENDERS.get(row["gender"]),
        language=row["language"],
        recording=row["recording"],
        intensity=row["intensity"],
        text=row["text"],
        split=row["split"],
        seconds=row["duration"],
        samples=row["samples"],
    )


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Lend a hidden folder that takes the name `out` once all is written; raises `UsageError` where something is."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists; delete it first, or export to another folder")
    staging = out.absolute().with_name(f".{out.absolute().name}.exporting")
    with writing(out):
        shutil.rmtree(staging, ignore_errors=True)  # of an export that was killed
        staging.mkdir(parents=True)
    try:
        yield staging
        with writing(out):
            if out.exists():
                out.rmdir()
            staging.rename(out)
            sync(out.absolute().parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def folder_in(parent: Path, *parts: str) -> Path:
    """Make a folder and return it; raises `WriteError`."""
    folder = parent.joinpath(*parts)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a text file; raises `WriteError`."""
    put(path, text.encode("utf-8"))


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the disk cannot; raises `WriteError`."""
    with writing(target):
        try:
            os.link(source, target)
        except OSError:  # another disk, or a file system without hard links
            shutil.copyfile(source, target)
