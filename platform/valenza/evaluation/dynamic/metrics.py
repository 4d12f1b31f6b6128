"""Scores of emotion over time, computed from sums over tracks so that a bootstrap can score thousands at once."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float, Float64, Real
from numpy.typing import ArrayLike

from valenza.evaluation.dynamic.boundaries import SHORTEST, changes, hits, without_short
from valenza.evaluation.metrics import macro_f1, micro_f1, per_class_f1
from valenza.labels.taxonomy import EMOTIONS, NEUTRAL

TOLERANCES: Final = (0.25, 0.5)
"""Seconds that a boundary may be off."""
LEAST = 1e-6
"""What a predicted share is raised to before its logarithm is taken."""
_COUNTED: Final = (
    "tracks",
    "frames",
    "absolute",
    "divergence",
    "false_alarm",
    "missed",
    "confused",
    "true_boundaries",
    "found_boundaries",
    *(f"hits_{tolerance}" for tolerance in TOLERANCES),
)
_PLACE: Final = {name: place for place, name in enumerate(_COUNTED)}
SUMS = len(_COUNTED) + len(EMOTIONS) ** 2
"""How many numbers are kept of a track; those of several tracks are added."""


def track_sums(
    predicted: Real[np.ndarray, "frames classes"],
    truth: Real[np.ndarray, "frames classes"],
    columns: Sequence[int],
    *,
    shortest: float = SHORTEST,
) -> Float64[np.ndarray, " sums"]:
    """Return what all scores of a track are made from.

    Both have frames at 50 Hz and a column for each emotion of the taxonomy; `columns` are those that the test corpus
    knows, over which both are scaled to sum to 1. Boundaries are looked for in the predicted classes after segments
    under `shortest` seconds are gone. Raises `ValueError` where truth and prediction have different shapes, where a
    share is negative or not finite, or where the truth holds nothing of `columns`.
    """
    if predicted.shape != truth.shape or truth.shape[1] != len(EMOTIONS) or not len(truth):
        raise ValueError(f"a prediction of shape {predicted.shape} cannot be held against a truth of {truth.shape}")
    p, t = (scaled(mixtures, columns) for mixtures in (predicted, truth))
    if np.isnan(t).any():
        raise ValueError("the truth holds frames without any of the classes that are scored")
    p = np.where(np.isnan(p), 1 / len(columns), p)  # nothing is said of these classes, so nothing of which it is
    said, true = np.asarray(columns)[p.argmax(axis=1)], np.asarray(columns)[t.argmax(axis=1)]
    size, frames = len(EMOTIONS), len(truth)
    confusion = np.bincount(true * size + said, minlength=size * size)
    emotional, heard = true != NEUTRAL, said != NEUTRAL
    edges, found = changes(true), changes(without_short(said, shortest))
    counted = {
        "tracks": 1,
        "frames": frames,
        "absolute": np.abs(p - t).mean(axis=1).sum(),
        "divergence": kl(t, p).sum(),
        "false_alarm": (heard & ~emotional).mean(),
        "missed": (emotional & ~heard).mean(),
        "confused": (emotional & heard & (said != true)).mean(),
        "true_boundaries": len(edges),
        "found_boundaries": len(found),
    } | {f"hits_{tolerance}": hits(edges, found, tolerance) for tolerance in TOLERANCES}
    return np.concatenate([[counted[name] for name in _COUNTED], confusion]).astype(np.float64)


def scaled(
    mixtures: Real[np.ndarray, "frames classes"], columns: Sequence[int]
) -> Float64[np.ndarray, "frames columns"]:
    """Return these columns of the mixtures, scaled to sum to 1; NaN where they hold nothing.

    Raises `ValueError` for a share that is negative or not finite.
    """
    kept = mixtures[:, list(columns)].astype(np.float64)
    if not np.isfinite(kept).all() or (kept < 0).any():
        raise ValueError("a share of a mixture is negative or not finite")
    total = kept.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(kept, total, out=np.full_like(kept, np.nan), where=total > 0))


def kl(
    truth: Float[np.ndarray, "frames classes"], predicted: Float[np.ndarray, "frames classes"]
) -> Float[np.ndarray, " frames"]:
    """Return KL(truth ‖ predicted) of each frame, in nats, with predicted shares raised to 1e-6 at least."""
    ratio = np.where(truth > 0, truth, 1.0) / np.maximum(predicted, LEAST)
    return np.asarray(np.maximum((truth * np.log(ratio)).sum(axis=1), 0.0))


def mae(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the mean over frames and classes of |predicted − true|, as in Fedorov & Korobchenko, tables 3 and 4."""
    return _ratio(_of(sums, "absolute"), _of(sums, "frames"))


