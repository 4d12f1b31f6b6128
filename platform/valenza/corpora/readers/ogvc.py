"""OGVC's natural dialogues: where utterances are, what three labellers heard, and how strong 18 raters found it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from valenza.corpora.rows import Row, Source
from valenza.errors import DataError

EMOTIONS = ("JOY", "ACC", "FEA", "SUR", "SAD", "DIS", "ANG", "ANT", "NEU", "OTH")
_HIGHEST = 5.0
Utterance = tuple[str, str]
"""The recording's stem and the utterance's number."""


def rows(source: Source) -> Iterator[Row]:
    """Yield `file`, `number`, `start` and `end` in seconds, `text`, `label`, and what each emotion scores.

    Reads one file of `trans` (number, start, end, text) with category.txt and intensity.txt of `eval` beside it. An
    emotion scores the share of the labellers who heard it × its mean intensity of 5; neutral, and what was not rated
    for its intensity, scores the share alone. `label` is `unlabelled` where category.txt does not name the utterance.
    """
    recording = source.path.stem
    heard, strength = _heard(source), _strength(source)
    for number, line in source.lines():
        if not line.strip():
            continue
        cells = _fields(line, 4)
        if len(cells) < 3:
            yield Row(
                number, {"file": recording}, fault=f"expected number, start, end and text, found {line.strip()!r}"
            )
            continue
        utterance = (recording, cells[0].lstrip("0") or "0")
        votes = heard.get(utterance, Counter())
        scores = {emotion: _score(utterance, emotion, votes, strength) for emotion in EMOTIONS}
        told = {"number": cells[0], "start": cells[1], "end": cells[2], "text": cells[3] if len(cells) > 3 else ""}
        label = "" if votes else "unlabelled"
        yield Row(
            number,
            {"file": recording, **told, "label": label, **{e: f"{s:.6g}" if s else "" for e, s in scores.items()}},
        )


def _score(
    utterance: Utterance, emotion: str, votes: Counter[str], strength: Mapping[Utterance, Mapping[str, float]]
) -> float:
    if not votes[emotion]:
        return 0.0
    rated = strength.get(utterance, {})
    # an utterance is rated for the emotion that most labellers heard; the others are taken to be as strong
    factor = 1.0 if emotion == "NEU" or not rated else rated.get(emotion, sum(rated.values()) / len(rated))
    return votes[emotion] / votes.total() * factor


def _heard(source: Source) -> dict[Utterance, Counter[str]]:
    heard: dict[Utterance, Counter[str]] = {}
    for place, utterance, cells in _judgements(source, "category.txt", needed=True):
        strange = [cell for cell in cells if cell and cell not in EMOTIONS]
        if strange:
            raise DataError(f"{place}: {strange[0]!r} is none of {', '.join(EMOTIONS)}")
        heard[utterance] = Counter(cell for cell in cells if cell)
    return heard


def _strength(source: Source) -> dict[Utterance, dict[str, float]]:
    strength: dict[Utterance, dict[str, float]] = defaultdict(dict)
    for place, utterance, (emotion, *marks) in _judgements(source, "intensity.txt", needed=False):
        try:
            values = [float(mark) for mark in marks if mark]
        except ValueError:
            raise DataError(f"{place}: expected numbers after {emotion}, found {','.join(marks)!r}") from None
        if values:
            strength[utterance][emotion] = sum(values) / len(values) / _HIGHEST
    return strength


def _judgements(source: Source, name: str, *, needed: bool) -> Iterator[tuple[str, Utterance, list[str]]]:
    path: Path = source.path.parent.parent / "eval" / name
    if not path.is_file():
        if needed:
            raise DataError(f"{source.name}: needs eval/{name} beside its folder")
        return
    for number, line in Source(path, f"eval/{name}", source.table).lines():
        if not line.strip():
            continue
        file, utterance, *cells = [cell.strip() for cell in line.split(",")] + [""] * (line.count(",") == 0)
        if not cells:
            raise DataError(f"eval/{name}:{number}: expected file, utterance and judgements, found {line.strip()!r}")
        stem = file.removesuffix(".wav").removesuffix(".txt")
        # the header, if the copy has one, names no utterance
        if utterance.isdecimal():
            yield f"eval/{name}:{number}", (stem, utterance.lstrip("0") or "0"), cells


def _fields(line: str, count: int) -> list[str]:
    """Split at tabs, else at commas, else at spaces; the text keeps what is left of the line."""
    mark = "\t" if "\t" in line else "," if "," in line else None
    return [cell.strip() for cell in line.strip().split(mark, count - 1)]
