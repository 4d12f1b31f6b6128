"""A recording's emotions over time, in the hands of those who asked for them."""

from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float64, Int16

from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.sequences import FRAME_RATE, Sequence
from valenza.timeline.segments import USUAL, Segment, Segmenting, cells, cut, means

if TYPE_CHECKING:
    from valenza.timeline.post import Audio2Emotion

FRAME = 1 / FRAME_RATE
"""Seconds of a frame; `features.batch.FRAME` is its samples."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """Mixtures of emotions at moments of a recording; what is made of one is another, and it never changes.

    Between two moments a mixture moves in a straight line, and the ends are held, as `labels.sequences.Sequence` and
    Audio2Face have it. Raises `ValueError` for what cannot be.
    """

    times: Float64[np.ndarray, " keys"]
    """Seconds, rising: the moment that each mixture is of."""
    classes: tuple[str, ...]
    mixtures: Float64[np.ndarray, "keys classes"]
    """Shares, 0 to 1; each row sums to 1."""
    duration: float
    """Seconds of the recording. The middle of its last frame, of which only a part may be there, is not beyond it."""
    concentration: Float64[np.ndarray, " keys"] | None = None
    """How sure a Dirichlet head is of each mixture: the sum of α."""
    name: str = ""
    """The recording's file name."""

    def __post_init__(self) -> None:
        if not 0 < self.duration < float("inf"):
            raise ValueError(f"a recording lasts longer than 0 s and not for ever; this one {self.duration} s")
        if not len(self.times) or not np.isfinite(self.times).all():
            raise ValueError("a timeline has at least one moment, and each at a finite time")
        if self.times[0] < 0 or self.times[-1] > self.duration + FRAME:
            outside = self.times[0] if self.times[0] < 0 else self.times[-1]
            raise ValueError(f"a moment at {outside:g} s lies outside a recording of {self.duration:g} s")
        for field in ("times", "mixtures", "concentration"):
            if (values := getattr(self, field)) is not None:
                held = np.minimum(values, self.duration) if field == "times" else values.copy()
                held.flags.writeable = False
                object.__setattr__(self, field, held)
        if problem := self._sequence.problem(len(self.classes)):
            raise ValueError(problem)
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"each class has a name of its own; these are {', '.join(self.classes) or 'none'}")
        self._check_concentration()

    def _check_concentration(self) -> None:
        if (sure := self.concentration) is None:
            return
        if len(sure) != len(self.times):
            raise ValueError(f"{len(sure)} concentrations for {len(self.times)} moments")
        if not np.isfinite(sure).all() or (sure < 0).any():
            raise ValueError("a concentration is negative or not finite")

    @property
    def _sequence(self) -> Sequence:
        return Sequence(self.times, self.mixtures)

    def __repr__(self) -> str:
        average = np.diff(cells(self.times, self.duration)) @ self.mixtures
        mostly = self.classes[int(average.argmax())]
        return f"Timeline({self.name!r}, {self.duration:.2f} s, {len(self.times)} moments, mostly {mostly})"

    def at(self, times: float | int | Many[float] | np.ndarray) -> Float64[np.ndarray, "moments classes"]:
        """Return one mixture for each of these moments, in seconds."""
        return self._sequence.at(np.atleast_1d(np.asarray(times, np.float64)))

    def __getitem__(self, stretch: slice) -> "Timeline":
        """Return the part between two times in seconds, as a recording of its own that starts at 0.

        Negative times count from the end, and a stretch ends where the recording does. Raises `ValueError` for one
        that holds nothing.
        """
        if not isinstance(stretch, slice) or stretch.step is not None:
            raise TypeError("a timeline is cut by seconds, as in timeline[1.5:3.0]; timeline.at(1.5) is one mixture")
        start = self._place(stretch.start, 0.0)
        end = self._place(stretch.stop, self.duration)
        if not start < end:
            raise ValueError(f"{stretch.start} to {stretch.stop} s is no part of a recording of {self.duration:g} s")
        inside = self.times[(self.times > start) & (self.times < end)]
        # Between two moments the line is cut; before the first and after the last, where it is held, it needs no more.
        first = [start] if not len(inside) or start >= self.times[0] else []
        last = [end] if not len(inside) or end <= self.times[-1] else []
        times = np.concatenate([first, inside, last])
        return self.read(times, start, end)

    def _place(self, given: float | int | None, default: float) -> float:
        if given is None:
            return default
        if not np.isfinite(given):
            raise ValueError(f"{given} is no time")
        return min(max(0.0, float(given + self.duration if given < 0 else given)), self.duration)

    def read(self, times: Float64[np.ndarray, " moments"], start: float = 0.0, end: float | None = None) -> "Timeline":
        """Return what is said at these moments, in seconds, as of a recording that lasts from `start` to `end`."""
        sure = self.concentration
        return replace(
            self,
            times=times - start,
            mixtures=self.at(times),
            duration=(self.duration if end is None else end) - start,
            concentration=None if sure is None else np.interp(times, self.times, sure),
        )

    def resample(self, rate_hz: float | int) -> "Timeline":
        """Return the same with one mixture in the middle of each of so many frames a second.

        Where the moments are further apart than the frames, the line between them is read; where there are more of
        them, each frame is the mean of what lies in it, so that nothing that is short slips through.
        """
        if not 0 < rate_hz < float("inf"):
            raise ValueError(f"a frame rate is above 0 and finite, not {rate_hz:g}")
        count = max(1, int(np.ceil(self.duration * rate_hz - 1e-6)))
        middles = np.minimum((np.arange(count) + 0.5) / rate_hz, self.duration)
        # The longer of two middle ones: a stream goes by its first two moments, and only the last may be closer.
        apart = np.quantile(np.diff(self.times), 0.5, method="higher") if len(self.times) > 1 else self.duration
        if apart * rate_hz > 1 - 1e-6:
            return self.read(middles)
        edges = np.minimum(np.arange(count + 1) / rate_hz, self.duration)
        own, sure = cells(self.times, self.duration), self.concentration
        return replace(
            self,
            times=middles,
            mixtures=means(own, self.mixtures, edges),
            concentration=None if sure is None else means(own, sure[:, None], edges)[:, 0],
        )

    @staticmethod
    def join(timelines: Many["Timeline"], name: str | None = None) -> "Timeline":
        """Return recordings one after another; see `together.join`."""
        from valenza.timeline.together import join

        return join(timelines, name)

    @staticmethod
    def mean(timelines: Many["Timeline"], weights: Many[float | int] | None = None) -> "Timeline":
        """Return the weighted mean of several timelines of one recording; see `together.mean`."""
        from valenza.timeline.together import mean

        return mean(timelines, weights)

    def without(self, names: Many[str]) -> "Timeline":
        """Return the same with some classes struck out and the shares of the others divided by their sum.

        Of a Dirichlet distribution the rest is again one, whose concentration is the share that is left of the old.
        Where nothing is left, the others share alike.
        """
        banned = {names} if isinstance(names, str) else {*names}
        if unknown := sorted(banned - {*self.classes}):
            raise ValueError(f"there is no class {unknown[0]}; there are {', '.join(self.classes)}")
        kept = [column for column, name in enumerate(self.classes) if name not in banned]
        if not kept:
            raise ValueError("at least one class must stay")
        shares = self.mixtures[:, kept]
        left = shares.sum(axis=1)
        rest = np.where(left[:, None] > 0, shares, 1.0)
        return replace(
            self,
            classes=tuple(self.classes[column] for column in kept),
            mixtures=rest / rest.sum(axis=1, keepdims=True),
            concentration=None if self.concentration is None else self.concentration * np.minimum(left, 1.0),
        )

    def segments(self, settings: Segmenting = USUAL) -> list[Segment]:
        """Return stretches of one emotion each, which lie end to end from 0 to the recording's duration.

        Each moment stands for the time that is nearest to it, so that frames change at their edges.
        """
        return cut(cells(self.times, self.duration), self.classes, self.mixtures, settings)

    def to_csv(self, *, rate: float | int | None = None) -> str:
        """Return a table of times and shares; see `formats.table`."""
        return self._written("csv", rate=rate)

    def to_json(self, *, rate: float | int | None = None, segmenting: Segmenting = USUAL) -> str:
        """Return everything, for programs; see `formats.document`."""
        return self._written("json", rate=rate, segmenting=segmenting)

    @staticmethod
    def from_json(text: str) -> "Timeline":
        """Return the one recording of a text by `to_json`; raises `DataError` that says what is wrong in it."""
        from valenza.timeline.formats.document import read_one

        return read_one(text)

    def to_textgrid(self, *, segmenting: Segmenting = USUAL) -> str:
        """Return segments for Praat; see `formats.textgrid`."""
        return self._written("textgrid", segmenting=segmenting)

    def to_audacity(self, *, segmenting: Segmenting = USUAL) -> str:
        """Return segments as a label track for Audacity; see `formats.audacity`."""
        return self._written("audacity", segmenting=segmenting)

    def to_rttm(self, *, segmenting: Segmenting = USUAL) -> str:
        """Return segments as diarisation tools write speakers; see `formats.rttm`."""
        return self._written("rttm", segmenting=segmenting)

    def to_a2f(
        self,
        *,
        form: Literal["yaml", "json"] = "yaml",
        rate: float | int | None = None,
        post: "Audio2Emotion | None" = None,
    ) -> str:
        """Return keyframes for NVIDIA's Audio2Face-3D; see `formats.a2f`."""
        return self._written("a2f", form=form, rate=rate, audio2emotion=post)

    def to_arkit(
        self,
        audio: Int16[np.ndarray, " samples"] | None = None,
        *,
        form: Literal["csv", "json"] = "csv",
        spelling: Literal["apple", "nvidia"] = "apple",
        rate: float | int | None = None,
    ) -> str:
        """Return a face's weights in every frame; the mouth follows the 16 kHz audio. See `formats.arkit`."""
        return self._written("arkit", audio=audio, form=form, spelling=spelling, rate=rate)

    def _written(self, name: str, **options: Any) -> str:
        from valenza.timeline.formats import FORMATS, Options

        return FORMATS[name]([self], Options(**options))

    def save(self, path: str | Path, format: str | None = None) -> None:  # noqa: A002 - as users call it
        """Write a file in the format of its ending, or in this one; see `formats.FORMATS`.

        Raises `UsageError` for an ending that is not known, and `WriteError`.
        """
        from valenza.timeline.formats import save

        save([self], Path(path), format)

    def plot(
        self,
        path: str | Path,
        audio: Int16[np.ndarray, " samples"] | None = None,
        rate: int = SAMPLE_RATE,
        *,
        segmenting: Segmenting = USUAL,
    ) -> None:
        """Draw it over the waveform, as .svg or .png; see `plot`. Raises `UsageError` and `WriteError`."""
        from valenza.timeline.plot import write_picture

        write_picture(self, Path(path), audio, rate, segmenting)

    def _repr_svg_(self) -> str:
        """Return the picture that notebooks show."""
        from valenza.timeline.plot import picture

        return picture(self)
