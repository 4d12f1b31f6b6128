"""What a run learned from: its corpora, and those of the runs that it started from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from valenza.corpora.card import Card, find_cards, read_card
from valenza.errors import ShardError, UsageError
from valenza.export.licences import Kind, kind
from valenza.recipe import Recipe
from valenza.shards.audio import SAMPLE_RATE
from valenza.shards.stored import read_cards, read_description
from valenza.stages.trained import read_recipe

_HUB = re.compile(r"huggingface\.co/datasets/([\w.-]+/[\w.-]+)")
_MOST = 8
"""Runs that are followed back."""


@dataclass(frozen=True)
class Corpus:
    """What is known of a corpus that was learned from."""

    name: str
    stage: str
    """What it was learned for."""
    card: Card | None
    """Absent where neither shards nor a manifest are there."""
    clips: int | None
    hours: float | None
    """Of all that lies in its shards."""

    @property
    def licence(self) -> str:
        """The manifest's own words."""
        return "not known here" if self.card is None else self.card.licence

    @property
    def kind(self) -> Kind:
        """What the licence lets a model be used for."""
        return "unknown" if self.card is None else kind(self.card.licence, self.card.access)

    def made_of(self, other: "Corpus") -> bool:
        """Whether its shards were joined from another's clips, or are those with a model's labels; names tell."""
        return self.name.startswith(f"{other.name}-") and self.licence == other.licence

    @property
    def hub_id(self) -> str | None:
        """Its name on the hub, where its homepage is there."""
        found = None if self.card is None else _HUB.search(self.card.homepage)
        return None if found is None else found[1]


@dataclass(frozen=True)
class Lineage:
    """All corpora that a model learned from, its own first."""

    corpora: list[Corpus]
    lost: list[str]
    """Runs that it started from and that are not there: what they learned from is not known."""

    @property
    def sources(self) -> list[list[Corpus]]:
        """The corpora in groups: each with the shards that were joined from it or labelled by a model."""
        groups: list[list[Corpus]] = []
        for corpus in sorted(self.corpora, key=lambda corpus: len(corpus.name)):
            group = next((group for group in groups if corpus.made_of(group[0])), None)
            if group is None:
                groups.append(group := [])
            group.append(corpus)
        return groups

    @property
    def kinds(self) -> list[Kind]:
        """Of every corpus, and of what is lost."""
        lost: list[Kind] = ["unknown"] * len(self.lost)
        return [corpus.kind for corpus in self.corpora] + lost


def lineage(run: Path, recipe: Recipe, manifests: Path) -> Lineage:
    """Return what a run and those before it learned from; what cannot be read is said to be unknown."""
    corpora: dict[str, Corpus] = {}
    lost: list[str] = []
    for _ in range(_MOST):
        for corpus in _learned(recipe, manifests):
            corpora.setdefault(corpus.name, corpus)
        before = recipe.goes_on_from
        if before is None:
            break
        try:
            recipe = read_recipe(before)
        except UsageError:
            lost.append(before.name)
            break
    return Lineage(list(corpora.values()), lost)


def _learned(recipe: Recipe, manifests: Path) -> Iterator[Corpus]:
    shards = recipe.data.shards
    for name in recipe.data.train:
        card: Card | None = None
        clips = hours = None
        try:
            card = read_cards(shards, [name])[name]
            description = read_description(shards / name)
            clips, hours = description.clips, description.samples / SAMPLE_RATE / 3600
        except (ShardError, UsageError, OSError):
            card = card or _manifest(name, manifests)
        yield Corpus(name, recipe.stage, card, clips, hours)


def _manifest(name: str, manifests: Path) -> Card | None:
    try:
        found = find_cards(manifests)
        return read_card(found[name]) if name in found else None
    except UsageError:
        return None
