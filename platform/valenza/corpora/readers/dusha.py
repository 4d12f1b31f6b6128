"""Dusha's raw markup: one row a judgement, gathered here into one row a clip."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from valenza.corpora.rows import Row, Source, text
from valenza.errors import DataError

EMOTIONS = ("angry", "sad", "neutral", "positive", "other")
_COLUMNS = ("hash_id", "annotator_emo", "golden_emo", "speaker_text", "source_id")


@dataclass(slots=True)
class _Clip:
    line: int
    speaker: str
    said: str
    votes: Counter[str] = field(default_factory=Counter)
    strange: str = ""


def rows(source: Source) -> Iterator[Row]:
    """Yield `hash_id`, `source_id`, `speaker_text`, `label`, and how many people judged the clip to be each emotion.

    Judgements of control tasks, whose right answer the annotator could be held against, do not count; `label` is
    `control` for a clip that has no others. Reads JSONL, or TSV by the file's extension.
    """
    clips: dict[str, _Clip] = {}
    for number, values in _judgements(source):
        clip = clips.setdefault(values["hash_id"], _Clip(number, values["source_id"], values["speaker_text"]))
        said = values["annotator_emo"]
        if values["golden_emo"] or not said:
            continue
        clip.votes[said] += 1
        if said not in EMOTIONS:
            clip.strange = f"line {number}: annotator_emo is {said!r}, none of {', '.join(EMOTIONS)}"
    for name, clip in clips.items():
        cells = {emotion: str(clip.votes[emotion]) for emotion in EMOTIONS}
        label = "" if clip.votes else "control"
        cells |= {"hash_id": name, "source_id": clip.speaker, "speaker_text": clip.said, "label": label}
        yield Row(clip.line, cells, fault=clip.strange)


def _judgements(source: Source) -> Iterator[tuple[int, dict[str, str]]]:
    lines = _separated(source) if source.path.suffix.lower() == ".tsv" else source.objects()
    for number, values in lines:
        missing = [column for column in _COLUMNS if column not in values]
        if missing:
            raise DataError(f"{source.name}:{number}: has no {', '.join(missing)}")
        yield number, {column: text(values[column]) for column in _COLUMNS}


def _separated(source: Source) -> Iterator[tuple[int, Mapping[str, object]]]:
    with source.path.open(encoding=source.encoding, newline="") as file:
        # transcripts hold single quotation marks, which are text here
        lines = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
        for values in lines:
            yield lines.line_num, values
