"""The manifest of a corpus: everything that is needed to turn its folders into clips, in one YAML file."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, NonNegativeInt, PositiveFloat, PositiveInt, Tag
from pydantic_core import PydanticCustomError

from valenza.config import Problem, Settings, load, suggestion
from valenza.corpora.rules import braces, fault, meanings, outside, templates
from valenza.errors import UsageError
from valenza.labels.taxonomy import EMOTIONS, Emotion
from valenza.labels.words import find

_MANIFEST_SUFFIXES = {".yaml", ".yml"}


def _known_target(value: Any) -> Any:
    if isinstance(value, str) and value not in EMOTIONS:
        text = f"{value!r} is not one of {', '.join(EMOTIONS)}{suggestion(value, EMOTIONS)}"
        raise PydanticCustomError("conflict", "{text}", {"text": text})
    return value


def _known_word(value: Any) -> Any:
    if isinstance(value, str):
        try:
            find(value)
        except LookupError as error:
            raise PydanticCustomError("conflict", "{text}", {"text": str(error)}) from None
    return value


def _shape(value: Any) -> str:
    """Name the branch of `Meaning` that a value belongs to, so that a mistake is explained once."""
    if value is None:
        return "[none]"
    return "[weights]" if isinstance(value, Mapping) else "[word]"


Weight = Annotated[float, Field(ge=0, le=1)]
Target = Annotated[Emotion, BeforeValidator(_known_target)]
Meaning = Annotated[
    Annotated[str, BeforeValidator(_known_word), Tag("[word]")]
    | Annotated[dict[Target, Weight], Field(min_length=1), Tag("[weights]")]
    | Annotated[None, Tag("[none]")],
    Discriminator(_shape),
]
"""What a native label means: a target or another word of `labels/words.csv`, several targets with weights, or `null`
for clips that are left out on purpose."""

Code = Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, int) else v)]
"""A name that may look like a number."""

Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
Format = Literal[
    "auto",
    "crema_d",
    "dusha",
    "erkennung",
    "esd",
    "iemocap",
    "iemocap_text",
    "mosei",
    "mosei_folds",
    "msp",
    "ogvc",
    "pavoque",
    "studies",
    "text_files",
    "thai_ser",
    "vesus",
]
"""How a table is written: CSV, TSV, JSONL or Parquet by its extension, or one of `corpora.readers`."""
Access = Literal["open", "non-commercial", "agreement", "unclear"]
"""How a corpus may be had: by an open licence, for research alone, against a form or fee, or on unclear terms."""
Column = Literal[
    "label", "speaker", "gender", "language", "text", "intensity", "split", "recording", "frames", "start", "end"
]


class Table(Settings):
    """A table that is joined to the clips on a key: votes, speakers, splits, or parts of longer recordings."""

    path: str
    """Under the corpus root; a glob reads several files as one table."""
    format: Format = "auto"
    key: str
    """The column to join on, or a template such as `{dialogue}_{turn}`; `{file}` is the table's name without suffix."""
    match: str = "{stem}"
    """The clip's side of the join, from the pattern's groups, `{path}` (without extension), `{name}` or `{stem}`."""
    columns: dict[Column, str] = Field(default={})
    """What is read → the column that holds it, or a template as in `key`. With `start`, a file is cut into one clip a
    row."""
    votes: dict[str, str] = Field(default={})
    """Native label → the column that counts its votes."""
    where: dict[str, str] = Field(default={})
    """Only rows whose column matches this whole regular expression."""
    encoding: str = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    decimal: Literal[".", ","] = "."
    optional: bool = False
    """Whether a clip, or all of them, may be missing from the table."""
    selects: bool = False
    """Whether files that are missing from the table are left out on purpose."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        yield from outside(("path",), raw.get("path"))
        if raw.get("optional") is True and raw.get("selects") is True:
            yield ("selects",), "a clip that is missing from the table is kept by `optional`, so nothing is selected"
        said = raw.get("columns")
        yield from braces(("key",), raw.get("key"))
        for name, column in said.items() if isinstance(said, Mapping) else ():
            yield from braces(("columns", name), column)
        where = raw.get("where")
        for column, expression in where.items() if isinstance(where, Mapping) else ():
            if isinstance(expression, str) and (wrong := fault(expression)):
                yield ("where", column), f"not a regular expression: {wrong}"
        try:
            "".encode(str(raw.get("encoding", "utf-8")))
        except (LookupError, ValueError):
            yield ("encoding",), f"{raw['encoding']!r} is not an encoding that Python knows, such as utf-8 or cp1252"


class Splits(Settings):
    """Official splits by speaker, the rest being for training; a table's `split` column comes before it."""

    validation: tuple[Code, ...] = ()
    test: tuple[Code, ...] = ()

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        validation, test = raw.get("validation"), raw.get("test")
        if isinstance(validation, list) and isinstance(test, list):
            for i, speaker in enumerate(test):
                if speaker in validation:
                    yield ("test", i), f"speaker {speaker} is in validation too, so a test score would flatter"


class Figures(Settings):
    """How much there is; what is absent is not compared."""

    clips: PositiveInt | None = None
    speakers: NonNegativeInt | None = None
    hours: PositiveFloat | None = None


class Expected(Figures):
    """The published figures, which `corpus check` holds against what it finds."""

    releases: dict[str, Figures] = Field(default={})
    """Other editions of the same corpus by name: figures that fit any one of them are right too."""


