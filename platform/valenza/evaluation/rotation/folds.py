"""Which corpora each fold of a rotation holds out, and what is left to train on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from valenza.config import suggestion
from valenza.errors import UsageError
from valenza.mixture.admission import UNTOLD, WORDLESS, spoken
from valenza.recipe import Recipe
from valenza.shards.stored import read_cards

By = Literal["language", "corpus"]
NEW_WEIGHT = 1.0
"""Of a corpus that the recipe only scores, in the folds that train on it."""


@dataclass(frozen=True)
class Fold:
    """One part of a rotation."""

    name: str
    """The language or corpus that is held out."""
    held_out: tuple[str, ...]
    """Corpora that are scored, zero-shot."""
    train: Mapping[str, float]
    """Corpus → weight."""
    aside: tuple[str, ...] = field(default=())
    """Corpora that are neither trained on nor scored: they share a language with a scored one that speaks several, or
    nobody says which language some of them is in."""
    claim: Literal["cross_lingual", "cross_corpus"] = "cross_lingual"

    def recipe(self, base: Recipe, seed: int) -> Recipe:
        """Return the recipe of this fold with a seed."""
        changed = {"train": dict(self.train), "zero_shot": self.held_out, "claim": self.claim}
        return base.model_copy(update={"seed": seed, "data": base.data.model_copy(update=changed)})


def folds(recipe: Recipe, by: By, only: Sequence[str] = ()) -> list[Fold]:
    """Return a fold for each language or corpus of a recipe, those that it only scores included.

    Corpora that the recipe trains on keep their weights, the others get 1. A language is held out with every corpus
    that speaks it. No language (`zxx`) is no fold, and a corpus of unknown ones (`und`, `mul`) is set aside, since none
    can be called unheard beside it. A corpus is held out alone, so that its language may be trained on; the claim is
    then the weaker one, and the fold says so. `only` picks folds by name. Raises `UsageError` for a name that is none,
    and for a fold that leaves nothing to train on.
    """
    weights = {**dict.fromkeys(recipe.data.zero_shot, NEW_WEIGHT), **recipe.data.train}
    cards = read_cards(recipe.data.shards, sorted(weights))
    languages = {corpus: spoken(card) for corpus, card in cards.items()}
    told = {corpus: said for corpus, said in languages.items() if not said & UNTOLD}
    names = sorted(set().union(*told.values()) - {WORDLESS}) if by == "language" else list(cards)
    if unknown := [name for name in only if name not in names]:
        raise UsageError(
            "; ".join(f"there is no {by} {name!r} to hold out{suggestion(name, names)}" for name in unknown)
        )
    chosen = [name for name in names if not only or name in only]
    found = [_language(n, languages, weights) if by == "language" else _corpus(n, languages, weights) for n in chosen]
    if empty := [fold.name for fold in found if not fold.train]:
        raise UsageError(f"without {', '.join(empty)}, the recipe has no corpus left to train on")
    return found


def _language(name: str, languages: Mapping[str, set[str]], weights: Mapping[str, float]) -> Fold:
    held_out = tuple(corpus for corpus, said in languages.items() if name in said and not said & UNTOLD)
    heard = {language for corpus in held_out for language in languages[corpus]} - {WORDLESS} | UNTOLD
    rest = [corpus for corpus in languages if corpus not in held_out]
    aside = tuple(corpus for corpus in rest if languages[corpus] & heard)
    return Fold(name, held_out, {corpus: weights[corpus] for corpus in rest if corpus not in aside}, aside)


def _corpus(name: str, languages: Mapping[str, set[str]], weights: Mapping[str, float]) -> Fold:
    train = {corpus: weights[corpus] for corpus in languages if corpus != name}
    shared = any((languages[corpus] & languages[name]) - {WORDLESS} for corpus in train)
    shared = shared or bool(set().union(*languages.values()) & UNTOLD)
    return Fold(name, (name,), train, claim="cross_corpus" if shared else "cross_lingual")


def folder(out: Path, fold: Fold, seed: int) -> Path:
    """Return the run folder of a fold and seed."""
    return out / f"{fold.name}-{seed}"
