"""The part of the report that goes corpus by corpus: confusion, calibration, baselines and groups."""

from collections.abc import Iterator

from valenza.evaluation.charts import calibration
from valenza.evaluation.markup import Html, count, join, score, table, tag, title
from valenza.evaluation.results import BASELINES, percent
from valenza.evaluation.schema import CorpusResult, Metrics, Results

_DARK = 0.7
"""Share from which a cell is dark enough for white letters."""


def corpus_pages(results: Results) -> Iterator[Html]:
    """Yield a card for each corpus."""
    yield tag("h2", "Corpus by corpus", id="corpora")
    yield tag("p", "Each cell of a confusion matrix is the share of its row in per cent, above the number of clips.")
    for name, corpus in results.corpora.items():
        facts = [name, count(corpus.clips, "clip", "clips"), count(corpus.speakers, "speaker", "speakers")]
        if corpus.left_out:
            facts.append(f"{corpus.left_out:,} left out for want of a single label")
        pictures = [tag("div", _confusion(corpus), class_="scroll"), *_calibration(corpus)]
        parts = [*_baselines(corpus), *_groups(corpus), *_variants(corpus)]
        yield tag(
            "section",
            tag("h3", title(name, corpus)),
            tag("p", " · ".join(facts), class_="soft"),
            tag("div", *pictures, class_="pair"),
            *parts,
            class_="corpus",
        )


def _confusion(corpus: CorpusResult) -> Html:
    totals = [tag("th", text, scope="col", class_="total") for text in ("Clips", "F1")]
    head = tag("tr", tag("td"), *(tag("th", name, scope="col") for name in corpus.classes), *totals)
    rows = []
    for i, (name, row) in enumerate(zip(corpus.classes, corpus.confusion, strict=True)):
        cells = [_cell(number, sum(row), right=i == j) for j, number in enumerate(row)]
        ends = [tag("td", text, class_="total") for text in (f"{sum(row):,}", percent(corpus.per_class_f1.get(name)))]
        rows.append(tag("tr", tag("th", name, scope="row"), *cells, *ends))
    caption = tag("caption", "Truth in rows, prediction in columns")
    return tag("table", caption, tag("thead", head), tag("tbody", *rows), class_="confusion")


def _cell(number: int, total: int, *, right: bool) -> Html:
    share = number / total if total else 0.0
    kind = " ".join(name for name, holds in (("dark", share > _DARK), ("right", right)) if holds)
    style = f"background: rgba(var(--heat), {0.05 + 0.95 * share:.2f})"
    return tag("td", f"{100 * share:.0f}", tag("small", f"{number:,}"), class_=kind, style=style)


def _calibration(corpus: CorpusResult) -> Iterator[Html]:
    if corpus.reliability:
        points = [(bin_.clips, bin_.confidence, bin_.accuracy) for bin_ in corpus.reliability]
        said = ", ".join(f"{100 * right:.0f} % right at {100 * sure:.0f} %" for _, sure, right in points)
        picture = Html(calibration(points, alt=f"Accuracy by confidence: {said}"))
        yield tag("figure", tag("figcaption", "Accuracy by confidence, %"), picture)


def _baselines(corpus: CorpusResult) -> Iterator[Html]:
    rows = []
    for key in BASELINES:
        if (baseline := corpus.baselines.get(key)) is None:
            continue
        layer = "" if baseline.layer is None else f"layer {baseline.layer}"
        if layer and baseline.chosen_on_held_out:
            layer += f", chosen by holding out one training {baseline.chosen_on_held_out} at a time"
        name = join(BASELINES[key], " ", tag("span", layer, class_="range"))
        sign = "+" if (baseline.gain or 0) > 0 else ""
        gain = join(sign, score(baseline.gain, baseline.gain_ci95))
        rows.append([name, percent(baseline.micro_f1), gain])
    if rows:
        yield tag("h4", "Against the baselines, micro-F1")
        yield table(["Baseline", "Score", "The model is better by"], rows)


def _groups(corpus: CorpusResult) -> Iterator[Html]:
    groups = [(f"Language {key}", group) for key, group in corpus.by_language.items() if len(corpus.by_language) > 1]
    groups += [(_GENDERS.get(key, f"Gender {key}"), group) for key, group in corpus.by_gender.items()]
    if groups:
        yield tag("h4", "Groups of speakers")
        rows = [
            [
                name,
                f"{g.clips:,}",
                f"{g.speakers:,}",
                score(g.metrics.micro_f1, g.ci95.get("micro_f1")),
                *_others(g.metrics),
            ]
            for name, g in groups
        ]
        yield table(["Group", "Clips", "Speakers", "Micro-F1", "Macro-F1", "UA", "ECE"], rows)


_GENDERS = {"F": "Female voices", "M": "Male voices", "O": "Other voices", "unknown": "Gender unknown"}


def _variants(corpus: CorpusResult) -> Iterator[Html]:
    if corpus.variants:
        yield tag("h4", "Other means and adjustments")
        rows = [
            [_VARIANTS.get(key, key), score(v.metrics.micro_f1, v.ci95.get("micro_f1")), *_others(v.metrics)]
            for key, v in corpus.variants.items()
        ]
        yield table(["Mean over", "Micro-F1", "Macro-F1", "UA", "ECE"], rows)


_VARIANTS = {
    "masked_adjusted": "the clip's frames, adjusted by the training prior",
    "masked_raw": "the clip's frames, not adjusted",
    "unmasked_adjusted": "the padded window, adjusted by the training prior",
    "unmasked_raw": "the padded window, not adjusted",
}


def _others(metrics: Metrics) -> list[str]:
    return [percent(value) for value in (metrics.macro_f1, metrics.ua, metrics.ece)]
