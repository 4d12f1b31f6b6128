"""What a model card says of the scores of a run: a table to read, and the model-index that the hub reads."""

from collections.abc import Iterator

from huggingface_hub import EvalResult

from valenza.evaluation.results import percent, percent_interval
from valenza.evaluation.schema import CorpusResult, Group, Results

_METRICS: tuple[tuple[str, str, str, dict[str, str] | None], ...] = (
    ("micro_f1", "f1", "micro-F1", {"average": "micro"}),
    ("macro_f1", "f1", "macro-F1", {"average": "macro"}),
    ("ua", "recall", "UA (mean recall)", {"average": "macro"}),
    ("wa", "accuracy", "WA (accuracy)", None),
    ("ece", "ece", "expected calibration error", None),
)
"""Ours → the hub's metric, its name in the card, and how it averages."""


def index(results: Results) -> Iterator[EvalResult]:
    """Yield one result a metric of every corpus, and of each of its languages where there are several."""
    for name, corpus in results.corpora.items():
        whole = corpus.languages[0] if len(corpus.languages) == 1 else "all"
        yield from _entries(name, corpus, corpus, whole)
        if len(corpus.by_language) > 1:
            for language, group in corpus.by_language.items():
                yield from _entries(name, corpus, group, language)


def _entries(name: str, corpus: CorpusResult, group: Group, config: str) -> Iterator[EvalResult]:
    shown = "zero-shot" if corpus.zero_shot else "seen in training"
    for key, kind, title, arguments in _METRICS:
        value = getattr(group.metrics, key)
        if value is not None:
            yield EvalResult(
                task_type="audio-classification",
                task_name="Speech emotion recognition",
                dataset_type=name,
                dataset_name=f"{corpus.title or name} ({shown})",
                dataset_config=config,
                dataset_split=corpus.part or "all",
                metric_type=kind,
                metric_name=title,
                metric_value=round(value, 4),
                metric_args=arguments,
            )


def scores(results: Results) -> str:
    """Return the table, and what a reader must know about it."""
    lines = ["| corpus | language | | clips | speakers | micro-F1 [95 %] | macro-F1 | UA | ECE |",
             "|---|---|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for name, corpus in results.corpora.items():
        lines.append(_score(corpus.title or name, ", ".join(corpus.languages), corpus, corpus))
        if len(corpus.by_language) > 1:
            lines += [_score("", language, corpus, group) for language, group in corpus.by_language.items()]
        lines += [_score("", f"speakers {gender}", corpus, group) for gender, group in corpus.by_gender.items()]
    classes = "; ".join(f"{name}: {', '.join(corpus.classes)}" for name, corpus in results.corpora.items())
    said = results.evaluation
    heard = "with silence up to 30 s" if said.get("padding") == "window" else "at their own length"
    temperature = results.temperature
    fitted = temperature is not None and temperature.skipped is None
    calibrated = "Shares were calibrated on validation speakers." if fitted else "Shares are not calibrated."
    text = f"Per cent. Intervals resample speakers. Recordings were heard {heard}. Each corpus is scored over its own "
    text += f"classes alone ({classes}); `pipeline` does not know them, tells every emotion that training had, and "
    return "\n".join([*lines, "", f"{text}scores otherwise. {calibrated}"])


def _score(title: str, language: str, corpus: CorpusResult, group: Group) -> str:
    scores = group.metrics
    micro = f"{percent(scores.micro_f1)} {percent_interval(group.ci95.get('micro_f1'))}".strip()
    shown = "zero-shot" if corpus.zero_shot else "seen"
    told = [micro, percent(scores.macro_f1), percent(scores.ua), percent(scores.ece)]
    return "| " + " | ".join([title, language, shown, f"{group.clips:,}", str(group.speakers), *told]) + " |"