class Card(Settings):
    """One corpus: licence, language, how its file names read, and what its labels mean."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    title: str
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    """BCP-47; the first is the clips' own unless `language` or a table says otherwise."""
    licence: str
    homepage: str = ""
    citation: str = ""
    access: Access | None = None
    obtain: str = ""
    """How to get the corpus, and what to do with it before it can be read, in one line."""
    audio: str | tuple[str, ...]
    """Globs under the corpus root; files with other extensions than libsndfile's are passed over."""
    ignore: tuple[str, ...] = ()
    """Globs of files that are known to be broken or not speech; each is still counted by `corpus check`."""
    pattern: str
    """Regular expression with named groups, matched against the whole path under the root, without its extension."""
    label: str | None = None
    """Template such as `{label}`; where absent, the pattern's group of that name. The same holds down to `frames`."""
    speaker: str | None = None
    gender: str | None = None
    """Values `F`, `M`, `O`, `female`, `male` in any case, or the keys of `genders`."""
    genders: dict[str, Literal["F", "M", "O"]] = Field(default={})
    language: str | None = None
    """BCP-47 itself, or the keys of `language_codes`."""
    language_codes: dict[Code, Language] = Field(default={})
    """The corpus's codes for languages → BCP-47; a code that is not listed stands for the first of `languages`."""
    recording: str | None = None
    text: str | None = None
    intensity: str | None = None
    split: str | None = None
    frames: str | None = None
    """The NumPy file under the corpus root that holds the clip's frame labels, such as `{path}.npy`; empty for none."""
    intensities: dict[str, Weight] = Field(default={})
    """Native intensity → the share of the label's weight that it leaves."""
    labels: dict[str, Meaning]
    """Native label → target(s); `{}` where nobody labelled the speech, which can be stored and predicted on only."""
    ratings: PositiveFloat | None = None
    """The highest mark, where votes are marks (0 to 3) and not counts of annotators: each label then scores its share
    of that mark, and a clip with marks of 0 throughout is neutral, not unlabelled."""
    known: tuple[Target, ...] | None = None
    """Targets that the annotators could choose; those that `labels` reaches where absent."""
    tables: tuple[Table, ...] = ()
    splits: Splits = Splits()
    expect: Expected = Expected()

    @property
    def classes(self) -> tuple[Emotion, ...]:
        """The targets that this corpus can speak of, in the order of `EMOTIONS`."""
        reached = set(self.known) if self.known is not None else {t for m in self.labels.values() for t in weights(m)}
        if self.known is None and self.ratings is not None:
            reached.add("neutral")  # is what marks of 0 throughout say
        return tuple(e for e in EMOTIONS if e in reached)

    def spoken(self, said: str) -> str:
        """Return the language of a clip whose name or table says `said`, which may be nothing."""
        return (self.language_codes.get(said, "") if self.language_codes else said) or self.languages[0]

    def template(self, name: str) -> str | None:
        """Return the template of one of `rules.FIELDS`: as written, or the pattern's group of that name, or nothing."""
        written: str | None = getattr(self, name)
        if written is not None:
            return written
        return f"{{{name}}}" if name in re.compile(self.pattern).groupindex else None

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        audio = raw.get("audio")
        yield from outside(("frames",), raw.get("frames"))
        for name in ("audio", "ignore"):
            value = raw.get(name)
            for i, glob in enumerate(value if isinstance(value, list) else [value]):
                yield from outside((name, i) if isinstance(value, list) else (name,), glob)
        if isinstance(audio, list) and not audio:
            yield ("audio",), "give at least one glob"
        yield from meanings(raw)
        pattern = raw.get("pattern")
        if not isinstance(pattern, str):
            return
        if wrong := fault(pattern):
            yield ("pattern",), f"not a regular expression: {wrong}"
            return
        yield from templates(raw, set(re.compile(pattern).groupindex))


def weights(meaning: Meaning) -> dict[Emotion, float]:
    """Return a label's meaning as target → weight; empty for labels that are left out."""
    if meaning is None:
        return {}
    return dict(find(meaning).weights if isinstance(meaning, str) else meaning)


def read_card(path: Path) -> Card:
    """Read one manifest; raises `UsageError` that lists every mistake with its line."""
    return load(Card, path)


def find_cards(folder: Path) -> dict[str, Path]:
    """Return the manifests of a folder by id, which is the file's name without its suffix."""
    try:
        found = sorted(p for p in folder.iterdir() if p.suffix in _MANIFEST_SUFFIXES and p.name[0] not in "._")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be listed: {error.strerror}") from None
    cards: dict[str, Path] = {}
    for path in found:
        if path.stem in cards:
            raise UsageError(f"{path}: {cards[path.stem].name} beside it describes {path.stem} too")
        cards[path.stem] = path
    return cards


def locate(name_or_path: str, manifests: Path) -> Path:
    """Return the manifest that a path or an id means; raises `UsageError` that suggests the nearest id."""
    path = Path(name_or_path)
    if path.suffix in _MANIFEST_SUFFIXES or path.is_file():
        if not path.is_file():
            raise UsageError(f"{path}: there is no such manifest")
        return path
    cards = find_cards(manifests)
    if name_or_path not in cards:
        there = f"; there are {', '.join(cards)}" if cards else ""
        raise UsageError(f"{manifests} has no manifest {name_or_path!r}{suggestion(name_or_path, cards) or there}")
    return cards[name_or_path]
