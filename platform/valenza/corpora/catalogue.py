"""What the manifests of a folder describe together: the list on a terminal, and the page that stands beside them."""

import shutil
from collections.abc import Sequence

from valenza.corpora.card import Card, Figures
from valenza.terminal import table

_NO_LANGUAGE = {"und", "zxx", "mul"}
"""Codes for unknown, none and several."""
_UNKNOWN = "–"
_WIDTH = 90
"""Columns of a terminal that hold the whole list."""
_INTRODUCTION = """# Corpora

One YAML file describes one corpus: where its audio lies, how its names and tables read, what its labels mean, its
licence, and the figures its authors published. No audio is part of the project. Put a corpus into `<data root>/<id>`
as its manifest's first lines say, then

```
valenza corpus check <id> --data-root <data root>
```

names each file that is broken, unparsed, silent, duplicated or mislabelled, and compares the counts with those below.
`valenza corpus new` writes a first manifest for a corpus of your own. This page is made by `valenza corpus list
--markdown`.

Terms: **open** licences allow use and sharing; **non-commercial** ones for research, some without changes; an
**agreement**, form or fee stands before the rest; **unclear** where none is stated, where sources contradict each
other, or where the recordings are somebody else's. Whoever trains a model is bound by the terms of all its corpora.
Targets: how many of the eight targets a corpus speaks of, and whether they come with the annotators' votes, their
marks on a scale, or an intensity. Clips, speakers and hours are the published ones, of the first edition that the
manifest lists where there are several.
"""


def languages(cards: Sequence[Card]) -> set[str]:
    """Return the primary languages of some corpora: `zh-CN` and `zh-TW` are one."""
    return {tag.split("-")[0] for card in cards for tag in card.languages} - _NO_LANGUAGE


def annotation(card: Card) -> str:
    """Say how many targets a corpus speaks of, and what is known of each beside its label."""
    if not card.labels:
        return "none"
    kind = ""
    if card.ratings is not None:
        kind = " marks"
    elif any(one.votes for one in card.tables):
        kind = " votes"
    elif card.intensities:
        kind = " intensity"
    return f"{len(card.classes)}{kind}"


def published(card: Card) -> Figures:
    """Return the figures of a corpus, or of the first of its releases where it has none of its own."""
    own = card.expect
    if own.clips is not None or not own.releases:
        return own
    first = next(iter(own.releases.values()))
    return Figures.model_construct(
        clips=first.clips, speakers=own.speakers or first.speakers, hours=own.hours or first.hours
    )


def closing(cards: Sequence[Card]) -> str:
    """Say in one line how much there is."""
    spoken = len(languages(cards))
    figures = [published(card) for card in cards]
    clips = sum(figure.clips or 0 for figure in figures)
    hours = sum(figure.hours or 0.0 for figure in figures)
    unknown = sum(figure.hours is None for figure in figures)
    without = f", not counting the hours of {unknown} that publish none" if unknown else ""
    corpora = f"{len(cards)} {'corpus' if len(cards) == 1 else 'corpora'}"
    tongues = f"{spoken} {'language' if spoken == 1 else 'languages'}"
    return f"{corpora} in {tongues}: {clips:,} clips, {hours:,.{0 if hours >= 10 else 2}f} hours{without}"


def show_catalogue(cards: Sequence[Card]) -> None:
    """Print one line a corpus and a last one over all; terminals that are too narrow go without the terms."""
    columns = ("id", "languages", "clips", "speakers", "hours", "targets", "terms")
    shown = len(columns) - (shutil.get_terminal_size((_WIDTH, 24)).columns < _WIDTH)
    rows = [(card.id, _tongues(card), *_figures(card), annotation(card), card.access or _UNKNOWN) for card in cards]
    table("", columns[:shown], [row[:shown] for row in rows])
    print(f"\n{closing(cards)}")  # noqa: T201


def markdown(cards: Sequence[Card]) -> str:
    """Return the page that describes a folder of manifests."""
    head = ("id", "corpus", "languages", "clips", "speakers", "hours", "targets", "terms", "licence", "how to get it")
    rows = [
        (f"[{card.id}]({card.id}.yaml)", _linked(card), _tongues(card), *_figures(card), annotation(card),
         card.access or _UNKNOWN, card.licence, card.obtain)
        for card in cards
    ]  # fmt: skip
    lines = [head, tuple("--:" if name in {"clips", "speakers", "hours"} else "---" for name in head), *rows]
    cells = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "\n".join([_INTRODUCTION, *(f"| {line} |" for line in cells), "", f"{closing(cards)}.", ""])


def _tongues(card: Card) -> str:
    return " ".join(tag for tag in card.languages if tag not in _NO_LANGUAGE) or " ".join(card.languages)


def _figures(card: Card) -> tuple[str, str, str]:
    """Return the published clips, speakers and hours as text."""
    figures = published(card)
    hours = _UNKNOWN if figures.hours is None else f"{figures.hours:.2f}"
    return _whole(figures.clips), _whole(figures.speakers), hours


def _whole(number: int | None) -> str:
    return _UNKNOWN if number is None else str(number)


def _linked(card: Card) -> str:
    return f"[{card.title}]({card.homepage})" if card.homepage else card.title
