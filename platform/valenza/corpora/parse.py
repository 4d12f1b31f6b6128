"""Turns a corpus's folder into clips, by its manifest; opens no audio."""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from valenza.config import suggestion
from valenza.corpora.card import Card, Table
from valenza.corpora.clip import Clip
from valenza.corpora.join import Joined, join
from valenza.corpora.rows import Row
from valenza.corpora.rules import FIELDS, render
from valenza.corpora.tables import read_table
from valenza.errors import DataError

_WAVE = ("wav", "wave", "wavex", "w64", "rf64", "sph", "nist")
_PACKED = ("flac", "ogg", "oga", "opus", "mp3")
_RARE = ("aif", "aiff", "aifc", "au", "snd", "caf", "voc", "sf", "ircam", "paf", "svx", "avr")
AUDIO = frozenset((*_WAVE, *_PACKED, *_RARE))
"""Extensions that libsndfile reads."""

_FOREIGN = frozenset(
    ("m4a", "mp4", "m4v", "aac", "wma", "webm", "mkv", "mka", "mov", "avi", "amr", "3gp", "ac3", "ape", "wv")
)
_CONVERTED = ("wav", "flac", "WAV")
_GENDERS = {"f": "F", "female": "F", "m": "M", "male": "M", "o": "O", "other": "O"}
SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "devel", "development"), "validation"),
    **dict.fromkeys(("test", "test1", "test2", "test3", "tst", "eval", "evaluation"), "test"),
}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong with one file or with the manifest's account of it."""

    path: str
    """Under the corpus root; empty where the whole corpus is meant."""
    field: str
    """The manifest's key, or what was found in the audio."""
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.path, self.field, self.message)))


@dataclass(frozen=True)
class Parsed:
    """A corpus as its manifest reads it."""

    clips: list[Clip]
    """Sorted by source; a clip whose label is unknown is here too, since shards keep what annotators said."""
    problems: list[Problem]
    ignored: int
    """Audio files that the manifest's `ignore` or a table that `selects` leaves out."""
    not_audio: Mapping[str, int]
    """Other files under the globs, by extension."""


def clips(card: Card, root: Path) -> Parsed:
    """Read a corpus's clips from its file names and tables.

    Raises `DataError` where the root or a table cannot be read; whatever concerns single files is in `problems`.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; {card.id} belongs into <data root>/{card.id}")
    problems: list[Problem] = []
    not_audio: Counter[str] = Counter()
    files = sorted(_files(card, root, problems, not_audio), key=lambda item: item[0])
    ignored = {path for glob in card.ignore for path in root.glob(glob)}
    tables: list[tuple[Table, dict[str, list[Row]]]] = []
    for table in card.tables:
        rows, faulty = read_table(table, root)
        tables.append((table, rows))
        problems += [Problem(row.file, "tables", f"line {row.line}: {row.fault}") for row in faulty]
    regex = re.compile(card.pattern)
    prefixes: list[tuple[int, re.Pattern[str]]] = []
    found: list[Clip] = []
    passed_over = 0
    for source, path in files:
        if path in ignored:
            continue
        bare = unicodedata.normalize("NFC", str(PurePosixPath(source).with_suffix("")))
        match = regex.fullmatch(bare)
        if match is None:
            prefixes = prefixes or _prefixes(card.pattern)
            problems.append(Problem(source, "pattern", _unread(bare, card.pattern, prefixes)))
            continue
        values = {k: v or "" for k, v in match.groupdict().items()}
        values |= {"path": bare, "name": PurePosixPath(source).name, "stem": PurePosixPath(bare).name}
        before = len(found), len(problems)
        found += _clips(card, source, path, root, values, tables, problems)
        passed_over += before == (len(found), len(problems))
    unique = _unique(card.id, found)
    passed_over += sum(path in ignored for _, path in files)
    return Parsed(unique, sorted(set(problems)), passed_over, dict(not_audio))


def _files(card: Card, root: Path, problems: list[Problem], not_audio: Counter[str]) -> Iterator[tuple[str, Path]]:
    real = root.resolve()
    inside: dict[Path, bool] = {}
    globs = (card.audio,) if isinstance(card.audio, str) else card.audio
    for path in {path for glob in globs for path in root.glob(glob)}:
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or path.is_dir():
            continue
        source, extension = relative.as_posix(), path.suffix[1:].lower()
        if extension not in AUDIO:
            if extension in _FOREIGN and not any(path.with_suffix(f".{good}").is_file() for good in _CONVERTED):
                problems.append(
                    Problem(_printable(source), "audio", f"libsndfile does not read .{extension}; convert it")
                )
            not_audio[extension] += 1
            continue
        folder = path.parent
        if folder not in inside:
            inside[folder] = folder.resolve().is_relative_to(real)
        if not inside[folder] or (path.is_symlink() and not path.resolve().is_relative_to(real)):
            problems.append(Problem(_printable(source), "audio", "is a link out of the corpus root"))
        elif not path.is_file():
            problems.append(Problem(_printable(source), "audio", "is a link to nothing, or not a plain file"))
        elif _printable(source) != source:
            problems.append(Problem(_printable(source), "audio", "the name is not UTF-8; rename it"))
        else:
            yield source, path


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _clips(
    card: Card,
    source: str,
    path: Path,
    root: Path,
    values: Mapping[str, str],
    tables: list[tuple[Table, dict[str, list[Row]]]],
    problems: list[Problem],
) -> Iterator[Clip]:
    """Yield the file's clip, or one a row where a table cuts it."""
    said = {name: render(template, values) for name in FIELDS if (template := card.template(name)) is not None}
    faults: list[tuple[str, str]] = []
    for joined in join(said, values, tables, faults):
        clip = _clip(card, source, path, root, joined, faults)
        if clip is not None:
            yield clip
    problems += [Problem(source, field, message) for field, message in faults]


