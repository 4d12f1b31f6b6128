"""Which clips belong together, so that no voice and no take is heard on both sides of a split."""

from collections.abc import Iterable


def together(said: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return speaker → the first, by name, of the speakers that share takes with them, directly or through others.

    `said` holds the speaker and the recording of each clip of one corpus.
    """
    parent: dict[str, str] = {}
    first: dict[str, str] = {}

    def top(speaker: str) -> str:
        while parent.setdefault(speaker, speaker) != speaker:
            parent[speaker] = parent[parent[speaker]]
            speaker = parent[speaker]
        return speaker

    for speaker, recording in said:
        one, other = top(speaker), top(first.setdefault(recording, speaker))
        parent[max(one, other)] = min(one, other)
    return {speaker: top(speaker) for speaker in parent}
