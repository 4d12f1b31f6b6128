"""What needs no features that were ever trained: a random head, and the commonest class."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from valenza.evaluation.protocol import columns
from valenza.labels.taxonomy import EMOTIONS


def majority(prior: Float[np.ndarray, " classes"], classes: Sequence[str], clips: int) -> Int[np.ndarray, "1 clips"]:
    """Predict for every clip the class that is commonest in the *training* targets, among those that the corpus has.

    The target corpus's own commonest class would score higher, and would use its labels.
    """
    allowed = columns(classes)
    return np.full((1, clips), allowed[int(np.argmax(prior[allowed]))])


def random_head(
    features: Float[np.ndarray, "clips width"], classes: Sequence[str], *, seed: int, draws: int = 20
) -> Int[np.ndarray, "draws clips"]:
    """Predict with `draws` linear heads as they are before training; average a metric over them, or it is mostly luck.

    `features` are the encoder's outputs, averaged over the frames that the score averages: the head is linear, so its
    mean logit is the logit of the mean. Weights and bias are uniform in ±1/√width, as `torch.nn.Linear` starts.
    """
    generator = np.random.default_rng(seed)
    width, allowed = features.shape[1], np.asarray(columns(classes))
    bound = 1 / np.sqrt(width)
    predicted = []
    for _ in range(draws):
        table = generator.uniform(-bound, bound, (width + 1, len(EMOTIONS)))
        predicted.append(allowed[(features @ table[:-1] + table[-1])[:, allowed].argmax(axis=1)])
    return np.stack(predicted)