def divergence(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the mean over frames of `kl`."""
    return _ratio(_of(sums, "divergence"), _of(sums, "frames"))


def frame_macro_f1(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the mean over classes of the F1 of frames, each frame counted as the class with the greatest share."""
    return macro_f1(confusions(sums))


def frame_accuracy(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the share of frames whose class is right."""
    return micro_f1(confusions(sums))


def frame_f1_by_class(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack classes"]:
    """Return the F1 of each emotion's frames; NaN for one that is neither true nor predicted anywhere."""
    return per_class_f1(confusions(sums))


def confusions(sums: Real[np.ndarray, "*stack sums"]) -> Real[np.ndarray, "*stack classes classes"]:
    """Return the frames by true (rows) and predicted emotion."""
    return sums[..., len(_COUNTED) :].reshape(*sums.shape[:-1], len(EMOTIONS), len(EMOTIONS))


def eder(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the emotion diarisation error rate of Wang et al. 2023, averaged over tracks as SpeechBrain's recipe does.

    Of a track it is the time of false alarms (neutral called an emotion), missed emotions (an emotion called neutral)
    and confusions, over the whole duration of the track, neutral included; there is no collar. It is not a speaker
    diarisation error rate, which has only the time of speech below the line: `emotion_time_error` has.
    """
    wrong = _of(sums, "false_alarm") + _of(sums, "missed") + _of(sums, "confused")
    return _ratio(wrong, _of(sums, "tracks"))


def false_alarm(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the part of `eder` that is neutral time called an emotion."""
    return _ratio(_of(sums, "false_alarm"), _of(sums, "tracks"))


def missed(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the part of `eder` that is emotional time called neutral."""
    return _ratio(_of(sums, "missed"), _of(sums, "tracks"))


def confused(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the part of `eder` that is one emotion called another."""
    return _ratio(_of(sums, "confused"), _of(sums, "tracks"))


def emotion_time_error(sums: Real[np.ndarray, "*stack sums"]) -> Float[np.ndarray, "*stack"]:
    """Return the wrong time over the emotional time of all tracks together; it can be above 1."""
    counts = confusions(sums)
    everything = counts.sum((-2, -1))
    wrong = everything - np.diagonal(counts, axis1=-2, axis2=-1).sum(-1)
    return _ratio(wrong, everything - counts[..., NEUTRAL, :].sum(-1))


def boundary_score(part: str, tolerance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return what computes the F1, precision or recall of boundaries within a tolerance of `TOLERANCES`, in seconds.

    A boundary is hit when it can be paired with a true one, one to one (MIREX and SED practice); the classes on its
    two sides do not matter. NaN where there is nothing to be found or nothing was.
    """

    def score(sums: np.ndarray) -> np.ndarray:
        true, found = _of(sums, "true_boundaries"), _of(sums, "found_boundaries")
        whole = {"f1": (true + found) / 2, "precision": found, "recall": true}[part]
        return _ratio(_of(sums, f"hits_{tolerance}"), whole)

    return score


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mae": mae,
    "kl": divergence,
    "macro_f1": frame_macro_f1,
    "accuracy": frame_accuracy,
    **{
        f"boundary_{part}_{tolerance}": boundary_score(part, tolerance)
        for tolerance in TOLERANCES
        for part in ("f1", "precision", "recall")
    },
    "eder": eder,
    "false_alarm": false_alarm,
    "missed": missed,
    "confused": confused,
    "emotion_time_error": emotion_time_error,
}
"""What sums are reduced to, by the name that the tables' JSON uses."""


def _of(sums: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(sums[..., _PLACE[name]])


def _ratio(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """Divide, with NaN where there is nothing to divide by."""
    divisor = np.asarray(whole, dtype=np.float64)
    return np.asarray(np.divide(part, divisor, out=np.full(divisor.shape, np.nan), where=divisor > 0))
