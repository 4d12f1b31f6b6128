"""What results.json holds. Keys that are not named here are kept, so that an older reader shows a newer file."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from valenza.evaluation.bootstrap import Resampled


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
    """Calibration error over 15 bins of equal width."""
    ece_adaptive: Number = None
    """The same over 15 bins of equally many clips."""


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
    ci95: dict[str, Interval] = {}
    layer: int | None = None
    """Which layer a probe reads."""
    chosen_on_held_out: str | None = None
    """What was held out of training to choose it."""
    flattered: bool = False
    """Whether the layer was chosen on the scored clips themselves."""


class Group(_Part):
    """Scores on some of a corpus's clips."""

    clips: int
    speakers: int
    metrics: Metrics
    ci95: dict[str, Interval] = {}
    resampled: Resampled = "speakers"
    """What the intervals drew again: recordings or clips where there is one speaker."""
    ci95_reason: str | None = None
    """Why there is no interval, or why it is narrower than it seems."""


class Bin(_Part):
    """Predictions of about the same confidence."""

    clips: int
    confidence: float
    accuracy: float


class Errors(_Part):
    """How far confidence is from accuracy."""

    ece: Number
    ece_adaptive: Number


class Calibration(_Part):
    """Calibration errors before and after the temperature."""

    temperature: float
    in_sample: bool = False
    """Whether some of the scored clips are those that the temperature was fitted to."""
    before: Errors
    after: Errors


class Soft(_Part):
    """How near the predicted distributions are to the annotators'."""

    clips: int
    left_out: int
    classes: list[str]
    cross_entropy: Number = None
    """In nats."""
    js_divergence: Number = None
    """In bits: 0 for equal distributions, 1 for disjoint ones."""
    annotated_entropy: Number = None
    """The least that the cross-entropy could be."""
    ci95: dict[str, Interval] = {}


class Temperature(_Part):
    """What logits are divided by, fitted to validation speakers."""

    value: float
    clips: int = 0
    speakers: int = 0
    corpora: list[str] = []
    skipped: str | None = None
    """Why there is none."""


class CorpusResult(Group):
    """Scores on one corpus."""

    title: str = ""
    zero_shot: bool
    part: Literal["all", "validation", "test"] | None = None
    """Which part of the corpus was scored; `all` of one that was not trained on."""
    languages: list[str]
    left_out: int = 0
    """Clips of that part without one label to be scored against."""
    classes: list[str]
    per_class_f1: dict[str, Number]
    confusion: list[list[int]]
    """Rows are the truth, columns the prediction, both in the order of `classes`."""
    by_language: dict[str, Group] = {}
    by_gender: dict[str, Group] = {}
    by_speaker: dict[str, Group] = {}
    calibration: Calibration | None = None
    reliability: list[Bin] = []
    """Of the probabilities as reported."""
    reliability_before: list[Bin] = []
    """Of those without a temperature."""
    soft: Soft | None = None
    variants: dict[str, Variant] = {}
    """`masked` or `unmasked` frames, `adjusted` by the training prior or `raw`."""
    baselines: dict[str, Baseline] = {}


class DomainProbe(_Part):
    """How well a fresh linear probe tells where clips of the training corpora come from."""

    accuracy: float
    ua: float
    majority: float
    classes: int
    clips: int


class Results(_Part):
    """The whole of results.json."""

    format: Literal[1]
    checkpoint: str
    run: str = ""
    prior: dict[str, float] | None = None
    """Of the training targets."""
    temperature: Temperature | None = None
    evaluation: dict[str, Any] = {}
    """The settings that it was scored with."""
    domain_probe: dict[str, DomainProbe] = {}
    """Of corpus, speaker and language, on what the emotion head reads."""
    corpora: dict[str, CorpusResult] = Field(min_length=1)
