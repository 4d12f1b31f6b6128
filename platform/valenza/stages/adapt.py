"""Stage `adapt`: a trained run learns a new corpus, or the ratings of classes that it never had."""

from pathlib import Path
from typing import Any

import numpy as np

from valenza.errors import UsageError
from valenza.model.network import Network, build_network
from valenza.objectives.correlation import mean_of, moments, pearson
from valenza.objectives.task import UtteranceTask
from valenza.recipe import Adapt, Recipe
from valenza.stages.utterance import Validation, adversary, begin, teach, validate
from valenza.training import checkpoint
from valenza.training.runtime import Machine


def train(recipe: Recipe, run: Path, machine: Machine, *, resume_from: Path | None) -> Path:
    """Train what a run has learned on; returns the last checkpoint.

    With native outputs the run's head is removed and a new one of that many outputs put in its place; with
    `regression` each output is a sigmoid that learns the native rating (Osman et al. 2023, §3.2).
    """
    if recipe.adapt is None:
        raise UsageError("adapt: a recipe of this stage says what it starts from")
    course, prepared = begin(recipe, run, machine)
    network = build_network(recipe)
    if resume_from is None:
        taken = begin_with(network, recipe.adapt)
        course.record.tell(f"starting from {taken}")
    else:
        go_on_with(network, resume_from)
    against = adversary(recipe, prepared, network.head.width)
    task = UtteranceTask(network, recipe.objective, loss=recipe.adapt.loss, adversary=against)
    scored = correlate if recipe.adapt.loss == "regression" else validate
    # The scales of the layers are the run's own: what it learned is in their terms.
    return teach(course, prepared, task, scored, resume_from=resume_from, scales=False)


def begin_with(network: Network, adapt: Adapt) -> Path:
    """Give a network the weights of the run that it starts from, all or all but the head; returns the checkpoint.

    Raises `UsageError` where there is no checkpoint, or the run's network is another one.
    """
    source = checkpoint.newest(adapt.source / "checkpoints")
    if source is None:
        raise UsageError(f"adapt.from: {adapt.source} has no checkpoint to start from")
    kept = ("encoder.", "layer_reader.", "head.") if adapt.outputs == "emotions" else ("encoder.", "layer_reader.")
    weights = {name: w for name, w in checkpoint.load_weights(source).items() if name.startswith(kept)}
    own = {name: w for name, w in network.state_dict().items() if name.startswith(kept)}
    other = [
        n for n in sorted({*weights, *own}) if n not in own or n not in weights or own[n].shape != weights[n].shape
    ]
    if other:
        raise UsageError(f"adapt.from: {source} is of another network than `encoder` and `heads` say: {other[0]}")
    network.load_state_dict(weights, strict=False)
    return source


def go_on_with(network: Network, source: Path) -> None:
    """Give a network the weights of a checkpoint of its own run, as far as they fit.

    A frozen encoder is heard before the loop restores anything, and it is that of the run it was adapted from, not the
    hub's. Where the network is another one, the loop says so.
    """
    own = network.state_dict()
    weights = checkpoint.load_weights(source).items()
    network.load_state_dict({n: w for n, w in weights if n in own and own[n].shape == w.shape}, strict=False)


def correlate(validation: Validation) -> dict[str, Any]:
    """Return the mean squared error and the mean Pearson correlation over the outputs, on all validation clips."""
    sums = np.zeros((6, validation.prepared.targets.shape[1]))
    for logits, batch in validation.heard():
        real = batch.counts.cpu().numpy()
        sums += moments(logits.double().sigmoid().cpu().numpy()[real], batch.targets.double().cpu().numpy()[real])
    sums = np.array(validation.sums(sums.ravel().tolist())).reshape(sums.shape)
    count, _, _, said2, wanted2, both = sums
    error = float(((said2 + wanted2 - 2 * both) / count).mean())
    return {"mse": error, "pearson": mean_of(pearson(sums)), "clips": int(count[0])}
