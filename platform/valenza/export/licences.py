"""What the licence of a corpus lets a model be used for, as far as a manifest's own words tell."""

import re
from collections.abc import Iterable
from typing import Literal

from valenza.corpora.card import Access

Kind = Literal["non-commercial", "restricted", "unknown", "share-alike", "permissive"]
"""From the strictest to the freest; `restricted` is for research alone, or against a signed form."""

KINDS: tuple[Kind, ...] = ("non-commercial", "restricted", "unknown", "share-alike", "permissive")
FREE: tuple[Kind, ...] = ("permissive", "share-alike")

_WORDS: tuple[tuple[Kind, str], ...] = (
    ("non-commercial", r"non[- ]?commercial|\bby-nc\b|\bnc\b|\b(no|not|never|without|except)\b[^;]*commercial"),
    ("non-commercial", r"commercial[^;]*\b(not|never|prohibit\w*|forbid\w*|excluded)\b"),
    ("restricted", r"research|academic|education|non[- ]?profit|personal|private|commercial"),
    ("restricted", r"agreement|signed|\bform\b|copyrighted|\bnd\b|by request|permission"),
    ("unknown", r"unknown|unclear|not (stated|verified)|none|no terms|^own\b|^$"),
)
_VERSION = r"([ -]v?\d+(\.\d+)*)?( international| unported| only| or later)?"
_FREE: tuple[tuple[Kind, str], ...] = (
    ("share-alike", rf"(cc[ -]by-sa|cc[ -]sa|[al]?gpl|odbl){_VERSION}"),
    (
        "permissive",
        rf"(cc[ -]by|cc[ -]?0|mit|apache|bsd|dbcl|pddl){_VERSION}( licen[cs]e)?|public domain|bsd-[23]-clause",
    ),
)
_ACCESS: dict[Access, Kind] = {"non-commercial": "non-commercial", "agreement": "restricted", "unclear": "unknown"}


def kind(licence: str, access: Access | None = None) -> Kind:
    """Return the strictest kind that a manifest's `licence` or `access` speaks of; `unknown` where neither is known.

    A licence is free only where every part of the text is the name of a free one and nothing else: what is not
    recognised is unknown, and never permissive.
    """
    written = " ".join(licence.lower().split())
    found: list[Kind] = [name for name, words in _WORDS if re.search(words, written)]
    found += [_named(part) for part in re.split(r"[,;] *", written)] if not found else []
    if access in _ACCESS:
        found.append(_ACCESS[access])
    return strictest(found)


def _named(part: str) -> Kind:
    return next((name for name, words in _FREE if re.fullmatch(f"(contents )?({words})", part)), "unknown")


def strictest(kinds: Iterable[Kind]) -> Kind:
    """Return the strictest of some kinds; `unknown` of none."""
    return min(kinds, key=KINDS.index, default="unknown")


NAMES: dict[Kind, str] = {
    "non-commercial": "non-commercial-training-data",
    "restricted": "research-only-training-data",
    "unknown": "unknown-training-data-licence",
    "share-alike": "share-alike-training-data",
    "permissive": "not-chosen",
}
"""What `license_name` says beside `license: other`. A model's licence is its owner's to choose; none is chosen here."""
