"""A linear probe of the encoder before training, on the layer that crosses the training languages best."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped

from valenza.errors import UsageError
from valenza.evaluation.baselines.logistic import Logistic, fit
from valenza.evaluation.protocol import training_prior, truth

Unit = Literal["language", "corpus", "speaker", "clip"]
DECAY = 1e-2
"""Weight decay of the probe; fixed, so that the layer is the only thing that is chosen."""
_FOLDS = 5


@dataclass(frozen=True)
class Trial:
    """What one layer scored on training clips that were held out."""

    layer: int
    held_out: str
    micro_f1: float


@dataclass(frozen=True)
class Probe:
    """A linear classifier on one layer of an encoder."""

    layer: int
    unit: Unit
    """What was held out, whole, to choose the layer."""
    trials: tuple[Trial, ...]
    classifier: Logistic
    prior: Float[np.ndarray, " classes"]
    """Of the targets as the probe saw them, each corpus counting equally: the one to adjust its logits by."""

    def logits(self, features: Float[np.ndarray, "clips layers width"]) -> Float[np.ndarray, "clips classes"]:
        """Return the logits of other clips; a class that was never trained is banned."""
        return self.classifier.logits(features[:, self.layer])


def fit_probe(
    features: Float[np.ndarray, "clips layers width"],
    scores: Float[np.ndarray, "clips classes"],
    known: Bool[np.ndarray, "clips classes"],
    *,
    corpora: Shaped[np.ndarray, " clips"],
    languages: Shaped[np.ndarray, " clips"],
    speakers: Shaped[np.ndarray, " clips"],
) -> Probe:
    """Fit a probe on the best layer of the training clips; the target is not an argument, so it cannot be looked at.

    `features` are each layer's mean over time of the untrained encoder. The layer is the one with the best micro-F1,
    averaged over training languages held out in turn, which is the question that the zero-shot score asks; with a
    single language, over corpora; with a single corpus, over fifths of its speakers. The winner is fitted again on all
    training clips. Every corpus weighs the same. Clips without a score are dropped.
    """
    kept, targets = soft_targets(scores)
    x, known, corpora = features[kept], known[kept], corpora[kept]
    unit, groups = _groups(corpora, languages[kept], speakers[kept])
    trials = tuple(_trials(x, targets, known, corpora, groups))
    means = [np.mean([t.micro_f1 for t in trials if t.layer == layer] or [0.0]) for layer in range(x.shape[1])]
    layer = int(np.argmax(means))
    weights = equally(corpora)
    classifier = fit(x[:, layer], targets, known, weights, decay=DECAY)
    return Probe(layer, unit, trials, classifier, training_prior(targets, weights))


def soft_targets(
    scores: Float[np.ndarray, "clips classes"],
) -> tuple[Bool[np.ndarray, " clips"], Float[np.ndarray, "kept classes"]]:
    """Return which clips have a score, and theirs made to sum to 1; raises `UsageError` where none has."""
    total = scores.sum(axis=1)
    kept = np.asarray(total > 0)
    if not kept.any():
        raise UsageError("no training clip has a label, so there is nothing to fit the frozen probe to")
    return kept, scores[kept] / total[kept, None]


def equally(corpora: Shaped[np.ndarray, " clips"]) -> Float[np.ndarray, " clips"]:
    """Return a weight for each clip, so that all corpora weigh the same."""
    _, which, sizes = np.unique(corpora, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / sizes[which])


def _groups(corpora: np.ndarray, languages: np.ndarray, speakers: np.ndarray) -> tuple[Unit, np.ndarray]:
    """Return what is held out whole, and for each clip the name of the part that it is in."""
    if len(np.unique(languages)) > 1:
        return "language", languages
    if len(np.unique(corpora)) > 1:
        return "corpus", corpora
    unit: Unit = "speaker" if len(np.unique(speakers)) > 1 else "clip"
    who = np.unique(speakers, return_inverse=True)[1] if unit == "speaker" else np.arange(len(speakers))
    return unit, np.char.add("part ", (who % _FOLDS + 1).astype(str))


def _trials(
    x: np.ndarray, targets: np.ndarray, known: np.ndarray, corpora: np.ndarray, groups: np.ndarray
) -> list[Trial]:
    """Score every layer on every group, fitted on the others."""
    labels, trials = truth(targets).labels, []
    for group in np.unique(groups):
        inside = groups == group
        scored = inside & (labels >= 0)
        prior = targets[~inside].sum(axis=0) if (~inside).any() else np.zeros(targets.shape[1])
        allowed = np.bincount(labels[scored], minlength=targets.shape[1]) > 0
        if not (allowed & (prior > 0)).any():
            continue  # this group shares no class with the others, so it cannot tell one layer from another
        for layer in range(x.shape[1]):
            weights = equally(corpora[~inside])
            part = fit(x[~inside, layer], targets[~inside], known[~inside], weights, decay=DECAY, iterations=60)
            predicted = _within(part.logits(x[scored, layer]), allowed)
            trials.append(Trial(layer, str(group), float(np.mean(predicted == labels[scored]))))
    return trials


def _within(logits: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(allowed, logits, -np.inf).argmax(axis=1))
