"""Writes the first manifest of a folder that nobody has described yet."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import soundfile

from valenza.corpora.guess import Guess, Role, guess
from valenza.corpora.parse import AUDIO
from valenza.corpora.tokens import Names, Token, tokenise
from valenza.corpora.words import meanings
from valenza.errors import DataError
from valenza.labels.taxonomy import EMOTIONS
from valenza.terminal import track

_TABLES = {".csv", ".tsv", ".jsonl", ".parquet"}
GENDER_CODES = {
    "f": "F",
    "m": "M",
    "w": "F",
    "female": "F",
    "male": "M",
    "woman": "F",
    "man": "M",
    "women": "F",
    "men": "M",
}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNPRINTED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
UNFILLED = "fill_in"
"""Stands where the owner has to say what a label means; every command refuses it."""
_HINT = (
    "# What each label means: " + " | ".join(EMOTIONS),
    "# or another word of valenza/labels/words.csv, such as excitement or boredom,",
    "# or several with weights that sum to 1 or less, as in {neutral: 0.9, happiness: 0.1},",
    "# or null to leave its clips out.",
)


def scaffold(root: Path, id: str) -> str:  # noqa: A002
    """Return a manifest of the folder as YAML: what could be found out is filled in, labels wait for their owner.

    Labels whose word is known are proposed; the others are `fill_in`, which every command refuses, line by line.
    Raises `DataError` where the folder holds no audio that libsndfile reads.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder")
    files = _audio(root)
    if not files:
        raise DataError(f"{root}: holds no audio that libsndfile reads ({', '.join(sorted(AUDIO))})")
    names = tokenise([_bare(file) for file in files])
    best = guess(names.tokens)
    reading = _Reading(names, best, files)
    read = reading.files
    depth = read[0].count("/")
    name = slug(id)
    folder = root.resolve().name
    lines = [
        f"# First manifest of {folder}, written by `valenza corpus new`. The parts of the names were guessed from",
        "# their values: look them over, fill in the labels, then run `valenza corpus check`.",
        *(
            [f"# The audio is looked for in <data root>/{name}, unless --root says otherwise."]
            if name != root.name
            else []
        ),
        f"id: {name}",
        f"title: {scalar(folder)}",
        "languages: [und]                # BCP-47, such as en, de or zh; und is undetermined",
        "licence: unknown",
        'homepage: ""',
        'citation: ""',
        f"audio: {quoted(_glob(read, depth))}",
        *_described(reading, len(files)),
        *_labels(reading, root),
        *_expected(reading, root),
    ]
    return "\n".join(lines) + "\n"


def identifier(folder: Path) -> str:
    """Return the id that a folder's name suggests."""
    return slug(folder.resolve().name)


