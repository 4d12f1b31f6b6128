"""Which clips of one speaker are joined to a track of several emotions: a pure function of durations and a seed."""

import hashlib
import math
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, get_args

import numpy as np

from valenza.errors import UsageError

Kind = Literal["neutral-emotion", "emotion-neutral", "neutral-emotion-neutral", "emotion-emotion", "several"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What a track goes through; `several` are 3 to 6 events of any class, each unlike the one before it."""

_SHAPES = {
    "neutral-emotion": (True, False),
    "emotion-neutral": (False, True),
    "neutral-emotion-neutral": (True, False, True),
    "emotion-emotion": (False, False),
}
"""Whether each event of a kind is neutral."""
_FEWEST, _MOST = 3, 6
_TRIES = 16
_NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class TrackClip:
    """A clip that may become an event of a track."""

    row: int
    """Row of the index."""
    corpus: str
    speaker: str
    language: str
    emotion: str
    """The class with most of the clip's score."""
    seconds: float
    """How long its event would be."""


@dataclass(frozen=True, slots=True)
class PlannedTrack:
    """Clips of one speaker that are heard one after the other."""

    corpus: str
    speaker: str
    language: str
    kind: Kind
    clips: tuple[TrackClip, ...]

    @property
    def rows(self) -> tuple[int, ...]:
        """The clips' rows of the index, in the order in which they are heard."""
        return tuple(clip.row for clip in self.clips)


@dataclass(frozen=True, slots=True)
class Missing:
    """Tracks that a speaker's clips cannot make."""

    corpus: str
    speaker: str
    kind: Kind
    tracks: int
    classes: tuple[str, ...]
    """The classes that the speaker has clips of, sorted."""


@dataclass(frozen=True, slots=True)
class TrackPlan:
    """The tracks of a set."""

    tracks: tuple[PlannedTrack, ...]
    missing: tuple[Missing, ...]


def plan_tracks(
    clips: Iterable[TrackClip],
    *,
    seed: int,
    per_speaker: int = 12,
    kinds: Sequence[Kind] = KINDS,
    longest: float = 30.0,
    shortest: float = 0.3,
) -> TrackPlan:
    """Plan `per_speaker` tracks of each speaker and language; the same arguments give the same tracks everywhere.

    Every clip of a track has its speaker and corpus, none is in a track twice, and its neighbours are of other
    classes. Events last `shortest` seconds or more, tracks at most `longest`. Kinds are dealt in turn through the
    speakers of a corpus, so their numbers differ by one at most, except where a speaker's clips cannot make one:
    that is `missing`, and nothing takes its place. Within a class, a speaker's clips are used equally often, to one,
    wherever the durations allow it. Another corpus among the clips changes nothing. Raises `UsageError` for settings
    that plan nothing.
    """
    if per_speaker < 1 or not 0 <= shortest <= longest:
        raise UsageError(f"{per_speaker} tracks with events of {shortest:g} s in {longest:g} s cannot be planned")
    if not kinds or len(set(kinds)) != len(kinds) or not set(kinds) <= set(KINDS):
        raise UsageError(f"kinds are one or more of {', '.join(KINDS)}, each once; not {', '.join(kinds) or 'none'}")
    voices: dict[tuple[str, str, str], list[TrackClip]] = {}
    for clip in sorted(clips, key=lambda clip: clip.row):
        voices.setdefault((clip.corpus, clip.speaker, clip.language), [])
        if math.isfinite(clip.seconds) and max(shortest, 1e-9) <= clip.seconds <= longest:
            voices[clip.corpus, clip.speaker, clip.language].append(clip)
    tracks: list[PlannedTrack] = []
    missing: list[Missing] = []
    turn: dict[str, Iterator[int]] = {}
    for (corpus, speaker, language), own in sorted(voices.items()):
        voice = _Voice(own, longest, _generator(seed, corpus, speaker, language))
        failed: Counter[Kind] = Counter()
        for _ in range(per_speaker):
            kind = kinds[next(turn.setdefault(corpus, count())) % len(kinds)]
            drawn = voice.draw(kind)
            if drawn is None:
                failed[kind] += 1
            else:
                tracks.append(PlannedTrack(corpus, speaker, language, kind, tuple(drawn)))
        has = tuple(sorted({clip.emotion for clip in own}))
        missing += [Missing(corpus, speaker, kind, failed[kind], has) for kind in kinds if failed[kind]]
    return TrackPlan(tuple(tracks), tuple(missing))


def _generator(seed: int, *names: str) -> np.random.Generator:
    """Return a counter-based generator of one voice, so that no speaker's tracks depend on another's."""
    words = struct.unpack("<4I", hashlib.sha256("\0".join(("tracks", *names)).encode()).digest()[:16])
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words])))


