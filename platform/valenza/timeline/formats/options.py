"""What a writer may be told, and what writers share."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np
from jaxtyping import Int16

from valenza.errors import UsageError
from valenza.timeline.post import Audio2Emotion
from valenza.timeline.segments import USUAL, Segmenting
from valenza.timeline.timeline import Timeline

FASTEST = 1000
"""Frames a second."""


@dataclass(frozen=True, eq=False)
class Options:
    """Settings of all formats; each reads what concerns it. Raises `UsageError` for a rate that cannot be."""

    segmenting: Segmenting = USUAL
    """Of those that hold segments: json, textgrid, audacity, rttm."""
    rate: float | int | None = None
    """Frames a second, of those that hold curves; without it, csv and json have the moments as they are."""
    form: Literal["csv", "json", "yaml"] | None = None
    """Of those that have two: a2f (yaml, or json) and arkit (csv, or json)."""
    spelling: Literal["apple", "nvidia"] = "apple"
    """Of arkit: `browInnerUp`, or `BrowInnerUp` in the layout of NVIDIA's animation_frames.csv."""
    audio: Int16[np.ndarray, " samples"] | None = None
    """The recording at 16 kHz, which moves the mouth in arkit."""
    audio2emotion: Audio2Emotion | None = None
    """Of a2f: NVIDIA's post-processing, at `rate` where that is given; without it, an emotion's value is its share."""

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= FASTEST:
            raise UsageError(f"a frame rate is above 0 and at most {FASTEST}, not {self.rate:g}")


def legible(text: str) -> str:
    """Return text that UTF-8 can hold: file names may have bytes that are no letters."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: str) -> str:
    """Return text whose line breaks, tabs and other control characters are spaces."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in legible(text)).split())


def stem(name: str) -> str:
    """Return a recording's name without folders and ending."""
    return PurePath(name).stem


def resampled(timeline: Timeline, rate: float | int | None) -> Timeline:
    """Return a timeline at so many frames a second, or as it is."""
    return timeline if rate is None else timeline.resample(rate)