def slug(name: str) -> str:
    """Return the nearest id that a manifest may have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:64] or "corpus"


def _audio(root: Path) -> list[str]:
    found: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.suffix[1:].lower() in AUDIO and path.is_file() and not any(p.startswith(".") for p in relative.parts):
            found.setdefault(path.suffix[1:].lower(), []).append(relative.as_posix())
    if not found:
        return []
    first = max(found.values(), key=len)
    stems = {PurePosixPath(f).stem for f in first}
    # the same clips once more in another format are left to the format with most files
    others = [files for files in found.values() if files is not first]
    return sorted(first + [f for files in others for f in files if PurePosixPath(f).stem not in stems])


def _glob(files: Sequence[str], depth: int) -> str:
    parts = [sorted({f.split("/")[part] for f in files}) for part in range(depth)]
    return "/".join([*(p[0] if len(p) == 1 and not set(p[0]) & set("*?[") else "*" for p in parts), "*"])


class _Reading:
    """The guess put to the test: the pattern, and what it reads of the files."""

    def __init__(self, names: Names, best: Guess, files: Sequence[str]) -> None:
        self.names, self.best = names, best
        self.loose: frozenset[int] = frozenset()
        fixed = {p for role in (best.label, best.speaker) if role for p in role.places} | {best.gender, best.split}
        free = [place for place in range(len(names.tokens)) if place not in fixed]
        # a word that holds a digit once in a thousand times should not leave that file unread
        options = [frozenset[int](), *(frozenset({place}) for place in reversed(free)), frozenset(free)]
        matches: dict[str, re.Match[str]] = {}
        for loose in options:
            regex = re.compile(self.pattern(best.label, best.speaker, loose))
            found = {file: match for file in files if (match := regex.fullmatch(_bare(file)))}
            if len(found) > len(matches):
                matches, self.loose = found, loose
        self.files = list(matches)
        groups = [match.groupdict() for match in matches.values()]
        self.labels = Counter(group["label"] for group in groups if "label" in group)
        order = self.speaker_order() or ["speaker"]
        self.speakers = {tuple(group[name] for name in order) for group in groups} if best.speaker else {("unknown",)}

    def speaker_order(self) -> list[str]:
        """Return the groups that together name a speaker, where it takes more than one."""
        best = self.best
        if best.speaker is None or best.gender not in best.speaker.places:
            return []
        names = ["gender" if place == best.gender else "speaker" for place in best.speaker.places]
        return list(dict.fromkeys(names))

    def pattern(self, label: Role | None, speaker: Role | None, loose: frozenset[int] | None = None) -> str:
        """Return the pattern for a choice of label and speaker."""
        loose = self.loose if loose is None else loose
        gender = self.best.gender
        own = [place for place in speaker.places if place != gender] if speaker else []
        groups = {place: name for place, name in ((gender, "gender"), (self.best.split, "split")) if place is not None}
        groups |= dict.fromkeys(own[:1], "speaker")
        groups |= {label.places[0]: "label"} if label else {}
        parts = [""] * len(self.names.after)
        for place, token in enumerate(self.names.tokens):
            text = "[^/]+" if place in loose else token.expression
            opening = f"(?P<{groups[place]}>" if place in groups else ""
            closing = ")" if (place in groups and (place not in own or len(own) == 1)) or place in own[1:] else ""
            parts[token.part] += _literal(token.before) + opening + text + closing
        return "/".join(part + _literal(end) for part, end in zip(parts, self.names.after, strict=True))


def _described(reading: _Reading, total: int) -> list[str]:
    best, read = reading.best, reading.files
    lines = [f"# {read[0]}, {read[-1]}"]
    if len(read) < total:
        lines.append(f"# {total - len(read)} of {total} files have names of another shape; `corpus check` lists them.")
    for role, word in ((best.label, "label"), (best.speaker, "speaker")):
        said = _values(role.values) if role is not None else "nothing in the names looks like one"
        lines.append(f"# {word}: {said}")
    lines.append(f"pattern: {quoted(reading.pattern(best.label, best.speaker))}")
    for role in best.other_labels:
        lines.append(f"# If the label is rather {_values(role.values)}:")
        lines.append(f"# pattern: {quoted(reading.pattern(role, best.speaker))}")
    for role in best.other_speakers:
        lines.append(f"# If the speaker is rather {_values(role.values)}:")
        lines.append(f"# pattern: {quoted(reading.pattern(best.label, role))}")
    if best.label is None:
        lines.append("label: unlabelled")
    if best.speaker is None:
        lines.append("speaker: unknown                # one for all, so that no score claims to be about new speakers")
    elif order := reading.speaker_order():
        lines.append(f'speaker: "{"".join(f"{{{name}}}" for name in order)}"')
    if best.gender is not None:
        lines += _genders(reading.names.tokens[best.gender])
    return lines


def _genders(token: Token) -> list[str]:
    if all(kind.lower() in {"f", "m", "female", "male"} for kind in token.kinds):
        return []
    said = ", ".join(f"{scalar(kind)}: {GENDER_CODES[kind.lower()]}" for kind in token.kinds)
    return [f"genders: {{{said}}}"]


def _literal(text: str) -> str:
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)


def _labels(reading: _Reading, root: Path) -> list[str]:
    if reading.best.label is None:
        tables = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.suffix.lower() in _TABLES)
        path = scalar(tables[0] if tables else "labels.csv")
        seen = f" This folder has {', '.join(tables[:5])}." if tables else ""
        return [
            f"# Where a table holds the labels, join it and remove `label:` above.{seen}",
            f"# tables: [{{path: {path}, key: file, columns: {{label: emotion}}}}]",
            *_HINT,
            "labels:",
            "  unlabelled: fill_in",
        ]
    return label_lines(reading.labels, meanings(reading.labels))


def label_lines(counts: Mapping[str, int], proposed: Mapping[str, str]) -> list[str]:
    """Return the label map of a first manifest; natives that nothing is proposed for are left to the owner."""
    rows = [f"  {scalar(native)}: {proposed.get(native, UNFILLED)}" for native in sorted(counts)]
    width = max(map(len, rows), default=0) + 2
    return [*_HINT, "labels:", *(f"{r:{width}}# {counts[n]} clips" for r, n in zip(rows, sorted(counts), strict=True))]


def _expected(reading: _Reading, root: Path) -> list[str]:
    seconds, files = 0.0, reading.files
    for file in track(files, "reading durations", len(files)):
        try:
            seconds += soundfile.info(root / file).duration
        except (soundfile.LibsndfileError, RuntimeError, OSError):
            continue  # `corpus check` says which files cannot be decoded, and why
    hours = f", hours: {seconds / 3600:.3g}" if seconds >= 1e-3 else ""
    return [
        "# What was found today; published figures are better, since they notice what is missing.",
        f"expect: {{clips: {len(files)}, speakers: {len(reading.speakers)}{hours}}}",
    ]


def _bare(file: str) -> str:
    return unicodedata.normalize("NFC", str(PurePosixPath(file).with_suffix("")))


def _values(values: Sequence[str]) -> str:
    kinds = sorted(set(values))
    shown = " ".join(kinds[:8]) + (" …" if len(kinds) > 8 else "")
    return f"{shown} ({len(kinds)} values)" if len(kinds) > 8 else shown


def scalar(text: str) -> str:
    """Return a text as YAML, without quotes where it is a plain word."""
    if _PLAIN.fullmatch(text) and text.lower() not in {"null", "true", "false"}:
        return text
    # JSON leaves some characters as they are that YAML folds or refuses
    return _UNPRINTED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def quoted(text: str) -> str:
    """Return a text as YAML in single quotes, in which backslashes stand for themselves."""
    return "'" + text.replace("'", "''") + "'"
