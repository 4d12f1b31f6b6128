"""THAI-SER's emotion_label.json: what each of 3 to 8 people heard in an utterance, one emotion or several."""

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from valenza.corpora.rows import Row, Source, text
from valenza.errors import DataError

EMOTIONS = ("Neutral", "Angry", "Happy", "Sad", "Frustrated", "Other")


def rows(source: Source) -> Iterator[Row]:
    """Yield `file` (without extension), `gender`, `label`, and each emotion's votes: a person's picks share one vote.

    `label` is `unlabelled` where nobody picked an emotion. Genders are from actor_demography.json, if it is there.
    """
    genders = _genders(source)
    for number, (name, entries) in enumerate(_object(source).items(), 1):
        file = PurePosixPath(name).stem
        try:
            votes = _votes(entries[0]["annotated"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            yield Row(number, {"file": file}, fault=f"{name}: expected annotated lists of emotions: {error}")
            continue
        actor = next((part[5:] for part in file.split("_") if part.startswith("actor")), "")
        cells = {emotion: f"{votes[emotion]:.6g}" if votes[emotion] else "" for emotion in EMOTIONS}
        label = "" if any(votes.values()) else "unlabelled"
        yield Row(number, {"file": file, "gender": genders.get(actor.lstrip("0"), ""), "label": label, **cells})


def _votes(annotated: list[list[str]]) -> dict[str, float]:
    votes = dict.fromkeys(EMOTIONS, 0.0)
    for picks in annotated:
        named = [pick.strip().capitalize() for pick in picks]
        named = [pick for pick in named if pick and pick != "None"]
        for pick in named:
            if pick not in EMOTIONS:
                raise ValueError(f"{pick!r} is none of {', '.join(EMOTIONS)}")
            votes[pick] += 1 / len(named)
    return votes


def _object(source: Source) -> Mapping[str, Any]:
    try:
        value = json.loads(source.path.read_text(encoding=source.encoding))
    except ValueError as error:
        raise DataError(f"{source.name}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{source.name}: expected one JSON object, file name → judgements")
    return value


def _genders(source: Source) -> dict[str, str]:
    path = source.path.with_name("actor_demography.json")
    if not path.is_file():
        return {}
    try:
        people = json.loads(path.read_text(encoding="utf-8"))["data"]
        return {text(person["Actor's ID"]).lstrip("0"): text(person["Sex"]) for person in people}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path.name}: expected data, a list of people with Actor's ID and Sex: {error!r}") from None
