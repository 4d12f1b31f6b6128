"""What a recipe says of the run that it goes on from."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import PositiveInt

from valenza.config import Problem
from valenza.recipe.source import Source, source_values


class Adapt(Source):
    """A trained run that learns a new corpus, or other outputs (Osman et al. 2023, §3.2)."""

    outputs: Literal["emotions"] | tuple[str, ...] = "emotions"
    """`emotions` keeps the run's head; the names of native classes replace it with a new one of that many outputs."""
    loss: Literal["soft_labels", "regression"] = "soft_labels"
    """`regression`: a sigmoid for each output and the mean squared error to the native ratings."""
    per_class: PositiveInt | None = None
    """Few-shot: so many training clips of each class, of one half of the speakers; the other half is scored."""
    freeze: tuple[str, ...] | None = None
    """Parts of the encoder that are not trained; those of the run where absent."""


def _heard(earlier: Mapping[str, Any]) -> set[str]:
    """Return the corpora that a run was trained on, and those of the run that it was itself adapted from."""
    data, before = earlier.get("data"), earlier.get("adapt")
    train = data.get("train") if isinstance(data, Mapping) else None
    own = set(train) if isinstance(train, Mapping) else set()
    return own | (_heard(source_values(before)) if isinstance(before, Mapping) else set())


def problems(raw: Mapping[str, Any], adapt: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between an adapted run and the run that it starts from."""
    data = raw.get("data")
    data = data if isinstance(data, Mapping) else {}
    if data.get("zero_shot"):
        yield ("data", "zero_shot"), "an adapted run is scored on the other speakers of what it learned"
    if adapt.get("loss") == "regression" and adapt.get("outputs", "emotions") == "emotions":
        yield ("adapt", "loss"), "ratings are of native classes; name them in `outputs`"
    earlier = source_values(adapt)
    train, heard = data.get("train"), _heard(earlier)
    for corpus in train if isinstance(train, Mapping) else ():
        if corpus in heard:
            yield ("data", "train", corpus), "the run has learned it already, so that no speaker is left to score it by"
