"""Segments as a label track: Audacity's File > Import > Labels."""

from collections.abc import Sequence

from valenza.timeline.formats.options import Options, one_line
from valenza.timeline.timeline import Timeline


def write(timelines: Sequence[Timeline], options: Options) -> str:
    """Return `start⇥end⇥emotion`, a line for each segment, in seconds."""
    (timeline,) = timelines
    segments = timeline.segments(options.segmenting)
    return "".join(f"{segment.start:.6f}\t{segment.end:.6f}\t{one_line(segment.label)}\n" for segment in segments)
