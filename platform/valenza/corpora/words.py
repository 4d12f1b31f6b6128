"""Reads native labels as emotion words of some language, so that a first manifest can propose what they mean."""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping

from valenza.labels.taxonomy import EMOTIONS
from valenza.labels.words import find, languages, plain

_SHORTEST = 3
"""Characters of the shortest word that a code can be the beginning of."""


def meanings(natives: Iterable[str]) -> dict[str, str]:
    """Return native label → proposed meaning, for the labels that one language or the harmonisation table explains.

    Codes such as `gio` are read as beginnings of words, in the language that explains most of them.
    """
    natives = list(natives)
    found = {language: _explained(natives, words) for language, words in _heads().items()}
    best = max(found, key=lambda language: (len(found[language]), _whole(natives, language)))
    proposed = dict(found[best])
    for native in natives:
        if native not in proposed:
            try:
                proposed[native] = find(native).name
            except LookupError:
                continue
    return proposed


def likeness(natives: Iterable[str]) -> float:
    """Return the share of values that are emotion words, or the beginnings of some in one language."""
    natives = list(natives)
    return len(meanings(natives)) / len(natives) if natives else 0.0


@functools.cache
def _heads() -> dict[str, dict[str, str]]:
    """Language → word → target, for the words that are a target's own: a beginning says no more than that."""
    named: dict[str, dict[str, str]] = {
        language: {alias: word.name for alias, word in words.items() if word.name in EMOTIONS and word.name != "other"}
        for language, words in languages().items()
    }
    return {language: words for language, words in named.items() if words}


def _explained(natives: list[str], words: Mapping[str, str]) -> dict[str, str]:
    known: dict[str, str] = {**words, **dict(zip(EMOTIONS, EMOTIONS, strict=True))}
    found: dict[str, str] = {}
    for native in natives:
        word = plain(native)
        targets = (
            {known[word]}
            if word in known
            else {t for w, t in words.items() if len(word) >= _SHORTEST and w.startswith(word)}
        )
        if len(targets) == 1:
            found[native] = targets.pop()
    # one code for several words of the same target is a coincidence more often than not
    crowded = {target for target, count in Counter(found.values()).items() if count > 2}
    return {native: target for native, target in found.items() if target not in crowded or plain(native) in known}


def _whole(natives: list[str], language: str) -> int:
    return sum(plain(native) in _heads()[language] for native in natives)
