"""How much of the label is known once it is known who speaks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from valenza.corpora.shortcuts.probe import SHUFFLES, Design

_SEED = 11


@dataclass(frozen=True, slots=True)
class Oracle:
    """The accuracy of naming each speaker's commonest label, from 0 to 1."""

    accuracy: float
    independent: float
    """What it would be if labels were dealt to clips without regard to speakers: the mean of 199 deals."""
    p: float
    """Share of deals as large; the least is 1 / 200."""


def oracle(who: Design) -> Oracle:
    """Compare the speaker's majority label with what clips dealt at random give, which few clips a speaker flatter."""
    accuracy = _majority(who.labels, who.speakers)
    rng = np.random.default_rng(_SEED)
    dealt = [_majority(rng.permutation(who.labels), who.speakers) for _ in range(SHUFFLES)]
    as_large = sum(value >= accuracy for value in dealt)
    return Oracle(accuracy, float(np.mean(dealt)), (1 + as_large) / (1 + SHUFFLES))


def _majority(labels: Int64[np.ndarray, " clips"], speakers: Int64[np.ndarray, " clips"]) -> float:
    classes = int(labels.max()) + 1
    counts = np.bincount(speakers * classes + labels, minlength=(int(speakers.max()) + 1) * classes)
    return float(counts.reshape(-1, classes).max(axis=1).sum() / len(labels))
