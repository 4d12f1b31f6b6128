"""What a recipe says of its data."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from valenza.config import Problem, Settings
from valenza.place import PlaceSetting
from valenza.recipe.shares import Share


class Data(Settings):
    """Which corpora are seen, how often, and which are kept for the zero-shot score."""

    shards: PlaceSetting
    """A folder, or the s3://, gs:// or https:// address of one."""
    train: dict[str, PositiveFloat] = Field(min_length=1)
    """Corpus → how often each of its clips is seen in an epoch; .5 draws another half of them each time."""
    zero_shot: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    """Speakers, each as `corpus/speaker`, of whom nothing is trained on or validated by."""
    claim: Literal["cross_lingual", "cross_corpus"] = "cross_lingual"
    """What the zero-shot score is said to show. `cross_lingual` refuses a corpus whose language is trained on."""
    validation: Share = 0.05
    """Share of each training corpus, in whole speakers, kept for validation where it has no split of its own."""
    window_seconds: Annotated[float, Field(gt=0, le=30)] = 30.0
    fill: Annotated[float, Field(gt=0, le=1)] = 0.8
    """A window is full when this share of it is speech (Osman et al. 2023, Algorithm 1)."""
    lanes: PositiveInt = 1
    """Sequences of blocks that windows are taken from in turn. Where the processes divide them, each reads its own
    lanes only. The order of windows depends on them, and never on the number of processes."""
    block_hours: PositiveFloat | None = None
    """Hours of shards that windows are planned in at once; a lane is one block where absent, and with one lane the
    whole epoch is."""
    bad_clips: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """Share of the training clips that may be damaged: they are silent, listed, and count for nothing; with more, the
    run stops. At 0 it stops at the first."""
    labels: Literal["soft", "hard"] = "soft"
    """`hard` keeps a clip's highest score alone (or what share it), as a comparison for soft labels."""
    smoothing: Literal["none", "paper", "neutral_only"] = "paper"
    """How the targets of weak clips are drawn towards neutral, corpus by corpus (Osman et al. 2023, §2.2): `paper` by
    the formula as printed, `neutral_only` by what its text asks for. What a clip is scored by is never smoothed."""

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        train, zero_shot, aside = raw.get("train"), raw.get("zero_shot"), raw.get("aside")
        if isinstance(train, Mapping) and isinstance(aside, list):
            for i, speaker in enumerate(aside):
                if isinstance(speaker, str) and speaker.partition("/")[0] not in train:
                    yield ("aside", i), f"{speaker}: expected `corpus/speaker`, of a corpus that is trained on"
        if isinstance(train, Mapping) and isinstance(zero_shot, list):
            for i, corpus in enumerate(zero_shot):
                if isinstance(corpus, str) and corpus in train:
                    yield ("zero_shot", i), f"{corpus} is trained on, so a score on it is not zero-shot"