def _clip(
    card: Card, source: str, path: Path, root: Path, joined: Joined, faults: list[tuple[str, str]]
) -> Clip | None:
    said = joined.said
    speaker, label = said.get("speaker", ""), said.get("label") or None
    votes = {native: count for native, count in joined.votes.items() if count or card.ratings is not None}
    gender, split = said.get("gender", ""), said.get("split", "")
    whole = True
    if not speaker:
        faults.append(("speaker", "the name says none"))
        whole = False
    if label is None and not votes and card.labels:
        faults.append(("label", "neither the name nor a table gives one"))
        whole = False
    if label is not None and label not in card.labels:
        faults.append(("label", f"{label!r} is not in the manifest's `labels`{suggestion(label, card.labels)}"))
    known_gender = card.genders.get(gender) or _GENDERS.get(gender.lower())
    if gender and known_gender is None:
        faults.append(("gender", f"{gender!r} is not F, M or O; say what it means in `genders`"))
    if split and split.lower() not in SPLITS:
        faults.append(("split", f"{split!r} is not train, validation or test"))
    if not whole:
        return None
    return Clip(
        id="",
        corpus=card.id,
        audio=path,
        source=source,
        language=card.spoken(said.get("language", "")),
        speaker=speaker,
        recording=said.get("recording", ""),
        label=label,
        votes=votes or None,
        intensity=said.get("intensity") or None,
        gender=known_gender,
        text=said.get("text") or None,
        split=SPLITS.get(split.lower()) or _official(card, speaker),
        start=joined.start,
        end=joined.end,
        frames=_frames(root, said.get("frames", ""), faults),
    )


def _frames(root: Path, said: str, faults: list[tuple[str, str]]) -> Path | None:
    """Return the file of a clip's frame labels, which has to be there; its content is read with the audio."""
    if not said:
        return None
    for form in ("NFC", "NFD"):  # how disks write accents; `{path}` is in the first of the two
        path = root / unicodedata.normalize(form, said)
        if not path.resolve().is_relative_to(root.resolve()):
            faults.append(("frames", f"{said} lies outside the corpus root"))
            return None
        if path.is_file():
            return path
    faults.append(("frames", f"there is no file {said}"))
    return None


def _official(card: Card, speaker: str) -> str | None:
    if speaker in card.splits.validation:
        return "validation"
    if speaker in card.splits.test:
        return "test"
    return "train" if card.splits.validation or card.splits.test else None


def _unique(corpus: str, found: list[Clip]) -> list[Clip]:
    """Give every clip its id: the path with `_` for what an id cannot hold, and a hash where that is not enough."""
    plain = [_plain(corpus, clip) for clip in found]
    taken = Counter(plain)
    named: list[Clip] = []
    for clip, name in zip(found, plain, strict=True):
        if taken[name] > 1 or len(name) > 128:
            digest = hashlib.sha256(f"{clip.source}\n{clip.start}\n{clip.end}".encode()).hexdigest()[:10]
            name = f"{name[:117]}-{digest}"
        named.append(
            replace(clip, id=name, recording=clip.recording or (clip.source if clip.start is not None else name))
        )
    return named


def _plain(corpus: str, clip: Clip) -> str:
    part = "" if clip.start is None else f"_{round(clip.start * 1000):08d}"
    return f"{corpus}-{re.sub(r'[^A-Za-z0-9_-]', '_', str(PurePosixPath(clip.source).with_suffix('')))}{part}"


def _prefixes(pattern: str) -> list[tuple[int, re.Pattern[str]]]:
    """Return the beginnings of a pattern that are patterns themselves, longest first."""
    found: list[tuple[int, re.Pattern[str]]] = []
    for length in range(len(pattern), 0, -1):
        try:
            found.append((length, re.compile(pattern[:length])))
        except (re.error, OverflowError, RecursionError):
            continue
    return found


def _unread(bare: str, pattern: str, prefixes: list[tuple[int, re.Pattern[str]]]) -> str:
    """Say how far the pattern got, which is where the owner looks first."""
    for i, (length, regex) in enumerate(prefixes):
        match = regex.match(bare)
        if match is None or (length < len(pattern) and match.end() == 0):
            continue
        rest = bare[match.end() :]
        goes_on = f"the name goes on with {rest!r}" if rest else "the name ends there"
        if length == len(pattern):
            return f"the whole pattern fits {match[0]!r}, but {goes_on}"
        wanted = pattern[length : prefixes[i - 1][0] if i else None]
        return f"reads as far as {match[0]!r}, then the pattern wants {wanted!r} but {goes_on}"
    return f"{bare!r} does not begin as the pattern does"
