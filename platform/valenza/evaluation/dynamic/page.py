"""dynamic.html: the tables of emotion over time, the errors as a chart, and tracks as pictures, in one file."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from valenza.evaluation.dynamic.beta import beta_rows
from valenza.evaluation.dynamic.picture import Shown, picture, swatch
from valenza.evaluation.dynamic.table import COLUMNS, claims, four, heading, how, notes, spread, step
from valenza.evaluation.page.charts import nice_ticks, svg, text
from valenza.evaluation.page.markup import Html, html, join, table, tag
from valenza.evaluation.page.shell import write_page
from valenza.labels.taxonomy import EMOTIONS

_PLUS_MINUS = "\u00a0±\u00a0"
"""With spaces at which no line breaks."""
_WIDTH, _LEFT, _RIGHT = 920, 196, 840


def write_dynamic(
    summary: Mapping[str, Any],
    tracks: Mapping[str, Sequence[Shown]],
    out: Path,
    *,
    betas: Mapping[str, Any] | None = None,
    note: str = "",
    title: str = "Emotion over time",
) -> None:
    """Write the page from what `summarise` and `summarise_betas` return and a handful of tracks of each test set.

    `note` says how preferences were obtained. The sound of tracks is put into the page, about 26 kB a second. Raises
    `WriteError`.
    """
    sections = [
        tag("h1", title),
        tag("p", heading(summary["sets"][0]), class_="soft"),
        *_systems(summary, note),
        *([] if betas is None else _betas(betas)),
        *_tracks(tracks),
    ]
    sound = any(track.audio for shown in tracks.values() for track in shown)
    write_page(title, sections, out, media=sound)


def _systems(summary: Mapping[str, Any], note: str) -> Iterator[Html]:
    yield tag("h2", "Systems", id="systems")
    for said in notes(summary, note):
        yield tag("p", said)
    yield tag(
        "p", "In the charts: the mean over seeds, its interval, and each seed as a small dot below.", class_="soft"
    )
    for part in summary["sets"]:
        yield tag("h4", f"MAE. {heading(part)}")
        yield tag("figure", Html(errors(part)), class_="wide")
        yield _table(part)
        for said in claims(part):
            yield tag("p", said, class_="soft")


def _table(part: Mapping[str, Any]) -> Html:
    heads = ["", "MAE", "Step", *(head for head, _ in list(COLUMNS.values())[1:])]
    rows = []
    for number, row in enumerate(part["rows"]):
        before = part["rows"][number - 1]["system"] if number else None
        cells = [_ranged(spread(row["scores"]["mae"], four, whole=True)), _ranged(step(row, before))]
        cells += [_ranged(spread(row["scores"][name], cell)) for name, (_, cell) in list(COLUMNS.items())[1:]]
        rows.append([row["system"], *cells])
    return table(heads, rows, kind="wide")


def _ranged(text: str) -> Html:
    """Return a figure with its interval in small type, below it."""
    figure, opened, rest = text.replace(" ± ", _PLUS_MINUS).partition(" [")
    if not opened:
        return html(figure)
    bounds, _, star = rest.partition("]")
    return join(figure, tag("span", star, class_="best"), Html("<br>"), tag("span", f"[{bounds}]", class_="range"))


def errors(part: Mapping[str, Any]) -> str:
    """Draw each system's MAE with its interval, and a small dot for each seed, on an axis that need not begin at 0."""
    rows = part["rows"]
    scores = [row["scores"]["mae"] for row in rows]
    every = [value for s in scores for value in (*s["by_seed"].values(), *(s["ci95"] or ()))]
    ticks = nice_ticks(min(every), max(every))
    low, high = ticks[0], ticks[-1]

    def place(value: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (value - low) / (high - low)

    pitch, top = 34, 6
    bottom = top + pitch * len(rows)
    parts = []
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{place(tick):.1f} {top}V{bottom}"/>')
        parts.append(text(place(tick), bottom + 18, f"{tick:.4g}", "middle", "note"))
    for number, (row, score) in enumerate(zip(rows, scores, strict=True)):
        y = top + pitch * (number + 0.5)
        parts.append(text(_LEFT - 12, y + 5, row["system"], "end", "name"))
        if score["ci95"]:
            a, b = map(place, score["ci95"])
            parts.append(
                f'<path class="whisker" d="M{a:.1f} {y - 4:.1f}v8M{a:.1f} {y:.1f}H{b:.1f}M{b:.1f} {y - 4:.1f}v8"/>'
            )
        if len(score["by_seed"]) > 1:
            seeds = [place(value) for value in score["by_seed"].values()]
            parts += [f'<circle class="seen" cx="{x:.1f}" cy="{y + 9:.1f}" r="2.5"/>' for x in seeds]
        parts.append(f'<circle class="model" cx="{place(score["mean"]):.1f}" cy="{y:.1f}" r="5.5"/>')
        parts.append(text(_WIDTH - 4, y + 5, four(score["mean"]), "end", "value"))
    spoken = "; ".join(f"{row['system']} {four(s['mean'])}" for row, s in zip(rows, scores, strict=True))
    return svg(_WIDTH, bottom + 24, parts, f"Mean absolute error, less is better: {spoken}")


def _betas(summary: Mapping[str, Any]) -> Iterator[Html]:
    yield tag("h2", "Strength of preference tuning", id="beta")
    yield tag("p", how(summary))
    yield tag("h4", f"MAE. {heading(summary['sets'][0])}")
    yield tag("figure", Html(errors(summary["sets"][0])), class_="wide")
    rows = [
        [name, *(_ranged(cell.strip("*") if cell.startswith("**") else cell) for cell in cells)]
        for part in summary["sets"]
        for name, *cells in beta_rows(part, summary["reference"])
    ]
    yield table(["MAE", *(f"β = {beta:g}" for beta in summary["betas"])], rows, kind="wide")


def _tracks(tracks: Mapping[str, Sequence[Shown]]) -> Iterator[Html]:
    known = {column for shown in tracks.values() for track in shown for column in track.columns}
    if not known:
        return
    yield tag("h2", "Tracks", id="tracks")
    yield tag(
        "p",
        "Each area is a class's share of the mixture, over the classes that the corpus knows; together they are 1. "
        "Dotted lines stand where the truth changes. MAE is that of the one track.",
    )
    items = (tag("li", Html(swatch(EMOTIONS[column])), EMOTIONS[column]) for column in sorted(known))
    yield tag("ul", *items, class_="legend")
    for name, shown in tracks.items():
        yield tag("h4", name)
        for track in shown:
            caption = tag("figcaption", track.name, " · ", tag("span", track.note, class_="range"))
            yield tag("figure", caption, Html(picture(track)), _player(track), class_="wide")


def _player(track: Shown) -> Html:
    if not track.audio:
        return Html()
    source = "data:audio/flac;base64," + base64.b64encode(track.audio).decode()
    return Html(f'<audio controls preload="metadata" src="{source}"></audio>')
