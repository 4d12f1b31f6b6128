"""What a check of a corpus found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from valenza.corpora.parse import Problem


@dataclass(frozen=True)
class LabelCount:
    """How much speech carries one native label."""

    native: str
    meaning: Mapping[str, float]
    """Target → weight; empty for labels that are left out."""
    clips: int
    speakers: int
    hours: float
    listed: bool = True
    """Whether the manifest knows the label."""


@dataclass(frozen=True)
class Report:
    """What `corpus check` found; the corpus can be used when `errors` is empty."""

    corpus: str
    root: str
    clips: int
    speakers: int
    recordings: int
    hours: float
    durations: tuple[float, float, float]
    """Shortest, median and longest clip in seconds."""
    languages: Mapping[str, int]
    """This and the following: value → clips."""
    genders: Mapping[str, int]
    splits: Mapping[str, int]
    rates: Mapping[str, int]
    channels: Mapping[str, int]
    containers: Mapping[str, int]
    labels: Sequence[LabelCount]
    ignored: int
    not_audio: Mapping[str, int]
    release: str | None
    """Which of the manifest's expected figures fit; `published` where it names none."""
    errors: Sequence[Problem]
    notes: Sequence[Problem]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return asdict(self)
