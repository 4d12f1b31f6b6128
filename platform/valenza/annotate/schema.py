"""What the page sends and what the server answers, each field bounded."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

WATCH_SHARE = 0.8
"""Share of each side that must have been played before a vote is taken."""
DAY = 86_400_000
Choice = Literal["left", "right", "tie", "cannot_tell"]
Answer = Literal["a", "b", "tie", "cannot_tell"]
Uuid = Annotated[
    str,
    Field(min_length=36, max_length=36, pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
]
"""Made by the page, so that a request sent twice counts once."""
Opaque = Annotated[str, Field(min_length=32, max_length=32, pattern=r"^[0-9a-f]{32}$")]
"""A name that is another for every annotator and tells nothing."""


class Body(BaseModel):
    """JSON that is taken as it is: no unknown keys, no numbers written as text, nothing infinite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Consent(Body):
    """The annotator agrees to take part and has heard the sound."""

    sound: Annotated[Literal[True], BeforeValidator(lambda value: value is True)]  # 1 equals True, and would pass


class Watched(Body):
    """Share of each side that was played."""

    left: Annotated[float, Field(ge=WATCH_SHARE, le=1)]
    right: Annotated[float, Field(ge=WATCH_SHARE, le=1)]


class Vote(Body):
    """What an annotator says of the pair before them."""

    id: Uuid
    pair: Opaque
    choice: Choice
    watched: Watched
    replays: Annotated[int, Field(ge=0, le=10_000)]
    milliseconds: Annotated[int, Field(ge=0, le=DAY)]
    """From the moment the pair was shown."""


class Undo(Body):
    """The annotator takes the last vote back."""

    id: Uuid


class Session(BaseModel):
    """Where an annotator stands."""

    annotator: str
    title: str
    consent: str
    consented: bool
    done: int
    total: int
    undoable: bool
    seconds_left: float | None
    watch_share: float = WATCH_SHARE


class Side(BaseModel):
    """A sequence: seconds, and the mixture at each."""

    times: list[float]
    mixtures: list[list[float]]


class Next(BaseModel):
    """The pair that an annotator is to judge."""

    pair: Opaque
    number: int
    seconds: float
    audio: Opaque
    left: Side
    right: Side


class Finished(BaseModel):
    """There is nothing more to judge."""

    finished: Literal[True] = True


class Accepted(BaseModel):
    """The vote is on disk."""

    accepted: Literal[True] = True
    done: int
    total: int


class Undone(BaseModel):
    """Whether there was a vote to take back; it is on disk."""

    undone: bool
    done: int
    total: int


class Alive(BaseModel):
    """The server answers."""

    ok: Literal[True] = True
