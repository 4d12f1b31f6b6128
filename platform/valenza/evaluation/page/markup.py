"""HTML pieces of the report. Plain text is always escaped; only what was built here passes as markup."""

from collections.abc import Iterable, Sequence
from html import escape

from valenza.evaluation.page.charts import MARKERS, marker
from valenza.evaluation.results import BASELINES, percent, percent_interval
from valenza.evaluation.schema import CorpusResult, Interval


class Html(str):
    """Text that is markup already."""


def html(text: str) -> Html:
    """Return the text as markup, escaped unless it is markup already."""
    return text if isinstance(text, Html) else Html(escape(text))


def join(*pieces: str) -> Html:
    """Put pieces one after another, plain ones escaped."""
    return Html("".join(html(piece) for piece in pieces))


def tag(name: str, *content: str, **attributes: str) -> Html:
    """Return an element; `class_` stands for the attribute `class`."""
    given = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>{join(*content)}</{name}>")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> Html:
    """Return a table that scrolls by itself; the first cell of a row heads it."""
    head = tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns))) if columns else Html()
    body = (tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in rows)
    return tag("div", tag("table", head, tag("tbody", *body), class_=kind), class_="scroll")


def score(value: float | None, bounds: Interval | None = None, *, strong: bool = False) -> Html:
    """Return a score in per cent with its interval in small type."""
    number = tag("span", percent(value), class_="best") if strong else html(percent(value))
    return join(number, " ", tag("span", percent_interval(bounds), class_="range")) if bounds else number


def title(name: str, corpus: CorpusResult) -> Html:
    """Return a corpus's title with a tag that says whether its scores are zero-shot."""
    kind, text = ("tag zero", "zero-shot") if corpus.zero_shot else ("tag", "seen in training")
    return join(corpus.title or name, " ", tag("span", text, class_=kind))


def count(number: int, one: str, many: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many}"


def legend(*, seen: bool) -> Html:
    """Return what bars, whiskers and marks stand for."""
    bar = '<svg width="22" height="12" aria-hidden="true"><rect class="{}" width="22" height="12" rx="2"/></svg>'
    items = [(Html(bar.format("model")), "the model, zero-shot")]
    if seen:
        items.append((Html(bar.format("seen")), "the model, corpus seen in training"))
    line = '<svg width="22" height="12" aria-hidden="true"><path class="whisker" d="M1 2v8M1 6H21M21 2v8"/></svg>'
    items.append((Html(line), "95 % interval"))
    for name in MARKERS:
        shape = f'<svg width="14" height="14" aria-hidden="true">{marker(name, 7, 7)}</svg>'
        items.append((Html(shape), BASELINES[name]))
    return tag("ul", *(tag("li", picture, text) for picture, text in items), class_="legend")
