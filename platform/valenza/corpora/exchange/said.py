"""One clip as another project describes it, and the rules that all such descriptions are read by."""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valenza.corpora.exchange import languages
from valenza.corpora.parse import AUDIO, SPLITS
from valenza.corpora.rows import text
from valenza.corpora.scaffold import GENDER_CODES
from valenza.errors import DataError, UsageError, WriteError

FIELDS: Mapping[str, tuple[str, ...]] = {
    "label": ("emotion", "label", "emo", "major_emotion", "emotion_label", "category"),
    "votes": ("votes", "annotations"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "speaker_name", "actor", "client_id"),
    "gender": ("gender", "sex"),
    "language": ("language", "lang", "locale"),
    "text": ("text", "transcription", "transcript", "raw_text", "sentence"),
    "recording": ("recording", "recording_id"),
    "intensity": ("intensity", "strength"),
    "split": ("split", "subset", "partition"),
    "start": ("start", "start_time", "offset"),
    "end": ("end", "end_time"),
}
"""What is read → the columns that other projects keep it in; the first that a row has is taken."""

_MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Said:
    """What a foreign file says of one clip."""

    place: str
    """File and line, for messages."""
    audio: Path
    facts: Mapping[str, str] = field(default_factory=dict)
    """Column of a manifest's table (`label` … `split`) → text; what is not said is absent."""
    votes: Mapping[str, float] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None
    corpus: str | None = None
    """The corpus, where the source holds several."""
    licence: str = ""


@dataclass
class About:
    """What a source says of itself."""

    title: str = ""
    licence: str = ""
    homepage: str = ""
    citation: str = ""
    languages: Sequence[str] = ()
    words: dict[str, str] = field(default_factory=dict)
    """Native label → a word that may explain it."""
    notes: list[str] = field(default_factory=list)
    """What the user should know of how the source was read."""


