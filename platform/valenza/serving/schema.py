"""What clients send and what the server answers, each field bounded."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.taxonomy import Emotion
from valenza.timeline.post import Post

RATES = (8_000, 96_000)
"""Lowest and highest sample rate of a stream."""


class PostSettings(BaseModel):
    """Post-processing of a stream's mixtures; see `valenza.timeline.post.Post`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    contrast: Annotated[float, Field(ge=0.1, le=10)] = 1.0
    top: Annotated[int, Field(ge=1, le=8)] | None = None
    smoothing: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Seconds."""

    def post(self) -> Post:
        """Return what does it."""
        return Post(self.contrast, self.top, self.smoothing)


class Settings(BaseModel):
    """The first message of a stream, where it is text; any of its keys may be left out."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    rate: Annotated[int, Field(ge=RATES[0], le=RATES[1])] = SAMPLE_RATE
    """Of the samples that follow."""
    ban: Annotated[list[Emotion], Field(max_length=7)] = []
    """Emotions that are not to be told; the others share what theirs was."""
    post: PostSettings | None = None


class Mixture(BaseModel):
    """The emotions of a whole recording."""

    file: str
    duration: float
    """Seconds."""
    emotion: Emotion
    """The likeliest."""
    share: float
    """Of that."""
    shares: dict[Emotion, float]
    """Of each emotion; they sum to 1."""


class Stretch(BaseModel):
    """A stretch of a recording with one emotion."""

    start: float
    end: float
    label: str
    share: float


class Recording(BaseModel):
    """Emotions over time."""

    name: str
    duration: float
    classes: list[str]
    times: list[float]
    mixtures: list[list[float]]
    concentration: list[float] | None = None
    segments: list[Stretch]


class Timelines(BaseModel):
    """The document that `valenza predict --timeline` writes too."""

    format: Literal[1]
    recordings: list[Recording]


class Known(BaseModel):
    """What is known of the model."""

    name: str
    emotions: list[Emotion]
    """Those that it can tell."""
    classes: list[Emotion]
    """The order of every mixture."""
    colours: dict[Emotion, str]
    """As the page draws them: red, green and blue as #rrggbb."""
    sample_rate: int
    framewise: bool
    """Whether it was trained to follow emotions over time."""
    longest: float
    """Seconds that it hears at once."""
    latency: float
    """Seconds of audio that a stream waits for before it tells a moment, at most."""
    details: dict[str, str]
    """Where it comes from, its licences and its limits."""


class Alive(BaseModel):
    """The server answers."""

    ok: Literal[True] = True
    streams: int
    """Open now."""
    room: int
    """Streams that may still be opened."""


class Ready(BaseModel):
    """The first message that a stream's client is sent."""

    type: Literal["ready"] = "ready"
    classes: list[Emotion]
    emotions: list[Emotion]
    latency: float
