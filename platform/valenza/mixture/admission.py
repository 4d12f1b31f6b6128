"""Which corpora may be trained on and scored: the guard against scores that only look zero-shot."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from valenza.config import Location, Problem, suggestion
from valenza.corpora.card import Card, read_card
from valenza.errors import UsageError
from valenza.place import Place, place

UNTOLD = {"und", "mul"}
"""Tags of what nobody determined, and of several languages that nobody named."""
WORDLESS = "zxx"
"""Tag of what is in no language."""


def problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what a recipe's corpora get wrong that only the shards can tell; nothing while there are no shards."""
    data = raw.get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("shards"), str):
        return
    train, zero_shot = data.get("train"), data.get("zero_shot") or []
    if not isinstance(train, Mapping) or not isinstance(zero_shot, list):
        return
    named: list[tuple[Location, str]] = [(("data", "train", c), c) for c in train]
    named += [(("data", "zero_shot", i), c) for i, c in enumerate(zero_shot) if isinstance(c, str)]
    try:
        folder = place(data["shards"])
    except UsageError:  # which is told where the setting is read
        return
    try:
        there, cards = _cards(folder, [corpus for _, corpus in named])
    except (OSError, ValueError) as error:
        yield ("data", "shards"), f"cannot be listed: {error}"
        return
    if not there:
        return
    for loc, corpus in named:
        if corpus not in there:
            yield loc, f"there are no shards of {corpus!r} in {folder}{suggestion(corpus, there)}"
    for loc, corpus in named if raw.get("stage") != "teacher" else ():  # a teacher labels what nobody did
        if corpus in cards and not cards[corpus].classes:
            yield loc, f"nobody labelled {corpus}, so there is nothing to learn from it or to score on it"
    if data.get("claim", "cross_lingual") != "cross_lingual":
        return
    for loc, corpus in named if zero_shot else ():
        if corpus in cards and spoken(cards[corpus]) & UNTOLD:
            told = "no language can be called unheard beside it; `claim: cross_corpus` is the weaker claim"
            yield loc, f"nobody says which language some of {corpus} is in, so {told}"
    trained = {language for c in train if c in cards for language in spoken(cards[c])} - {*UNTOLD, WORDLESS}
    for i, corpus in enumerate(zero_shot):
        if isinstance(corpus, str) and corpus in cards and (shared := spoken(cards[corpus]) & trained):
            told = "; `claim: cross_corpus` is the weaker claim that such a score can carry"
            yield ("data", "zero_shot", i), f"{corpus} speaks {', '.join(sorted(shared))}, which is trained on{told}"


def _cards(folder: Place, named: Sequence[str]) -> tuple[list[str], dict[str, Card]]:
    """Return the corpora that have shards, of a server the named ones alone, and the manifests of the named."""
    if isinstance(folder, Path):
        # The manifests beside the shards say enough, and a mistake is told before Arrow has been imported.
        paths = {path.parent.name: path for path in folder.glob("*/card.yaml")}
        return sorted(paths), {corpus: read_card(paths[corpus]) for corpus in named if corpus in paths}
    from valenza.shards.remote import MissingError
    from valenza.shards.stored import read_cards

    cards: dict[str, Card] = {}
    for corpus in dict.fromkeys(named):
        with suppress(MissingError):
            cards |= read_cards(folder, [corpus])
    return sorted(cards) or [""], cards  # a server without any of them is a mistake


def spoken(card: Card) -> set[str]:
    """Return the languages of a corpus without region: English is English whether en-US or en-NZ."""
    return {language.split("-")[0].lower() for language in card.languages}
