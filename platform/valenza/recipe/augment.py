"""What can be done to a training clip, and how often: the augmentation of a recipe."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from valenza.config import Problem, Settings


class Change(Settings):
    """Something that is done to a training clip by chance; a bare number in a recipe is its `p`."""

    p: Annotated[float, Field(ge=0, le=1)] = 0.2

    @model_validator(mode="before")
    @classmethod
    def _number_is_p(cls, raw: Any) -> Any:
        return {"p": raw} if isinstance(raw, int | float) and not isinstance(raw, bool) else raw


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("the first number is above the second")
    return bounds


Positive = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(ge=0.5, le=2)]
Decibels = Annotated[float, Field(gt=0, le=60)]
Softer = Annotated[float, Field(gt=0, lt=1)]
Rising = AfterValidator(_rising)


class Crop(Change):
    """A stretch of the clip is kept, with both its length and its place drawn."""

    keep: Positive = 0.7
    """The least share of the clip that is kept."""


class Speed(Change):
    """The clip is resampled, so that it is heard faster and higher, or slower and lower."""

    ratio: Annotated[tuple[Ratio, Ratio], Rising] = (0.9, 1.1)
    """Above 1 is faster; slower speech keeps its middle, in the room that the clip had."""


class Reversal(Change):
    """The clip is heard backwards."""


class Equaliser(Change):
    """Seven bands from 42 Hz to 8 kHz are made louder or softer."""

    db: Decibels = 6.0
    """Gain of each band, drawn from minus to plus this."""


class Echo(Change):
    """The clip comes back again and again, softer each time."""

    seconds: Annotated[tuple[Positive, Positive], Rising] = (0.05, 0.3)
    """How long after."""
    level: Annotated[tuple[Softer, Softer], Rising] = (0.1, 0.5)
    """Amplitude of each return, as a share of the one before."""


class Noise(Change):
    """White noise is added."""

    snr_db: Annotated[tuple[float, float], Rising] = (10.0, 40.0)


class Polarity(Change):
    """The waveform is turned upside down, which nobody hears but some models do."""


class Gain(Change):
    """The clip is made louder, which stops before it clips, or softer."""

    db: Decibels = 12.0
    """Drawn from minus to plus this."""


class Shift(Change):
    """The clip moves in its place; what leaves it is lost, and silence follows."""

    share: Positive = 0.1
    """Of the clip's length, the most that it moves to either side."""


class Roll(Change):
    """The clip is rotated: what leaves it at one end comes in at the other."""

    share: Positive = 0.5
    """Of the clip's length, the most that it is rotated to either side."""


class FrequencyMask(Change):
    """Bands of the spectrogram are replaced by the clip's mean (SpecAugment: Park et al. 2019)."""

    masks: PositiveInt = 2
    widest: Positive = 0.15
    """Of all mel bands; each mask's width is drawn from one band to this."""


class TimeMask(Change):
    """Stretches of the spectrogram are replaced by the clip's mean (SpecAugment: Park et al. 2019)."""

    masks: PositiveInt = 2
    widest: Positive = 0.1
    """Of the clip's steps; each mask's width is drawn from one step to this."""


class MelNoise(Change):
    """Gaussian noise is added to the log-mel spectrogram."""

    db: Decibels = 3.0
    """Standard deviation."""


class Augment(Settings):
    """What is changed in a training clip, in this order; what is absent does not happen."""

    versions: Annotated[int, Field(ge=2)] | None = None
    """A fixed number of versions of each clip, of which an epoch hears one; the first is the clip itself. A frozen
    encoder hears each once. Where absent, every epoch draws anew."""
    drawn: Literal["clip", "batch"] = "clip"
    """`clip`: with audiomentations, from the clip's own key, the same for any number of processes. `batch`: with
    torch-audiomentations where the model is, from the step and the process; faster on a GPU."""
    crop: Crop | None = None
    speed: Speed | None = None
    reversal: Reversal | None = None
    equaliser: Equaliser | None = None
    echo: Echo | None = None
    noise: Noise | None = None
    polarity: Polarity | None = None
    gain: Gain | None = None
    shift: Shift | None = None
    roll: Roll | None = None
    mel_noise: MelNoise | None = None
    frequency_mask: FrequencyMask | None = None
    time_mask: TimeMask | None = None

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        if raw.get("versions") is not None and raw.get("drawn") == "batch":
            yield ("versions",), "fixed versions are drawn by clip; leave out `drawn`, or `versions`"
        if raw.get("versions") is not None and not any(raw.get(name) for name in cls.model_fields.keys() - _HOW):
            yield ("versions",), "all would be the same, since nothing is changed; give `gain`, say"

    @classmethod
    def everything(cls) -> "Augment":
        """Return all changes that there are, each as it is by default."""
        return cls.model_validate({name: {} for name in cls.model_fields.keys() - _HOW})

    @property
    def changes(self) -> dict[str, Change]:
        """Return what can happen, by name and in order."""
        named = ((name, value) for name, value in self if isinstance(value, Change))
        return {name: change for name, change in named if change.p > 0}

    @property
    def waveform(self) -> dict[str, Change]:
        """Return what can happen to a waveform."""
        return {name: change for name, change in self.changes.items() if name not in self.spectrogram}

    @property
    def spectrogram(self) -> dict[str, Change]:
        """Return what can happen to a spectrogram."""
        kinds = FrequencyMask | TimeMask | MelNoise
        return {name: change for name, change in self.changes.items() if isinstance(change, kinds)}

    @property
    def fresh(self) -> bool:
        """Return whether every epoch hears another draw, so that nothing can be heard once and kept."""
        return self.versions is None and bool(self.changes)


_HOW = {"versions", "drawn"}
"""Settings of `Augment` that are no changes."""