class Reading:
    """One source while it is read: where its audio may lie, which column means what, and what is wrong with it."""

    def __init__(
        self,
        source: Path,
        audio: Path | None,
        columns: Mapping[str, str],
        pattern: re.Pattern[str] | None,
        staging: Path | None,
    ) -> None:
        self.source, self.columns, self.pattern, self.staging = source, columns, pattern, staging
        self.base = audio or (source if source.is_dir() else source.parent)
        self.chosen_base = audio is not None
        self.about = About()
        self.faults: list[str] = []
        self._taken: dict[str, Counter[str]] = {}

    def blame(self, place: str, name: str, message: str) -> None:
        """Note what is wrong with a field; `finish` tells it all at once."""
        self.faults.append(f"{place}: {name}: {message}")

    def finish(self) -> None:
        """Raise `DataError` with what was wrong, if anything was."""
        if self.faults:
            more = len(self.faults) - _MOST_TOLD
            rest = [f"and {more} more"] if more > 0 else []
            raise DataError("\n".join([*self.faults[:_MOST_TOLD], *rest, f"{self.source}: nothing was imported"]))

    def locate(self, place: str, name: str, written: Any, base: Path | None = None) -> Path | None:
        """Return the audio file that a path means; anything outside `--audio` is refused, however it is written.

        A manifest from elsewhere must not choose which of our files are read, so absolute paths, `..` and links
        are followed only as long as they stay inside the folder that the user named, or the source's own.
        """
        base = self.base if base is None or self.chosen_base else base
        if not isinstance(written, str) or not written.strip() or "\0" in written or not printable(written):
            self.blame(place, name, f"{written!r} is not a path")
            return None
        inside, allowed = (Path(os.path.normpath(path.absolute())) for path in (base / written, self.base))
        if not inside.is_relative_to(allowed) or not inside.resolve().is_relative_to(allowed.resolve()):
            self.blame(place, name, f"{written!r} lies outside {self.base}; --audio says where audio may lie")
            return None
        if inside.suffix[1:].lower() not in AUDIO:
            self.blame(place, name, f"{written!r} is not a file that libsndfile reads; convert it")
            return None
        if not inside.is_file():
            self.blame(place, name, f"there is no {written!r} under {base}; --audio names another folder")
            return None
        return inside

    def store(self, place: str, corpus: str, name: str, data: bytes, extension: str, *, unique: bool) -> Path | None:
        """Write audio that a source holds itself; a name that is there already gets a number, or is refused."""
        if self.staging is None:
            raise UsageError(f"{self.source}: holds its audio itself; --out says under which data root to write it")
        taken = self._taken.setdefault(corpus, Counter())
        taken[name.lower()] += 1
        number = taken[name.lower()]
        if number > 1 and unique:
            self.blame(place, "file_id", f"{name!r} is there twice")
            return None
        path = self.staging / corpus / f"{name if number == 1 else f'{name}.{number}'}.{extension}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from None
        return path

    def said(self, place: str, cells: Mapping[str, Any], audio: Path | None, **more: Any) -> Said | None:
        """Read a row's fields; nothing where any of them is wrong."""
        before = len(self.faults)
        cells = self._by_name(place, audio) | {k: v for k, v in cells.items() if text(v) != ""}
        facts = {
            n: value for n in FIELDS if n not in {"votes", "start", "end"} and (value := self._fact(place, n, cells))
        }
        votes = self._votes(place, cells)
        start, end = (self._seconds(place, n, cells) for n in ("start", "end"))
        if audio is None or len(self.faults) > before:
            return None
        return Said(place, audio, facts, votes, start, end, **more)

    def _by_name(self, place: str, audio: Path | None) -> dict[str, Any]:
        if self.pattern is None or audio is None:
            return {}
        base = self.base if self.staging is None else self.staging
        path = os.path.relpath(audio.with_suffix(""), base.absolute() if audio.is_absolute() else base)
        match = self.pattern.search(Path(path).as_posix())
        if match is None:
            self.blame(place, "file", f"{path!r} does not fit --pattern")
        return {name: value for name, value in match.groupdict().items() if value} if match else {}

    def cell(self, name: str, cells: Mapping[str, Any]) -> tuple[str, Any]:
        """Return the column that holds a field, and what is in it."""
        if name in self.columns:
            return self.columns[name], cells.get(self.columns[name])
        lower = {str(key).lower(): key for key in reversed(list(cells))}
        column = next((lower[alias] for alias in FIELDS[name] if alias in lower), FIELDS[name][0])
        return column, cells.get(column)

    def _fact(self, place: str, name: str, cells: Mapping[str, Any]) -> str:
        column, value = self.cell(name, cells)
        if isinstance(value, Mapping | list | tuple | bytes):
            self.blame(place, column, f"expected one {name}, not {type(value).__name__}")
            return ""
        said = text(value)
        if not printable(said):
            self.blame(place, column, "holds what is not Unicode text")
        if name == "gender":
            return GENDER_CODES.get(said.lower(), said) if said.lower() not in {"unknown", "n/a", "none"} else ""
        if name == "language" and said:
            tag = languages.code(said)
            if tag is None:
                self.blame(place, column, f"{said!r} is neither a BCP-47 code nor a language that is known by name")
            return tag or ""
        if name == "split" and said and said.lower() not in SPLITS:
            self.blame(place, column, f"{said!r} is not train, validation or test; `--column split=` passes it over")
        return SPLITS.get(said.lower(), "") if name == "split" else said

    def _votes(self, place: str, cells: Mapping[str, Any]) -> dict[str, float]:
        column, value = self.cell("votes", cells)
        if isinstance(value, str) and value.strip():
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
        if value is None or value == "":
            return {}
        votes: dict[str, float] = {}
        for native, count in value.items() if isinstance(value, Mapping) else [("", value)]:
            if count is None:
                continue
            if not isinstance(count, int | float) or not math.isfinite(count) or count < 0 or not str(native).strip():
                self.blame(place, column, 'expected label → number of annotators, as in {"happy": 3, "sad": 1}')
                return {}
            votes[str(native).strip()] = votes.get(str(native).strip(), 0.0) + count
        if not all(map(printable, votes)):
            self.blame(place, column, "holds what is not Unicode text")
        return {native: count for native, count in votes.items() if count > 0}

    def _seconds(self, place: str, name: str, cells: Mapping[str, Any]) -> float | None:
        column, value = self.cell(name, cells)
        if text(value) == "":
            return None
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            seconds = math.nan
        if not math.isfinite(seconds) or seconds < 0:
            self.blame(place, column, f"{value!r} is not a number of seconds")
            return None
        return seconds


def printable(said: str) -> bool:
    """Return whether a text can be written as UTF-8; JSON can hold halves of characters."""
    return not any("\ud800" <= c <= "\udfff" for c in said)


def split_in(name: str) -> str:
    """Return the split that a file or folder is named after, such as `emodb_train_fold_1`; empty for none."""
    found = {SPLITS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in SPLITS}
    return found.pop() if len(found) == 1 else ""
