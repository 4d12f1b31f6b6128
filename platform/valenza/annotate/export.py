"""Votes as what others read: preferences for training, a log for analysis, tasks for Label Studio."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from valenza.annotate.answers import Answers, Cast, doubtful
from valenza.stages.pairs.folder import Candidate, Study
from valenza.stages.pairs.preferences import Ties, ranked
from valenza.stages.pairs.preferences import preferences as majority

LABEL_STUDIO = """<View>
  <Audio name="audio" value="$audio"/>
  <Text name="left" value="$left"/>
  <Text name="right" value="$right"/>
  <Pairwise name="preference" toName="left,right"/>
  <Choices name="neither" toName="audio"><Choice value="tie"/><Choice value="cannot_tell"/></Choices>
</View>
"""
"""The labelling interface of the tasks."""
LOG = (
    "seq", "at", "id", "annotator", "number", "pair", "kind", "track", "left", "right", "choice", "answer", "chosen",
    "watched_left", "watched_right", "replays", "milliseconds", "undone",
)  # fmt: skip


def kept(answers: Answers, min_catch: float | None = None) -> list[Cast]:
    """Return the votes on plain pairs that count, without those of annotators who failed catch trials."""
    out = set() if min_catch is None else set(doubtful(answers.standing, min_catch))
    return [vote for vote in answers.standing if vote.pair.kind == "plain" and vote.annotator not in out]


def preferences(study: Study, votes: Iterable[Cast], ties: Ties = "drop") -> list[dict[str, Any]]:
    """Return a preference for each pair that has a majority, as `stages.pairs.preferences` makes them of answers."""
    return [row.model_dump() for row in majority(study, ((vote.pair.id, vote.answer) for vote in votes), ties)]


def as_log(answers: Answers) -> str:
    """Return every vote as CSV, catch trials and votes taken back included, in the order in which they came."""
    out = io.StringIO()
    writer = csv.DictWriter(out, LOG, lineterminator="\n")
    writer.writeheader()
    for vote in answers.cast:
        pair = vote.pair
        left, right = (pair.a, pair.b) if vote.left_side == "a" else (pair.b, pair.a)
        told = {name: vars(vote)[name] for name in LOG if name in vars(vote)}
        seen = {"kind": pair.kind, "track": pair.track, "left": left, "right": right, "chosen": vote.chosen}
        writer.writerow(told | seen | {"pair": pair.id, "undone": int(vote.undone)})
    return out.getvalue()


def as_label_studio(study: Study, votes: Iterable[Cast]) -> list[dict[str, Any]]:
    """Return a task for each pair with an annotation for each vote, for the interface `LABEL_STUDIO`.

    Candidate a is always on the left there, whichever side an annotator saw it on.
    """
    by_pair: dict[str, list[Cast]] = defaultdict(list)
    for vote in votes:
        by_pair[vote.pair.id].append(vote)
    by_id = {pair.id: pair for pair in study.pairs}
    tasks = []
    for number, name in enumerate(sorted(by_pair), 1):
        pair = by_id[name]
        a, b = study.candidates[pair.a], study.candidates[pair.b]
        data = {
            "audio": study.tracks[pair.track].audio,
            "left": _words(study, a),
            "right": _words(study, b),
            "pair": name,
            "left_sequence": ranked(a).model_dump(),
            "right_sequence": ranked(b).model_dump(),
        }
        tasks.append({"id": number, "data": data, "annotations": [_annotation(vote) for vote in by_pair[name]]})
    return tasks


def _annotation(vote: Cast) -> dict[str, Any]:
    if vote.answer in ("a", "b"):
        said = {"from_name": "preference", "to_name": "preference", "type": "pairwise"}
        value: dict[str, Any] = {"selected": "left" if vote.answer == "a" else "right"}
    else:
        said = {"from_name": "neither", "to_name": "audio", "type": "choices"}
        value = {"choices": [vote.answer]}
    result = {"id": f"v{vote.seq}", **said, "value": value, "meta": {"text": [vote.annotator]}}
    return {"result": [result], "created_at": vote.at, "lead_time": vote.milliseconds / 1000, "ground_truth": False}


def _words(study: Study, candidate: Candidate) -> str:
    """Return the strongest emotion at each key, for people."""
    told = []
    for time, mixture in zip(candidate.times, candidate.mixtures, strict=True):
        strongest = max(range(len(mixture)), key=mixture.__getitem__)
        told.append(f"{time:.1f} s {study.classes[strongest]} {100 * mixture[strongest]:.0f} %")
    return " · ".join(told)
