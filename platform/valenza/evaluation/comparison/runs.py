"""Reads the runs of a comparison, and refuses those that were not scored on the same clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from valenza.errors import UsageError
from valenza.evaluation.predictions import Answers, beside, read_predictions
from valenza.evaluation.results import read_results
from valenza.evaluation.schema import Results

_SHOWN = 3


@dataclass(frozen=True)
class Scored:
    """One run that was evaluated."""

    name: str
    results: Results
    answers: dict[str, Answers]


@dataclass(frozen=True)
class Model:
    """One or more runs of a model, which differ in their seed."""

    name: str
    runs: tuple[Scored, ...]


def read_model(word: str) -> Model:
    """Read `a` or `a,b,c`: run folders or results.json files; raises `UsageError` where one is not evaluated."""
    paths = [Path(part.strip()) for part in word.split(",") if part.strip()]
    if not paths:
        raise UsageError(f"{word!r} names no run")
    runs = tuple(_read(path) for path in paths)
    if len(runs) == 1:
        return Model(runs[0].name, runs)
    letters = zip(*(run.name for run in runs), strict=False)
    common = "".join(one[0] for one in takewhile(lambda one: len(set(one)) == 1, letters)).rstrip("-_.")
    return Model(f"{common or ', '.join(run.name for run in runs)} ({len(runs)} runs)", runs)


def read_models(words: Sequence[str]) -> list[Model]:
    """Read the models of a comparison; those with the same name are told apart by their place on the command line."""
    models = [read_model(word) for word in words]
    names = [model.name for model in models]
    return [
        Model(f"{model.name} #{place}", model.runs) if names.count(model.name) > 1 else model
        for place, model in enumerate(models, 1)
    ]


def common_corpora(models: Sequence[Model], wanted: Sequence[str]) -> list[str]:
    """Return the corpora to compare on; raises `UsageError` with a line for everything that runs do not share."""
    runs = [run for model in models for run in model.runs]
    reference = runs[0]
    corpora = list(wanted) or list(reference.answers)
    problems = []
    for run in runs:
        if missing := [corpus for corpus in corpora if corpus not in run.answers]:
            problems.append(f"{run.name} was not scored on {', '.join(missing)}")
        if not wanted and (more := [corpus for corpus in run.answers if corpus not in corpora]):
            problems.append(f"{run.name} was scored on {', '.join(more)} too, unlike {reference.name}")
    if problems:
        raise UsageError("\n".join(problems) + "\nname what they share with --corpora, or evaluate them alike")
    for corpus in corpora:
        for run in runs[1:]:
            problems += _unlike(corpus, reference, run)
    if problems:
        raise UsageError("\n".join(problems) + "\na paired comparison needs the same clips with the same truth")
    return corpora


def _read(path: Path) -> Scored:
    file = path / "results.json" if path.is_dir() else path
    results = read_results(file)
    return Scored(results.run or path.stem, results, read_predictions(beside(file)))


def _unlike(corpus: str, reference: Scored, run: Scored) -> list[str]:
    """Say how a run's clips differ from the reference's."""
    one, other = reference.answers[corpus], run.answers[corpus]
    first, second = set(one.ids.tolist()), set(other.ids.tolist())
    if first != second:
        parts = [
            f"{len(clips)} that only {name} has ({_some(clips)})"
            for name, clips in ((reference.name, first - second), (run.name, second - first))
            if clips
        ]
        return [f"{corpus}: {reference.name} and {run.name} were scored on different clips: {' and '.join(parts)}"]
    if len(changed := one.ids[one.labels != other.labels]):
        told = _some(set(changed.tolist()))
        return [f"{corpus}: {reference.name} and {run.name} hold {len(changed)} clips to different labels ({told})"]
    if not np.array_equal(one.speakers, other.speakers):
        return [f"{corpus}: {reference.name} and {run.name} name different speakers"]
    return []


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
