"""One page that draws a corpus's label mass, from native labels to what a loss is given."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from valenza.evaluation.page.charts import svg, text
from valenza.evaluation.page.markup import Html, table, tag
from valenza.evaluation.page.shell import write_page
from valenza.labels.mass import LabelMass, Native, Step, summary
from valenza.labels.taxonomy import EMOTIONS

_LEFT, _COLUMN, _GAP, _ROW, _TOP = 82, 118, 12, 30, 46
_NUMBER = 44
"""Room for the number behind a bar."""


def write_label_page(mass: LabelMass, out: Path) -> None:
    """Write the page of a corpus. Raises `WriteError`."""
    write_page(f"Labels of {mass.corpus}", _sections(mass), out)


def _sections(mass: LabelMass) -> Iterator[Html]:
    yield tag("h1", mass.title)
    yield tag("p", f"{mass.corpus} · {summary(mass)}", class_="soft")
    yield tag("h2", "Native labels")
    yield tag("p", "What annotators wrote, and what the manifest says it means.")
    columns = ["Label", "Clips", *(["Votes"] if any(native.votes for native in mass.natives) else []), "Meaning"]
    yield table(columns, [_native(native, votes="Votes" in columns) for native in mass.natives], kind="worded")
    yield tag("h2", "Mass of each target, step by step")
    yield tag(
        "p",
        "In clips: a clip whose annotators agree on one strong emotion has a mass of 1. Neutral smoothing (Osman et "
        "al. 2023, §2.2) changes the clips that have less than the mean: ",
        tag("b", "paper"),
        " is its formula as printed, ",
        tag("b", "neutral_only"),
        " moves what it takes to neutral. The last three columns are what a loss is given, by the recipe's smoothing.",
    )
    yield _key()
    yield tag("figure", Html(_grid(mass.steps)), class_="wide")
    yield tag("ul", *(tag("li", tag("b", step.name), f" – {step.what}") for step in mass.steps), class_="soft")


def _native(native: Native, *, votes: bool) -> list[str]:
    several = " + ".join(t if w == 1 else f"{w:g} {t}" for t, w in native.meaning.items())
    heard = [f"{native.votes:,.6g}"] if votes else []
    return [native.label, f"{native.clips:,}", *heard, several or tag("span", "left out", class_="soft")]


def _key() -> Html:
    shape = '<svg width="22" height="12" aria-hidden="true">{}</svg>'
    rect = '<rect class="{}" width="22" height="12" rx="2"/>'
    items = [
        (rect.format("seen"), "not normalised"),
        (rect.format("model"), "what a loss is given: each clip sums to 1 over what the corpus knows"),
        ('<path class="tick" d="M11 0v12"/>', "without smoothing"),
    ]
    return tag("ul", *(tag("li", Html(shape.format(drawn)), words) for drawn, words in items), class_="legend")


def _grid(steps: Sequence[Step]) -> str:
    """Draw a column of bars for each step; a tick in the smoothed ones stands where smoothing found the mass."""
    most = max([value for step in steps for value in step.mass.values()] + [1e-9])
    parts = []
    for row, target in enumerate(EMOTIONS):
        y = _TOP + _ROW * row
        parts.append(text(_LEFT - 12, y + 15, target, "end", "name"))
        parts.append(f'<path class="grid" d="M0 {y + _ROW - 4}H{_LEFT + _COLUMN * len(steps)}"/>')
    for place, step in enumerate(steps):
        parts += _bars(step, _LEFT + _COLUMN * place, most, _unsmoothed(steps, step))
    width, height = _LEFT + _COLUMN * len(steps), _TOP + _ROW * len(EMOTIONS) + 26
    told = "; ".join(f"{s.name}: " + ", ".join(f"{t} {v:.1f}" for t, v in s.mass.items()) for s in steps)
    return svg(width, height, parts, f"Label mass in clips. {told}")


def _bars(step: Step, left: int, most: float, before: Mapping[str, float] | None) -> Iterator[str]:
    for line, word in enumerate(_lines(step.name)):
        yield text(left, 16 + 16 * line, word, "start", "note")
    room = _COLUMN - _GAP - _NUMBER
    for row, target in enumerate(EMOTIONS):
        y, value = _TOP + _ROW * row, step.mass[target]
        kind = "model" if step.name.startswith("target") else "seen"
        if value > 0:
            length = max(room * value / most, 0.75)
            yield f'<rect class="{kind}" x="{left}" y="{y + 2}" width="{length:.1f}" height="18" rx="2"/>'
        if before is not None and (value > 0 or before[target] > 0):
            yield f'<path class="tick" d="M{left + room * before[target] / most:.1f} {y - 1}v24"/>'
        yield text(left + _COLUMN - _GAP, y + 15, _number(value), "end", "note")
    total = sum(step.mass.values())
    yield text(left + _COLUMN - _GAP, _TOP + _ROW * len(EMOTIONS) + 14, f"Σ {_number(total)}", "end", "name")


def _unsmoothed(steps: Sequence[Step], step: Step) -> Mapping[str, float] | None:
    """Return the mass of a smoothed step as it would be without smoothing."""
    if step.smoothing in {None, "none"}:
        return None
    name = "target: none" if step.name.startswith("target") else "votes and intensities"
    return next(other.mass for other in steps if other.name == name)


def _lines(name: str) -> list[str]:
    """Break a step's name in two."""
    first, colon, rest = name.partition(": ")
    return [first + colon.strip(), rest] if colon else [" ".join(part) for part in _halves(name.split())]


def _halves(words: list[str]) -> list[list[str]]:
    middle = (len(words) + 1) // 2
    return [words[:middle], words[middle:]]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value else "0"
