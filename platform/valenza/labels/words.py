"""The harmonisation table: what an emotion word means as weights of the targets, in many languages."""

import csv
import difflib
import functools
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from valenza.labels.taxonomy import EMOTIONS, Emotion

_TABLE = Path(__file__).with_name("words.csv")
ENGLISH = "en"


@dataclass(frozen=True)
class Word:
    """One row of the table."""

    name: str
    weights: Mapping[Emotion, float]
    """Target → weight above 0; empty for words that say nothing of the emotion. A sum below 1 means a weak emotion."""
    aliases: Mapping[str, tuple[str, ...]]
    """The same word otherwise, in its plain form → the languages that have it (BCP-47)."""
    basis: str
    """What the weights rest on: `S` stated in a founding paper, `T` the family in the tree of Shaver et al. 1987 and
    Parrott 2001, `P` how published work groups the word, `J` judgement. Only contempt → disgust 0.5 is printed as a
    number (Osman et al. 2023, §2.1); the other numbers are judgement."""
    family: str
    """Family and cluster in that tree."""
    note: str


@functools.cache
def table() -> dict[str, Word]:
    """Return the words in the order of the table, by name."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return {row["word"]: _word(row) for row in csv.DictReader(file)}


def find(word: str) -> Word:
    """Return the row that a word or an alias means; case, `_`, `-` and spaces do not matter.

    Raises `LookupError` with the nearest word for one that the table lacks.
    """
    found = _by_alias().get(plain(word))
    if found is None:
        near = difflib.get_close_matches(plain(word), _by_alias(), n=1, cutoff=0.7)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise LookupError(f"{word!r} is not one of {', '.join(EMOTIONS)}, nor another word of labels/words.csv{meant}")
    return table()[found]


def languages() -> dict[str, dict[str, Word]]:
    """Return language → its words in plain form → their rows."""
    return _by_language()


def plain(word: str) -> str:
    """Return a word as it is compared: lower case, with single spaces for `_` and `-`."""
    # lower() of the Turkish İ leaves its dot behind as a character of its own
    folded = unicodedata.normalize("NFC", word).casefold().replace("\u0307", "")
    return " ".join(folded.replace("_", " ").replace("-", " ").split())


@functools.cache
def _by_alias() -> dict[str, str]:
    return {spelling: word.name for word in table().values() for spelling in (plain(word.name), *word.aliases)}


@functools.cache
def _by_language() -> dict[str, dict[str, Word]]:
    found: dict[str, dict[str, Word]] = {ENGLISH: {}}
    for word in table().values():
        found[ENGLISH][plain(word.name)] = word
        for alias, spoken in word.aliases.items():
            for language in spoken:
                found.setdefault(language, {})[alias] = word
    return found


def _word(row: Mapping[str, str]) -> Word:
    weights = {emotion: float(row[emotion]) for emotion in EMOTIONS if float(row[emotion]) > 0}
    return Word(row["word"], weights, dict(_aliases(row["aliases"])), row["basis"], row["family"], row["note"])


def _aliases(cell: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Read `happy | de:freude | es,pt:feliz`; words without a language are English."""
    for entry in filter(None, map(str.strip, cell.split("|"))):
        spoken, _, alias = entry.rpartition(":")
        yield plain(alias), tuple(spoken.split(",")) if spoken else (ENGLISH,)
