"""The part of the report that goes corpus by corpus: confusion, calibration, baselines and groups."""

from collections.abc import Iterator, Sequence

from valenza.evaluation.page.charts import calibration
from valenza.evaluation.page.markup import Html, count, join, score, table, tag, title
from valenza.evaluation.results import BASELINES, percent
from valenza.evaluation.schema import CorpusResult, Group, Metrics, Results

_DARK = 0.7
"""Share from which a cell is dark enough for white letters."""


def corpus_pages(results: Results) -> Iterator[Html]:
    """Yield a card for each corpus."""
    yield tag("h2", "Corpus by corpus", id="corpora")
    yield tag("p", "Each cell of a confusion matrix is the share of its row in per cent, above the number of clips.")
    for name, corpus in results.corpora.items():
        facts = [name, count(corpus.clips, "clip", "clips"), count(corpus.speakers, "speaker", "speakers")]
        if not corpus.zero_shot and corpus.part is not None:
            facts.append(f"its {corpus.part} part; the rest was trained on")
        if corpus.left_out:
            facts.append(f"{corpus.left_out:,} left out for want of a single label")
        confusion = tag("div", _confusion(corpus), class_="scroll")
        pictures = tag("div", *_calibration(corpus), class_="pair")
        parts = [*_baselines(corpus), *_groups(corpus), *_soft(corpus), *_variants(corpus)]
        yield tag(
            "section",
            tag("h3", title(name, corpus)),
            tag("p", " · ".join(facts), class_="soft"),
            confusion,
            pictures,
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
    """Yield a reliability diagram for the reported probabilities, and one without the temperature if there is one."""
    tempered = corpus.calibration is not None and corpus.calibration.temperature != 1
    reported = "as reported"
    if corpus.calibration and corpus.calibration.in_sample:
        reported += " (temperature fitted to some of these clips)"
    diagrams = [(reported, corpus.reliability, corpus.calibration and corpus.calibration.after)]
    if tempered and corpus.calibration:
        diagrams.insert(0, ("without temperature", corpus.reliability_before, corpus.calibration.before))
    for what, bins, errors in diagrams:
        if not bins:
            continue
        points = [(bin_.clips, bin_.confidence, bin_.accuracy) for bin_ in bins]
        said = ", ".join(f"{100 * right:.0f} % right at {100 * sure:.0f} %" for _, sure, right in points)
        picture = Html(calibration(points, alt=f"Accuracy by confidence, {what}: {said}"))
        parts = [tag("span", f"Accuracy by confidence, {what}")]
        if errors:
            told = f"ECE {percent(errors.ece)}, with equal bins of clips {percent(errors.ece_adaptive)}"
            parts += [Html("<br>"), tag("span", told, class_="range")]
        yield tag("figure", tag("figcaption", *parts), picture)


def _soft(corpus: CorpusResult) -> Iterator[Html]:
    """Yield how near the distributions are, in a sentence and two figures."""
    soft = corpus.soft
    if soft is None or soft.cross_entropy is None:
        return
    yield tag("h4", "Predicted and annotated distributions")
    rows = [
        ["Cross-entropy, nats", _plain(soft.cross_entropy, soft.ci95.get("cross_entropy"))],
        ["of which the annotators' own entropy", _plain(soft.annotated_entropy, None)],
        ["Jensen-Shannon divergence, bits", _plain(soft.js_divergence, soft.ci95.get("js_divergence"))],
    ]
    yield table(["", count(soft.clips, "clip", "clips")], rows)


def _plain(value: float | None, bounds: tuple[float, float] | None) -> Html:
    """Return a figure that is no share, with its interval."""
    text = "–" if value is None else f"{value:.3f}"
    return join(text, " ", tag("span", f"[{bounds[0]:.3f}, {bounds[1]:.3f}]", class_="range")) if bounds else join(text)


def _baselines(corpus: CorpusResult) -> Iterator[Html]:
    rows = []
    for key in BASELINES:
        if (baseline := corpus.baselines.get(key)) is None:
            continue
        layer = "" if baseline.layer is None else f"layer {baseline.layer}"
        if layer and baseline.chosen_on_held_out:
            layer += f", chosen by holding out one training {baseline.chosen_on_held_out} at a time"
        if layer and baseline.flattered:
            layer += ", chosen on these very clips: flattered on purpose"
        name = join(BASELINES[key], " ", tag("span", layer, class_="range"))
        sign = "+" if (baseline.gain or 0) > 0 else ""
        gain = join(sign, score(baseline.gain, baseline.gain_ci95))
        figures = [score(baseline.micro_f1, baseline.ci95.get("micro_f1")), percent(baseline.macro_f1)]
        rows.append([name, *figures, percent(baseline.ua), gain])
    if rows:
        yield tag("h4", "Baselines")
        yield table(["Baseline", "Micro-F1", "Macro-F1", "UA", "The model's micro-F1 is better by"], rows)


def _groups(corpus: CorpusResult) -> Iterator[Html]:
    groups = [(f"Language {key}", group) for key, group in corpus.by_language.items() if len(corpus.by_language) > 1]
    groups += [(_GENDERS.get(key, f"Gender {key}"), group) for key, group in corpus.by_gender.items()]
    if groups:
        yield tag("h4", "Groups of speakers")
        yield _group_table(groups)
    if len(corpus.by_speaker) > 1:
        kinds = sorted({group.resampled for group in corpus.by_speaker.values()})
        note = f"Each interval resamples one speaker's {' or '.join(kinds)}, and says nothing of other voices."
        speakers = [(f"Speaker {key}", group) for key, group in _hardest_first(corpus)]
        summary = tag("summary", f"The {count(len(speakers), 'speaker', 'speakers')}, hardest first")
        yield tag("details", summary, tag("p", note, class_="soft"), _group_table(speakers))


def _hardest_first(corpus: CorpusResult) -> list[tuple[str, Group]]:
    return sorted(corpus.by_speaker.items(), key=lambda item: (item[1].metrics.micro_f1 or 0.0, item[0]))


def _group_table(groups: Sequence[tuple[str, Group]]) -> Html:
    rows = []
    for name, group in groups:
        scores = group.metrics
        cells = [
            score(value, group.ci95.get(key))
            for key, value in (("micro_f1", scores.micro_f1), ("macro_f1", scores.macro_f1), ("ua", scores.ua))
        ]
        who = f"{group.speakers:,}" if group.resampled == "speakers" else f"{group.speakers:,} (by {group.resampled})"
        rows.append([name, f"{group.clips:,}", who, *cells, percent(scores.ece)])
    return table(["Group", "Clips", "Speakers", "Micro-F1", "Macro-F1", "UA", "ECE"], rows)


_GENDERS = {"F": "Female voices", "M": "Male voices", "O": "Other voices", "unknown": "Gender unknown"}


def _variants(corpus: CorpusResult) -> Iterator[Html]:
    if corpus.variants:
        yield tag("h4", "Every mean and adjustment, without temperature")
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
