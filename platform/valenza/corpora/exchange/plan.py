"""One imported corpus before it is written: where its table, its audio and its manifest go."""

import csv
import io
import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from valenza.corpora.exchange.draft import Outline, draft
from valenza.corpora.exchange.said import FIELDS, Reading, Said
from valenza.errors import UsageError
from valenza.files import write_whole

_COLUMNS = tuple(name for name in FIELDS if name != "votes")


@dataclass(frozen=True)
class Brought:
    """One corpus that was written."""

    corpus: str
    manifest: Path
    root: Path
    clips: int
    speakers: int
    unfilled: Sequence[str]
    """Native labels whose meaning the owner still has to say."""
    notes: Sequence[str]


class Plan:
    """One corpus before it is written: where everything goes."""

    def __init__(self, reading: Reading, corpus: str, clips: Sequence[Said], manifests: Path, out: Path | None) -> None:
        self.clips, self.staged = clips, reading.staging is not None
        common = Path(os.path.commonpath([said.audio.parent for said in clips]))
        self.folder = reading.staging / corpus if reading.staging is not None else common
        """Where audio and table lie while they are written."""
        self.root = out / corpus if out is not None else common
        self.manifest = manifests / f"{corpus}.yaml"
        self.votes = sorted({native for said in clips for native in said.votes})
        self.columns = [name for name in _COLUMNS if any(_cell(said, name) for said in clips)]
        spoken = Counter(said.facts["language"] for said in clips if "language" in said.facts)
        told = spoken.total() == len(clips)
        if len(spoken) == 1 and told:
            self.columns.remove("language")  # the manifest says it once
        tags = [tag for tag, _ in spoken.most_common()]
        self.outline = Outline(
            corpus=corpus,
            source=reading.source.absolute().name,
            about=reading.about,
            # the first is that of clips which say none
            languages=tags if told else [*reading.about.languages, *tags],
            licences=[said.licence for said in clips],
            files=[said.audio.relative_to(self.folder).as_posix() for said in clips],
            table=f"{corpus}.tsv",
            columns=self.columns,
            votes=self.votes,
            labels=_labels(clips, self.votes),
            speakers=len({said.facts["speaker"] for said in clips if "speaker" in said.facts}),
        )
        self._made: list[Path] = []

    def refuse(self) -> None:
        """Raise `UsageError` for what is there already."""
        for path in (self.manifest, self.root if self.staged else self.root / self.outline.table):
            if path.exists():
                raise UsageError(f"{path} exists; delete it first, or give another --id")

    def write(self) -> Brought:
        """Put the table beside the audio, the audio in its place, and the manifest last."""
        text, unfilled = draft(self.outline)
        write_whole(self._rows(), self.folder / self.outline.table)
        if self.staged:
            self.folder.rename(self.root)
        self._made.append(self.root if self.staged else self.root / self.outline.table)
        write_whole(text, self.manifest)
        self._made.append(self.manifest)
        of = self.outline
        return Brought(of.corpus, self.manifest, self.root, len(of.files), of.speakers, unfilled, of.about.notes)

    def undo(self) -> None:
        """Remove what was written, because the import as a whole failed."""
        for path in self._made:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _rows(self) -> str:
        out = io.StringIO()
        lines = csv.writer(out, delimiter="\t")
        lines.writerow(["file", *self.columns, *(f"votes {native}" for native in self.votes)])
        pairs = zip(self.outline.files, self.clips, strict=True)
        for file, said in sorted(pairs, key=lambda pair: (pair[0], pair[1].start or 0.0)):
            cells = [bare(Path(file)), *(_cell(said, name) for name in self.columns)]
            lines.writerow([*cells, *(repr(said.votes[n]) if n in said.votes else "" for n in self.votes)])
        return out.getvalue()


def _labels(clips: Sequence[Said], votes: Sequence[str]) -> dict[str, int]:
    """Count the clips of each native label, or of the label with most votes; a label with votes only has none."""
    counts = Counter(s.facts.get("label") or max(s.votes, key=lambda native: s.votes[native]) for s in clips)
    return {native: counts[native] for native in sorted({*counts, *votes})}


def _cell(said: Said, name: str) -> str:
    if name in {"start", "end"}:
        value = said.start if name == "start" else said.end
        return "" if value is None else repr(value)
    return said.facts.get(name, "")


def bare(path: Path) -> str:
    """Return a path as manifests join it: composed Unicode, without its extension."""
    return unicodedata.normalize("NFC", str(PurePosixPath(path.as_posix()).with_suffix("")))
