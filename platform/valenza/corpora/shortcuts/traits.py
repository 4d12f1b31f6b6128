"""The numbers that labels are guessed from, and what to do when they tell."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from valenza.corpora.shortcuts.measure import Measured


@dataclass(frozen=True, slots=True)
class Trait:
    """One or two numbers about a clip from which its label may be guessed."""

    name: str
    values: Callable[[Measured], tuple[float, ...]]
    unit: str
    """Of the first number, as it is told; empty where its median says nothing."""
    advice: str


TRAITS = (
    Trait(
        "duration",
        lambda what: (float(np.log(what.duration)),),
        "s",
        "score windows that join clips, and put this figure beside any score on single clips",
    ),
    Trait(
        "level and peak",
        lambda what: (what.level, what.peak),
        "dB",
        "train with random gain and normalise what is scored, unless the loudness was calibrated",
    ),
    Trait(
        "duration and level",
        lambda what: (float(np.log(what.duration)), what.level),
        "",
        "a model must beat this figure before it has heard an emotion",
    ),
    Trait(
        "silence at either end",
        lambda what: (what.lead, what.trail),
        "s of it before the first sound",
        "trim every label's silence alike, or cut it at random in training",
    ),
    Trait(
        "noise floor",
        lambda what: (what.floor,),
        "dB",
        "find out whether labels were recorded in other rooms or cut more tightly; train with added noise",
    ),
    Trait(
        "bandwidth",
        lambda what: (what.band,),
        "Hz",
        "labels went through other microphones or codecs; low-pass all clips to the narrowest, or drop some",
    ),
    Trait(
        "offset and clipping",
        lambda what: (what.offset, float(np.log1p(what.flat))),
        "",
        "labels were recorded with other equipment or gain; remove the offset, and drop clips with flat tops",
    ),
)
