"""What results.json holds. Keys that are not named here are kept, so that an older reader shows a newer file."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A score; null where it does not exist, because NaN is not JSON."""
Interval = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Metrics(_Part):
    """Scores between 0 and 1; null where there is nothing to average."""

    micro_f1: Number
    macro_f1: Number
    ua: Number
    wa: Number
    ece: Number


class Variant(_Part):
    """The same clips under another choice of frames or prior."""

    metrics: Metrics
    ci95: dict[str, Interval] = {}


class Reference(_Part):
    """What a baseline scores on some clips."""

    micro_f1: Number


class Baseline(Reference):
    """What a baseline scores on the corpus, and how much better the model is."""

    macro_f1: Number = None
    ua: Number = None
    wa: Number = None
    gain: Number = None
    """The model's micro-F1 minus this one's."""
    gain_ci95: Interval | None = None
    by_language: dict[str, Reference] = {}
    layer: int | None = None
    """Which layer the frozen probe reads."""
    chosen_on_held_out: str | None = None
    """What was held out of training to choose it."""


class Group(_Part):
    """Scores on some of a corpus's clips."""

    clips: int
    speakers: int
    metrics: Metrics
    ci95: dict[str, Interval] = {}


class Bin(_Part):
    """Predictions of about the same confidence."""

    clips: int
    confidence: float
    accuracy: float


class CorpusResult(_Part):
    """Scores on one corpus."""

    title: str = ""
    zero_shot: bool
    languages: list[str]
    clips: int
    """Scored ones."""
    left_out: int = 0
    """Clips without one label to be scored against."""
    speakers: int
    classes: list[str]
    metrics: Metrics
    ci95: dict[str, Interval] = {}
    ci95_reason: str | None = None
    """Why there is no interval."""
    per_class_f1: dict[str, Number]
    confusion: list[list[int]]
    """Rows are the truth, columns the prediction, both in the order of `classes`."""
    by_language: dict[str, Group] = {}
    by_gender: dict[str, Group] = {}
    reliability: list[Bin] = []
    variants: dict[str, Variant] = {}
    """`masked` or `unmasked` frames, `adjusted` by the training prior or `raw`."""
    baselines: dict[str, Baseline] = {}


class Results(_Part):
    """The whole of results.json."""

    format: Literal[1]
    checkpoint: str
    run: str = ""
    prior: dict[str, float] | None = None
    """Of the training targets."""
    corpora: dict[str, CorpusResult] = Field(min_length=1)
