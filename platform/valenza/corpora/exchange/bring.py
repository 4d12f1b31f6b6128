"""Writes a foreign source as a corpus: its audio where it lies, one table beside it, and a manifest that joins them."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from valenza.config import suggestion
from valenza.corpora.exchange import arrow, audformat, audiofolder, emobox, nemo
from valenza.corpora.exchange.plan import Brought, Plan, bare
from valenza.corpora.exchange.said import FIELDS, Reading, Said
from valenza.corpora.rules import fault
from valenza.corpora.scaffold import slug
from valenza.errors import DataError, UsageError, WriteError

Format = Literal["nemo", "emobox", "audformat", "audiofolder", "datasets", "cameo"]
_EMBEDDED = ("datasets", "cameo")


@dataclass(frozen=True)
class Wanted:
    """How a source is to be read."""

    corpus: str | None = None
    """The corpus's id; the source's name where absent."""
    audio: Path | None = None
    """The folder under which all audio must lie, and where relative paths begin."""
    out: Path | None = None
    """The data root under which audio is written that a source holds itself."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What is read → the column that holds it; empty for what is passed over."""
    pattern: str | None = None
    """What audio paths say besides, such as `(?P<speaker>[0-9]+)_`, found anywhere in the path without extension."""
    fold: int | None = None
    """The EmoBox fold whose splits hold."""


def bring(source: Path, form: Format, manifests: Path, wanted: Wanted | None = None) -> list[Brought]:
    """Write the manifests and tables of a source; of CAMEO's rows one for each dataset.

    Audio stays where it is, unless the source's own rows hold it: then it is written under `wanted.out` once. Raises
    `DataError` that lists what is wrong by file, line and field, and `UsageError` for what is there already; in both
    cases nothing is written.
    """
    wanted = wanted or Wanted()
    _refuse(source, form, wanted)
    main = slug(wanted.corpus or source.absolute().stem).lower()[:41]
    with _staging(wanted.out, main) as staging:
        regex = re.compile(wanted.pattern) if wanted.pattern is not None else None
        reading = Reading(source, wanted.audio, wanted.columns, regex, staging)
        groups: dict[str, list[Said]] = {}
        for said in _read(reading, form, main, wanted):
            groups.setdefault(said.corpus or main, []).append(said)
        _whole(reading, groups)
        reading.finish()
        if not groups:
            raise DataError(f"{source}: holds no clips")
        plans = [Plan(reading, corpus, clips, manifests, wanted.out) for corpus, clips in groups.items()]
        for plan in plans:
            plan.refuse()
        try:
            return [plan.write() for plan in plans]
        except (OSError, WriteError):
            for plan in plans:
                plan.undo()
            raise


def _refuse(source: Path, form: Format, wanted: Wanted) -> None:
    if not source.exists():
        raise UsageError(f"{source}: there is no such file or folder")
    if wanted.out is not None and form not in _EMBEDDED:
        raise UsageError(f"{source}: its audio stays where it is; leave --out away")
    if wanted.corpus is not None and form == "cameo":
        raise UsageError("CAMEO's datasets name their corpora; leave --id away")
    if wanted.fold is not None and form != "emobox":
        raise UsageError("--fold is for EmoBox's folds only")
    for name in wanted.columns:
        if name not in FIELDS:
            raise UsageError(f"--column {name}=…: is none of {', '.join(FIELDS)}{suggestion(name, FIELDS)}")
    if wanted.pattern is not None and (wrong := fault(wanted.pattern)):
        raise UsageError(f"--pattern: not a regular expression: {wrong}")


def _read(reading: Reading, form: Format, main: str, wanted: Wanted) -> Iterator[Said]:
    if form == "nemo":
        return nemo.read(reading)
    if form == "emobox":
        return emobox.read(reading, wanted.fold)
    if form == "audformat":
        return audformat.read(reading)
    if form == "audiofolder":
        return audiofolder.read(reading)
    return arrow.read(reading, main, cameo=form == "cameo")


@contextmanager
def _staging(out: Path | None, main: str) -> Iterator[Path | None]:
    """Lend a hidden folder for audio that a source holds itself; what is left in it was not wanted."""
    if out is None:
        yield None
        return
    staging, new = out / f".{main}.importing", not out.exists()
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of an import that was killed
        staging.mkdir(parents=True)
    except OSError as error:
        raise WriteError(f"{staging}: cannot be written: {error.strerror or error}") from None
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if new and out.exists() and not any(out.iterdir()):
            out.rmdir()


def _whole(reading: Reading, groups: Mapping[str, Sequence[Said]]) -> None:
    """Hold the clips of a corpus against each other: what some say all must say, and no stretch may be there twice."""
    wanted = ["speaker", *(["language"] if not reading.about.languages else [])]
    for clips in groups.values():
        needed = [name for name in wanted if any(name in said.facts for said in clips)]
        seen: dict[tuple[str, float | None, float | None], str] = {}
        for said in clips:
            for name in needed:
                if name not in said.facts:
                    reading.blame(said.place, reading.columns.get(name, name), "is missing; other clips have one")
            if not said.votes and "label" not in said.facts:
                known = ", ".join(FIELDS["label"])
                reading.blame(said.place, "label", f"none of {known} is filled; --column label=NAME tells another")
            key = (bare(said.audio), said.start, said.end)
            if key in seen:
                reading.blame(said.place, "file", f"{said.audio.name} is there twice; first in {seen[key]}")
            seen.setdefault(key, said.place)
