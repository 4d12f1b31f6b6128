"""The zero-shot protocol of Osman et al. 2023: banned labels, prior adjustment, and what counts as the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from valenza.errors import NonFiniteError, UsageError
from valenza.labels.taxonomy import EMOTIONS, POSITION, Emotion

BANNED = -1e27
"""What is added to the logit of a label that the corpus lacks (Osman et al. 2023, §3)."""
_TIE = 1e-9


@dataclass(frozen=True)
class Truth:
    """The one label that each clip is scored against."""

    labels: Int[np.ndarray, " clips"]
    """Column of the score matrix, or -1 where the clip is left out."""
    unlabelled: int
    tied: int

    @property
    def scored(self) -> Bool[np.ndarray, " clips"]:
        """Tell which clips have one label."""
        scored: np.ndarray = self.labels >= 0
        return scored

    @property
    def left_out(self) -> dict[str, int]:
        """Return how many clips are not scored, by reason, as results.json has them."""
        return {"unlabelled": self.unlabelled, "tied": self.tied}


def truth(scores: Float[np.ndarray, "clips classes"]) -> Truth:
    """Take the highest score of each clip as its label.

    Two kinds of clip have no label to be right or wrong about and are left out and counted: those without any score,
    and those whose two highest scores are equal. A tie is never broken: whichever class won would be ours, not the
    annotators', and by column order it would always be the same one.
    """
    if not np.isfinite(scores).all() or (scores < 0).any():
        raise ValueError("scores must be finite and not negative")
    highest = scores.max(axis=1, keepdims=True)
    empty = highest[:, 0] <= 0
    tied = ~empty & ((scores >= highest - _TIE * highest).sum(axis=1) > 1)
    labels = np.where(empty | tied, -1, scores.argmax(axis=1))
    return Truth(labels, int(empty.sum()), int(tied.sum()))


def scored_classes(labels: Int[np.ndarray, " clips"], known: Bool[np.ndarray, " classes"]) -> tuple[Emotion, ...]:
    """Return the classes of a corpus: those that its annotators could choose and that occur as truth, in P1's order."""
    occurs = np.zeros(len(EMOTIONS), dtype=bool)
    occurs[labels[labels >= 0]] = True
    return tuple(emotion for emotion, both in zip(EMOTIONS, occurs & known, strict=True) if both)


def columns(classes: Sequence[str]) -> list[int]:
    """Return the columns of `classes` in a score matrix."""
    return [POSITION[name] for name in classes]


def training_prior(
    scores: Float[np.ndarray, "clips classes"], weights: Float[np.ndarray, " clips"]
) -> Float[np.ndarray, " classes"]:
    """Return how much of the training targets each class has; sums to 1.

    `scores` are the harmonised ones, before smoothing: smoothing gives mass to classes that nobody ever chose, and they
    would then pass for seen. `weights` says how often each clip is drawn. Each clip counts once however large its
    scores are, and a clip without any score does not count.
    """
    total = scores.sum(axis=1)
    kept = total > 0
    mass = (weights[kept] / total[kept]) @ scores[kept]
    if not mass.sum() > 0:
        raise UsageError("no training clip has a label, so there is no training prior")
    return np.asarray(mass / mass.sum())


def predict(
    logits: Float[np.ndarray, "clips classes"],
    classes: Sequence[str],
    prior: Float[np.ndarray, " classes"] | None,
    *,
    adjust: bool = True,
    temperature: float = 1.0,
) -> Float[np.ndarray, "clips classes"]:
    """Return probabilities over the classes that the corpus has; exactly 0 for all others.

    Labels that the corpus lacks are banned by adding -1e27. With `prior`, the prior of the *training* targets, its
    logarithm is subtracted (Menon et al. 2020) and a class that was never trained is banned too: dividing by its zero
    prior would make it win every clip. `adjust=False` bans it without the subtraction. A target prior has no place
    here: with it a score is not zero-shot. What is adjusted is divided by `temperature`, which changes no decision
    (Guo et al. 2017, eq. 9). Raises `UsageError` where training saw none of `classes`, and
    `NonFiniteError` for logits that are not numbers.
    """
    if not np.isfinite(logits).all():
        raise NonFiniteError(
            f"{(~np.isfinite(logits)).any(axis=1).sum()} of {len(logits)} clips have logits that are not finite"
        )
    allowed = np.isin(EMOTIONS, classes)
    shift = np.zeros(len(EMOTIONS))
    if prior is not None:
        allowed &= prior > 0
        if adjust:
            shift[allowed] = np.log(prior[allowed])
    if not allowed.any():
        raise UsageError(
            f"none of {', '.join(classes) or 'no classes'} was in the training targets, so nothing can be predicted"
        )
    adjusted = (np.asarray(logits, dtype=np.float64) - shift) / temperature + np.where(allowed, 0.0, BANNED)
    shares = np.exp(adjusted - adjusted.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
