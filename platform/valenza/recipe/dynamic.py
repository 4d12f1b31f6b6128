"""A study of emotion over time, whole: four stages, two heads, several seeds, and the tracks that judge them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from valenza.config import Problem, Settings
from valenza.recipe.augment import Augment
from valenza.recipe.network import Encoder, Heads
from valenza.recipe.objective import Objective
from valenza.recipe.shares import Share
from valenza.recipe.training import Training
from valenza.recipe.whole import head_problems

Head = Literal["cross_entropy", "dirichlet"]
HEADS: tuple[Head, ...] = ("cross_entropy", "dirichlet")


class Speakers(Settings):
    """How many speakers of a corpus no stage learns from."""

    test: NonNegativeInt = 0
    """Their tracks are scored."""
    preferences: NonNegativeInt = 0
    """Their tracks are judged, so that what is preferred is not what the stages before have learned by heart. What the
    teacher hears in them, the student learns, without any label."""


class Tracks(Settings):
    """Joined tracks of one speaker each (`valenza tracks make`)."""

    train: PositiveInt = 40
    preferences: PositiveInt = 20
    test: PositiveInt = 20
    """Of each speaker."""


class Learned(Settings):
    """What one of the two heads is trained with."""

    heads: Heads = Heads()
    objective: Objective = Objective()
    training: Training

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        yield from head_problems(raw)


class Stage(Settings):
    """A stage that is trained twice: with cross-entropy, and with a Dirichlet head."""

    encoder: Encoder
    augment: Augment = Augment()
    cross_entropy: Learned
    dirichlet: Learned

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        for name, emotion in zip(HEADS, ("softmax", "dirichlet"), strict=True):
            learned = raw.get(name)
            heads = learned.get("heads", {}) if isinstance(learned, Mapping) else None
            if isinstance(heads, Mapping) and heads.get("emotion", "softmax") != emotion:
                yield (name, "heads", "emotion"), f"it is what is trained with `emotion: {emotion}`"


class Window(Settings):
    """How the model of whole clips is slid, and how its labels are sharpened for the student."""

    window: Annotated[float, Field(gt=0, le=30)] = 1.4
    step: Annotated[float, Field(gt=0, le=30)] = 1.0
    temperature: PositiveFloat = 1.0
    """As in a recipe of stage `teacher`; the sliding window itself is scored as it is, and so sharpened beside it."""


class Annotator(Settings):
    """Candidates, pairs, and a simulated annotator who knows the truth of the tracks and errs."""

    k: PositiveInt = 5
    samples: NonNegativeInt = 1
    per_track: PositiveInt = 4
    pairs: PositiveInt | None = None
    """Pairs in all, those that differ most first; no limit where absent."""
    tracks: PositiveInt | None = None
    """Tracks in all, evenly from all speakers; every one where absent."""
    error_rate: Share = 0.15
    tie_zone: NonNegativeFloat = 0.005


class Tuned(Settings):
    """The tuning by preference."""

    beta: PositiveFloat = 0.5
    """Of the table of systems."""
    betas: tuple[PositiveFloat, ...] = (0.01, 0.1, 0.5, 10.0)
    """Of the table of strengths."""
    heads: Mapping[str, Any] = Field(default_factory=dict)
    """Changes to the student's, such as its dropout."""
    training: Training

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        betas, beta = raw.get("betas", (0.01, 0.1, 0.5, 10.0)), raw.get("beta", 0.5)
        if isinstance(betas, list | tuple) and beta not in betas:
            yield ("beta",), f"{beta} is not one of `betas`, with which it is compared"


class Race(Settings):
    """How the one pass is timed against the sliding window."""

    seconds: Annotated[float, Field(ge=5, le=30)] = 30.0
    rounds: Annotated[int, Field(ge=3)] = 15


class Dynamic(Settings):
    """Sliding window, student and tuned student on the same tracks (Fedorov & Korobchenko, tables 3 and 4)."""

    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)] = (7, 8, 9)
    shards: Path
    train: dict[str, PositiveFloat] = Field(min_length=1)
    """Corpus → how often each of its clips is seen in an epoch of the first stage."""
    unheard: tuple[str, ...] = ()
    """Corpora of languages that no stage hears; every speaker of them is scored."""
    speakers: dict[str, Speakers]
    """Training corpus → how many of its speakers are kept from training."""
    tracks: Tracks = Tracks()
    utterance: Stage
    teacher: Window = Window()
    student: Stage
    pairs: Annotator = Annotator()
    preference: Tuned
    race: Race = Race()

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        yield from _tuned_heads(raw)
        train, speakers = raw.get("train"), raw.get("speakers")
        if not isinstance(train, Mapping) or not isinstance(speakers, Mapping):
            return
        for corpus in speakers:
            if corpus not in train:
                yield ("speakers", corpus), f"{corpus} is not trained on, so none of its speakers is kept from it"
        kept = [v for v in speakers.values() if isinstance(v, Mapping)]
        if not any(v.get("preferences") for v in kept):
            yield ("speakers",), "no speaker's tracks are judged; give some corpus `preferences`"
        if not raw.get("unheard") and not any(v.get("test") for v in kept):
            yield ("speakers",), "nothing is scored: there is no `test` speaker and no `unheard` corpus"
        unheard = raw.get("unheard")
        for i, corpus in enumerate(unheard if isinstance(unheard, list | tuple) else ()):
            if isinstance(corpus, str) and corpus in train:
                yield ("unheard", i), f"{corpus} is trained on"


def _tuned_heads(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong in the changes to the heads of the student that is tuned, before anything is trained."""
    found: list[Mapping[str, Any]] = []
    for keys in (("student", "dirichlet", "heads"), ("preference", "heads")):
        here: Any = raw
        for key in keys:
            here = here.get(key, {}) if isinstance(here, Mapping) else {}
        found.append(here if isinstance(here, Mapping) else {})
    student, own = found
    for name in ("emotion", "projection"):
        if name in own and own[name] != student.get(name):
            yield ("preference", "heads", name), "is the student's, whose weights it starts with"
    try:
        Heads.model_validate({**student, **own})
    except ValidationError as error:
        for wrong in error.errors(include_url=False):
            if wrong["loc"] and wrong["loc"][0] in own:
                yield ("preference", "heads", *wrong["loc"]), wrong["msg"]
