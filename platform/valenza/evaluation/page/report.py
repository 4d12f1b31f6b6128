"""report/index.html: one page about a run, with its pictures inside and nothing to fetch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from valenza.evaluation.page.charts import Bar, bars, shares
from valenza.evaluation.page.corpora import corpus_pages
from valenza.evaluation.page.history import learning_curves
from valenza.evaluation.page.markup import Html, count, html, legend, score, table, tag, title
from valenza.evaluation.page.shell import write_page
from valenza.evaluation.results import ALWAYS, BASELINES, finite, percent
from valenza.evaluation.schema import CorpusResult, Results


def write_report(
    results: Mapping[str, Any], run: Path, label_histograms: Mapping[str, Mapping[str, float]], out: Path
) -> None:
    """Write the page from results, and from `metrics.jsonl`, `recipe.yaml` and `environment.json` of the run folder.

    `label_histograms` says how many clips' worth of each class a corpus has, for those of training and of evaluation.
    Raises `WriteError`.
    """
    valid = Results.model_validate(finite(results))
    name = valid.run or run.resolve().name
    sections = [
        *_head(valid, name),
        *_headline(valid),
        *_by_corpus(valid),
        *_by_language(valid),
        *corpus_pages(valid),
        *_labels(valid, label_histograms),
        *learning_curves(run / "metrics.jsonl"),
        *_facts(run),
    ]
    write_page(name, sections, out)


def _head(results: Results, name: str) -> Iterator[Html]:
    corpora = results.corpora.values()
    zero_shot = sum(corpus.zero_shot for corpus in corpora)
    clips = count(sum(corpus.clips for corpus in corpora), "clip", "clips")
    scored = f"{clips} of {count(len(corpora), 'corpus', 'corpora')}, {zero_shot} zero-shot"
    yield tag("h1", name)
    yield tag("p", f"{results.checkpoint} · {scored}", class_="soft")
    places = {"scores": "Scores", "corpora": "Corpora", "labels": "Labels", "training": "Training", "run": "Run"}
    yield tag("nav", *(tag("a", text, href=f"#{place}") for place, text in places.items()))


def _headline(results: Results) -> Iterator[Html]:
    yield tag("h2", "Scores", id="scores")
    yield tag(
        "p",
        "In per cent. Intervals are 95 %, from drawing whole speakers again. With one label per clip, "
        "micro-F1 is accuracy. UA is the mean recall over classes. ECE is the calibration error, where less is better.",
    )
    yield from _temperature(results)
    shown = ALWAYS
    columns = ["Corpus", "Language", "Clips", "Speakers", "Micro‑F1", "Macro‑F1", "UA", "ECE"]
    columns += [BASELINES[name][0].upper() + BASELINES[name][1:] for name in shown]
    yield table(columns, [_headline_row(name, corpus, shown) for name, corpus in results.corpora.items()], kind="wide")
    for name, corpus in results.corpora.items():
        if corpus.ci95_reason:
            yield tag("p", f"{corpus.title or name}: {corpus.ci95_reason}.", class_="warn")


def _temperature(results: Results) -> Iterator[Html]:
    found = results.temperature
    if found is None:
        return
    if found.skipped:
        yield tag("p", f"No temperature: {found.skipped}.", class_="warn")
        return
    heard = (
        f"{count(found.clips, 'clip', 'clips')} of {count(found.speakers, 'validation speaker', 'validation speakers')}"
    )
    yield tag(
        "p",
        f"Logits are divided by a temperature of {found.value:.3f}, fitted to {heard} "
        f"({', '.join(found.corpora)}) and to nothing that is scored zero-shot. It changes no decision.",
        class_="soft",
    )


def _headline_row(name: str, corpus: CorpusResult, shown: Sequence[str]) -> list[str]:
    metrics = corpus.metrics
    references = [corpus.baselines[b].micro_f1 if b in corpus.baselines else None for b in shown]
    return [
        title(name, corpus),
        ", ".join(corpus.languages),
        f"{corpus.clips:,}",
        f"{corpus.speakers:,}",
        score(metrics.micro_f1, corpus.ci95.get("micro_f1"), strong=True),
        *(percent(value) for value in (metrics.macro_f1, metrics.ua, metrics.ece, *references)),
    ]


def _by_corpus(results: Results) -> Iterator[Html]:
    rows = [
        Bar(
            name,
            f"{', '.join(corpus.languages)} · {len(corpus.classes)} classes",
            corpus.metrics.micro_f1,
            corpus.ci95.get("micro_f1"),
            {key: baseline.micro_f1 for key, baseline in corpus.baselines.items()},
            "model" if corpus.zero_shot else "seen",
        )
        for name, corpus in results.corpora.items()
    ]
    yield tag("h4", "Micro-F1 by corpus, %")
    yield legend(seen=not all(corpus.zero_shot for corpus in results.corpora.values()))
    yield _figure("Micro-F1 by corpus", rows)


def _by_language(results: Results) -> Iterator[Html]:
    rows = [
        Bar(
            language,
            name,
            group.metrics.micro_f1,
            group.ci95.get("micro_f1"),
            _references(corpus, language),
            "model" if corpus.zero_shot else "seen",
        )
        for name, corpus in results.corpora.items()
        for language, group in corpus.by_language.items()
    ]
    if rows:
        yield tag("h4", "Micro-F1 by language, %")
        yield _figure("Micro-F1 by language", sorted(rows, key=lambda row: (row.label, row.note)))


def _references(corpus: CorpusResult, language: str) -> dict[str, float | None]:
    """Return the baselines on one language; those of the whole corpus where it has no other."""
    found = {key: b.by_language[language].micro_f1 for key, b in corpus.baselines.items() if language in b.by_language}
    alone = {key: b.micro_f1 for key, b in corpus.baselines.items()} if len(corpus.by_language) == 1 else {}
    return alone | found


def _figure(what: str, rows: Sequence[Bar]) -> Html:
    spoken = "; ".join(f"{row.label} ({row.note}) {percent(row.value)}" for row in rows)
    return tag("figure", Html(bars(rows, alt=f"{what}, per cent: {spoken}")), class_="wide")


def _labels(results: Results, histograms: Mapping[str, Mapping[str, float]]) -> Iterator[Html]:
    yield tag("h2", "Labels", id="labels")
    if not histograms:
        yield tag("p", "No label histograms were given.")
        return
    tick = " The tick is the training mixture's share, the prior that scores are adjusted by." if results.prior else ""
    yield tag("p", f"What share of a corpus's clips carries each class.{tick}")
    zero_shot = {name for name, corpus in results.corpora.items() if corpus.zero_shot}
    for heading, kind, inside in (("Zero-shot", "model", True), ("Training", "seen", False)):
        if names := [name for name in histograms if (name in zero_shot) == inside]:
            yield tag("h4", heading)
            yield tag("div", *(_histogram(results, n, histograms[n], kind) for n in names), class_="grid3")


def _histogram(results: Results, name: str, values: Mapping[str, float], kind: str) -> Html:
    label = (results.corpora[name].title if name in results.corpora else "") or name
    total = sum(values.values())
    spoken = ", ".join(f"{key} {100 * value / (total or 1.0):.0f} %" for key, value in values.items())
    clips = tag("span", count(round(total), "clip", "clips"), class_="range")
    picture = Html(shares(values, results.prior, kind=kind, alt=f"Labels of {label}: {spoken}"))
    return tag("figure", tag("figcaption", label, " ", clips), picture)


def _facts(run: Path) -> Iterator[Html]:
    yield tag("h2", "Run", id="run")
    recipe, environment = run / "recipe.yaml", run / "environment.json"
    if environment.is_file():
        try:
            rows = list(_flat(json.loads(environment.read_text(encoding="utf-8"))))
        except ValueError:
            rows = [("environment.json", "is not JSON")]
        yield tag("details", tag("summary", "Environment"), table([], rows, kind="facts"))
    if recipe.is_file():
        text = recipe.read_text(encoding="utf-8", errors="replace")
        yield tag("details", tag("summary", "Recipe"), tag("pre", html(text)))
    if not environment.is_file() and not recipe.is_file():
        yield tag("p", "The run folder has neither recipe.yaml nor environment.json.")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
