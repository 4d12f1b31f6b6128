"""What is done to mixtures before they are shown: of one timeline, or of one that is still being spoken."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp

import numpy as np
from jaxtyping import Float64, Int64

from valenza.avatar.animator import EXPLICIT
from valenza.timeline.segments import Segmenting
from valenza.timeline.timeline import Timeline

__all__ = ["A2F", "Audio2Emotion", "Audio2EmotionPoster", "Keyframes", "Post", "Poster", "Segmenting", "slots"]

A2F = ("amazement", "anger", "cheekiness", "disgust", "fear", "grief", "joy", "outofbreath", "pain", "sadness")
"""The emotions that Audio2Face-3D is told, in its order; neutral is all zeros."""


@dataclass(frozen=True)
class Post:
    """Contrast, then the strongest classes alone, then smoothing: the order of NVIDIA's Audio2Emotion.

    The defaults change nothing. Shares still sum to 1, and a concentration stays as the head told it. Raises
    `ValueError` for settings out of range.
    """

    contrast: float = 1.0
    """Factor of the logits: above 1 the strongest class gains, below 1 the shares draw level."""
    top: int | None = None
    """How many classes may have a share; they share out those of the others in proportion. None is all."""
    smoothing: float = 0.0
    """Time constant of an exponential moving average, in seconds.

    It looks back only, so that a stream is smoothed as a file is; what changes is shown 63 % after this time.
    """

    def __post_init__(self) -> None:
        if not 0 < self.contrast < float("inf"):
            raise ValueError(f"contrast is above 0 and finite, not {self.contrast:g}")
        if self.top is not None and self.top < 1:
            raise ValueError(f"at least one class is kept, not {self.top}")
        if not 0 <= self.smoothing < float("inf"):
            raise ValueError(f"smoothing takes 0 s or more, not {self.smoothing:g}")

    def apply(self, timeline: Timeline) -> Timeline:
        """Return the timeline after it."""
        poster = self.begin()
        steps = np.diff(timeline.times, prepend=timeline.times[0])
        rows = [poster.step(step, row) for step, row in zip(steps.tolist(), timeline.mixtures, strict=True)]
        return replace(timeline, mixtures=np.stack(rows))

    def begin(self) -> "Poster":
        """Return what does the same to one mixture after another."""
        return Poster(self)


class Poster:
    """Post-processing of a recording whose mixtures come one by one; the same, to the bit, as of all at once."""

    def __init__(self, settings: Post) -> None:
        self.settings = settings
        self._before: Float64[np.ndarray, " classes"] | None = None

    def step(self, dt: float, mixture: Float64[np.ndarray, " classes"]) -> Float64[np.ndarray, " classes"]:
        """Return the next mixture, which is of `dt` seconds after the one before; of the first, `dt` is of no account.

        Raises `ValueError` for time that runs backwards.
        """
        if dt < 0:
            raise ValueError(f"{dt:g} s is no step forward")
        shares = contrasted(mixture, self.settings.contrast)
        if self.settings.top is not None:
            shares = strongest(shares, self.settings.top)
            shares = shares / shares.sum()
        if self._before is not None and self.settings.smoothing:
            kept = exp(-dt / self.settings.smoothing)
            shares = (1 - kept) * shares + kept * self._before
        self._before = shares
        return shares


def contrasted(mixture: Float64[np.ndarray, " classes"], contrast: float) -> Float64[np.ndarray, " classes"]:
    """Return softmax(contrast · log mixture), which is softmax(contrast · logits): a shift of logits is nothing."""
    if contrast == 1:
        return np.asarray(mixture / mixture.sum())
    raised = (mixture / mixture.max()) ** contrast
    return np.asarray(raised / raised.sum())


def strongest(shares: Float64[np.ndarray, " classes"], count: int) -> Float64[np.ndarray, " classes"]:
    """Return the shares with all but the largest at 0, not divided by their sum; of equal ones the first stay."""
    kept = np.zeros_like(shares)
    largest = np.argsort(-shares, kind="stable")[:count]
    kept[largest] = shares[largest]
    return kept


@dataclass(frozen=True, eq=False)
class Keyframes:
    """What Audio2Face-3D is told at moments: ten emotions, each 0 to 1, which need not sum to 1."""

    times: Float64[np.ndarray, " keys"]
    values: Float64[np.ndarray, "keys emotions"]


@dataclass(frozen=True)
class Audio2Emotion:
    """The post-processing of NVIDIA's Audio2Emotion, with its names, its order and the defaults of its service.

    Audio2Face-3D-SDK, `postprocess.cpp`. Each frame: softmax of logits times contrast; unmapped classes to 0, without
    a new division; the `max_emotions` largest; the ten slots; the moving average with the frame before; the preferred
    emotion; the transition; the strength. `EXPLICIT` in `avatar.animator` maps classes to slots. Raises `ValueError`
    for settings outside the service's ranges.
    """

    emotion_contrast: float = 1.0
    max_emotions: int = 3
    live_blend_coef: float = 0.7
    """Weight of the frame before in the moving average."""
    beginning_emotion: Mapping[str, float] = field(default_factory=dict)
    """By names of `A2F`: what stands before the first frame; what is absent is 0."""
    preferred_emotion: Mapping[str, float] | None = None
    """Blended in where it is given."""
    preferred_emotion_strength: float = 0.5
    live_transition_time: float = 0.5
    """Seconds."""
    fixed_dt: float = 0.033
    """Seconds that a frame is taken to last; the frames are those of `frame_rate`."""
    emotion_strength: float = 0.6
    frame_rate: float = 30.0

    def __post_init__(self) -> None:
        ranges = {
            "emotion_contrast": (0.3, 3.0),
            "max_emotions": (1, 6),
            "live_blend_coef": (0.0, 1.0),
            "preferred_emotion_strength": (0.0, 1.0),
            "live_transition_time": (0.0, float("inf")),
            "fixed_dt": (1e-6, float("inf")),
            "emotion_strength": (0.0, 1.0),
            "frame_rate": (1e-6, 1000.0),
        }
        for name, (low, high) in ranges.items():
            if not low <= (value := getattr(self, name)) <= high:
                raise ValueError(f"{name} lies between {low:g} and {high:g}, not {value:g}")
        _vector(self.beginning_emotion)
        _vector(self.preferred_emotion or {})

    def apply(self, timeline: Timeline) -> Keyframes:
        """Return the ten emotions of every frame."""
        frames = timeline.resample(self.frame_rate)
        poster = self.begin(timeline.classes)
        return Keyframes(frames.times, np.stack([poster.step(row) for row in frames.mixtures]))

    def begin(self, classes: tuple[str, ...]) -> "Audio2EmotionPoster":
        """Return what does the same to one mixture of these classes after another, one for every frame."""
        return Audio2EmotionPoster(self, classes)


class Audio2EmotionPoster:
    """The post-processing of a recording whose frames come one by one."""

    def __init__(self, settings: Audio2Emotion, classes: tuple[str, ...]) -> None:
        self.settings = settings
        self._slots = slots(classes)
        self._blended = _vector(settings.beginning_emotion)
        self._preferred = None if settings.preferred_emotion is None else _vector(settings.preferred_emotion)
        self._shown: Float64[np.ndarray, " emotions"] | None = None

    def step(self, mixture: Float64[np.ndarray, " classes"]) -> Float64[np.ndarray, " emotions"]:
        """Return the ten emotions of the next frame."""
        told = self.settings
        shares = contrasted(mixture, told.emotion_contrast)
        shares = strongest(np.where(self._slots >= 0, shares, 0.0), told.max_emotions)
        emotion = spread(shares, self._slots)
        emotion = self._blended = _blend(emotion, told.live_blend_coef, self._blended)
        if self._preferred is not None:
            emotion = _blend(emotion, told.preferred_emotion_strength, self._preferred)
        if self._shown is not None:
            weight = min(told.fixed_dt / max(told.live_transition_time, 1e-3), 1.0)
            emotion = _blend(emotion, 1 - weight, self._shown)
        self._shown = emotion
        return emotion * told.emotion_strength


def slots(classes: tuple[str, ...]) -> Int64[np.ndarray, " classes"]:
    """Return the place of each class among `A2F`, or −1; raises `ValueError` where none has one."""
    found = np.array([EXPLICIT.get(name, -1) for name in classes])
    if (found < 0).all():
        raise ValueError(f"Audio2Face knows none of {', '.join(classes)}")
    return found


def spread(
    shares: Float64[np.ndarray, "*keys classes"], places: Int64[np.ndarray, " classes"]
) -> Float64[np.ndarray, "*keys emotions"]:
    """Return the ten emotions that stand for these shares; those without a place, such as neutral, are left out."""
    emotion = np.zeros((*shares.shape[:-1], len(A2F)))
    emotion[..., places[places >= 0]] = shares[..., places >= 0]
    return emotion


def _blend(
    new: Float64[np.ndarray, " emotions"], share: float, old: Float64[np.ndarray, " emotions"]
) -> Float64[np.ndarray, " emotions"]:
    return np.asarray((1 - share) * new + share * old)


def _vector(values: Mapping[str, float]) -> Float64[np.ndarray, " emotions"]:
    if strange := [name for name in values if name not in A2F]:
        raise ValueError(f"{strange[0]!r} is none of {', '.join(A2F)}")
    if not all(0 <= value <= 1 for value in values.values()):
        raise ValueError("an emotion of Audio2Face lies between 0 and 1")
    return np.array([float(values.get(name, 0.0)) for name in A2F])
