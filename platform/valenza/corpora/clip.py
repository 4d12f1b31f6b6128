"""One annotated stretch of speech, exactly as its corpus describes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Clip:
    """What a corpus says of one clip, before any mapping of labels."""

    id: str
    """Unique across corpora; `[A-Za-z0-9_-]{1,128}`, because WebDataset cuts a key at its first dot."""
    corpus: str
    audio: Path
    """The file that holds the clip."""
    source: str
    """The file's path under the corpus root, with `/` between parts."""
    language: str
    """BCP-47."""
    speaker: str
    """Unique within the corpus; splits and intervals keep speakers whole."""
    recording: str
    """The take that the clip was cut from; splits keep takes whole. The clip's own id where nothing says otherwise."""
    label: str | None = None
    """The native label, as distributed."""
    votes: Mapping[str, float] | None = None
    """Native label → number or share of annotators who chose it."""
    intensity: str | None = None
    gender: str | None = None
    """`F`, `M` or `O`."""
    text: str | None = None
    split: str | None = None
    """`train`, `validation` or `test` where the corpus defines it."""
    start: float | None = None
    """Seconds into `audio` where the clip begins; its beginning where absent."""
    end: float | None = None
    frames: Path | None = None
    """A NumPy file of what is heard in every 20 ms: `corpora.frames` says of which form."""

    @property
    def loudest(self) -> str | None:
        """The native label; without one, the first of those with most votes, and none where nobody heard anything."""
        votes = self.votes or {}
        return self.label if self.label is not None or not any(votes.values()) else max(votes, key=lambda k: votes[k])
