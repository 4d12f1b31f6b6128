"""`tracks.json`: how each track was joined, so that anyone who has the same clips can make it again, bit for bit."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float32, Int16
from pydantic import Field, NonNegativeInt, PositiveInt

from valenza.config import Settings
from valenza.corpora.frames import FRAME_SAMPLES, SAMPLE_RATE
from valenza.errors import ShardError
from valenza.mixture.tracks import Kind
from valenza.shards.index import TRACKS, Sha256
from valenza.shards.read import Reader
from valenza.shards.sealed import Sealed, read_sealed
from valenza.stages.tracks.sound import Stretch, event, join


class Event(Settings):
    """A clip's part in a track."""

    clip: str
    """Its id."""
    crc32: NonNegativeInt
    """Of its FLAC file."""
    emotion: str
    """The class with most of its score."""
    mixture: tuple[float, ...]
    """Its soft label, over `TrackSet.classes`; what every one of its frames is labelled with."""
    first: NonNegativeInt
    """Sample of the clip with which the event begins."""
    start: NonNegativeInt
    """Sample of the track with which it begins; a multiple of 320, as the next one is."""
    samples: PositiveInt
    gain_db: float

    @property
    def stretch(self) -> Stretch:
        """The part of the clip that is heard."""
        return Stretch(self.first, self.samples, self.gain_db)


class JoinedTrack(Settings):
    """One track."""

    id: str
    speaker: str
    language: str
    gender: str | None
    kind: Kind
    scale_db: float
    """By how much all of it was changed, so that nothing is clipped."""
    sha256: Sha256
    """Of its samples, 16-bit little-endian."""
    events: tuple[Event, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return sum(e.samples for e in self.events) / SAMPLE_RATE

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Where one event ends and the next begins, in seconds."""
        return tuple(e.start / SAMPLE_RATE for e in self.events[1:])

    def frames(self) -> Float32[np.ndarray, "frames classes"]:
        """Return the soft label of each 20 ms."""
        counts = [e.samples // FRAME_SAMPLES for e in self.events]
        return np.repeat(np.array([e.mixture for e in self.events], dtype=np.float32), counts, axis=0)


class Missed(Settings):
    """Tracks that a speaker's clips could not make."""

    speaker: str
    kind: Kind
    tracks: PositiveInt
    classes: tuple[str, ...]
    """What the speaker has clips of."""


class TrackSet(Sealed):
    """Everything that was decided when tracks were made of a corpus's clips."""

    format: Literal[1]
    corpus: str
    """Whose clips they are made of."""
    index_sha256: Sha256
    card_sha256: Sha256
    """Of that corpus's index and manifest."""
    clips: NonNegativeInt
    """How many clips there were to choose from."""
    clips_sha256: Sha256
    """Of their ids, sorted, one a line."""
    seed: int
    per_speaker: PositiveInt
    kinds: tuple[Kind, ...]
    longest: float
    shortest: float
    silence_db: float
    keep_seconds: float
    level_db: float
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    missing: tuple[Missed, ...]
    tracks: tuple[JoinedTrack, ...]


def digest(samples: Int16[np.ndarray, " samples"]) -> str:
    """Return the checksum of a track's samples, in hexadecimal."""
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


def read_tracks(folder: Path) -> TrackSet:
    """Read how the tracks of a corpus's shards were made; raises `ShardError` where that is missing or damaged."""
    return read_sealed(TrackSet, folder / TRACKS, "`valenza tracks make` writes it anew")


def render_track(reader: Reader, row_of: dict[str, int], track: JoinedTrack) -> Int16[np.ndarray, " samples"]:
    """Join a track from the clips that its record names; raises `ShardError` where they are not the same clips."""
    events = []
    for part in track.events:
        row = row_of.get(part.clip)
        if row is None or reader.checksum(row) != part.crc32:
            raise ShardError(f"{track.id}: the clip {part.clip} is not the one that it was made of")
        events.append(event(reader.audio(row), part.stretch))
    return join(events, track.scale_db)