class _Voice:
    """Draws the tracks of one speaker, least used clips and rarest changes of emotion first."""

    def __init__(self, clips: Sequence[TrackClip], longest: float, rng: np.random.Generator) -> None:
        self.clips = clips
        self.longest = longest
        self.rng = rng
        self.uses: Counter[int] = Counter()
        self.changes: Counter[tuple[Kind, str, str]] = Counter()

    def draw(self, kind: Kind) -> list[TrackClip] | None:
        """Return the events of one more track; nothing where the speaker's clips cannot make one."""
        if kind == "several":
            shape: tuple[bool | None, ...] = (None,) * int(self.rng.integers(_FEWEST, _MOST + 1))
        else:
            shape = _SHAPES[kind]
        for attempt in range(_TRIES):
            chosen = self._attempt(kind, shape, fair=attempt == 0)
            if chosen is None:
                continue
            self.uses.update(clip.row for clip in chosen)
            for before, clip in zip(["", *(c.emotion for c in chosen)], chosen, strict=False):
                self.changes[kind, before, clip.emotion] += 1
            return chosen
        return None

    def _attempt(self, kind: Kind, shape: Sequence[bool | None], *, fair: bool) -> list[TrackClip] | None:
        """Draw event after event; where the durations left no way at first, `fair` is given up for any that fits."""
        chosen: list[TrackClip] = []
        for place, neutral in enumerate(shape):
            before = chosen[-1].emotion if chosen else ""
            room = self.longest - sum(clip.seconds for clip in chosen)
            room -= sum(self._least(after) for after in shape[place + 1 :])
            open_to = [
                clip
                for clip in self.clips
                if clip.emotion != before and clip not in chosen and clip.seconds <= room and _fits(clip, neutral)
            ]
            if not open_to:
                return chosen if kind == "several" and len(chosen) >= _FEWEST else None
            chosen.append(self._choose(kind, before, open_to, fair=fair))
        # The differences above were rounded; the sum is what a track lasts.
        return chosen if sum(clip.seconds for clip in chosen) <= self.longest else None

    def _choose(self, kind: Kind, before: str, open_to: Sequence[TrackClip], *, fair: bool) -> TrackClip:
        if not fair:
            return open_to[int(self.rng.integers(len(open_to)))]
        classes = sorted({clip.emotion for clip in open_to})
        rarest = min(self.changes[kind, before, emotion] for emotion in classes)
        classes = [emotion for emotion in classes if self.changes[kind, before, emotion] == rarest]
        emotion = classes[int(self.rng.integers(len(classes)))]
        own = [clip for clip in open_to if clip.emotion == emotion]
        least = min(self.uses[clip.row] for clip in own)
        own = [clip for clip in own if self.uses[clip.row] == least]
        return own[int(self.rng.integers(len(own)))]

    def _least(self, neutral: bool | None) -> float:
        return min((clip.seconds for clip in self.clips if _fits(clip, neutral)), default=0.0)


def _fits(clip: TrackClip, neutral: bool | None) -> bool:
    return neutral is None or (clip.emotion == _NEUTRAL) == neutral
