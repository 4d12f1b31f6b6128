"""Tracks of several emotions with exact boundaries, joined from clips of one speaker."""

from valenza.stages.tracks.make import Made, make_tracks
from valenza.stages.tracks.record import JoinedTrack, TrackSet, read_tracks
from valenza.stages.tracks.sound import SoundSettings
from valenza.stages.tracks.verify import verify_tracks

__all__ = ["JoinedTrack", "Made", "SoundSettings", "TrackSet", "make_tracks", "read_tracks", "verify_tracks"]
