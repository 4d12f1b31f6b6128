"""What a recipe says of the run that its stage reads: the folder of the stage before it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PositiveFloat

from valenza.config import Document, Problem, Settings


class Source(Settings):
    """A stage that goes on from a run."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: Annotated[Path, Field(alias="from")]
    """The run folder that it starts from; its newest checkpoint is taken."""


class Teacher(Source):
    """A model of whole clips, slid over recordings; what it says becomes their frame labels."""

    window: Annotated[float, Field(gt=0, le=30)] = 1.4
    """Seconds that are heard at once."""
    step: Annotated[float, Field(gt=0, le=30)] = 1.0
    """Seconds from one window to the next."""
    temperature: PositiveFloat = 1.0
    """What the logits of each mixture are divided by before it is written. Below 1 the labels are surer than the
    teacher was, as labels that a model gives to itself mostly are (Berthelot et al. 2019, eq. 7)."""


class Student(Source):
    """A frame-level network that learns in one pass what a teacher said window by window."""


class Preference(Source):
    """A student that is tuned to what people prefer (Fedorov & Korobchenko, eq. 7)."""

    pairs: Path
    """A folder of pairs with the `preferences.jsonl` that `valenza pairs export` writes."""
    beta: PositiveFloat = 0.5
    """How strongly the tuned network is held to the one that it started from; less lets it go further."""


READS = {
    "adapt": ("utterance", "adapt"),
    "teacher": ("utterance", "adapt"),
    "student": ("teacher",),
    "preference": ("student", "preference"),
}
"""Stage → the stages that it can go on from; its section of the recipe has its name."""
HEARD = "heard"
"""Ending of the names of shards that a teacher writes."""


def heard(corpus: str) -> str:
    """Return what the shards are called that a teacher writes of a corpus."""
    return f"{corpus}-{HEARD}"


def source_values(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the recipe of the run that a section starts from; nothing where there is no such run."""
    file = Path(str(section.get("from"))) / "recipe.yaml"
    values = Document(file).values if file.is_file() else {}
    return values if isinstance(values, dict) else {}


def problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between a stage, its section and the run that it starts from."""
    stage = raw.get("stage")
    for name, allowed in READS.items():
        section = raw.get(name)
        if (stage == name) != isinstance(section, Mapping):
            yield (name,), f"`stage: {name}` and a section `{name}` with what it starts `from` go together"
        elif isinstance(section, Mapping) and "from" in section:
            earlier = source_values(section)
            if not earlier and not _whole(raw, name):
                yield (name, "from"), f"{section['from']} is not a run folder: it has no recipe.yaml"
            elif earlier and earlier.get("stage") not in allowed:
                told = " or ".join(f"`{other}`" for other in allowed)
                yield (name, "from"), f"is a run of stage `{earlier.get('stage')}`; {name} goes on from {told}"
            elif name == "preference" and earlier and earlier.get("heads", {}).get("emotion") != "dirichlet":
                yield (name, "from"), "its head is no Dirichlet one, so that sequences have no density to compare"
    objective = raw.get("objective")
    if stage == "preference" and isinstance(objective, Mapping) and objective.get("label_smoothing") == 0:
        yield ("objective", "label_smoothing"), "densities are of sequences inside the simplex; give 0.05, say"


def _whole(raw: Mapping[str, Any], stage: str) -> bool:
    """Return whether a recipe says all that is otherwise read in the run before it, as that of a run does."""
    data = raw.get("data")
    of_data = isinstance(data, Mapping) and {"shards", "train"} <= data.keys()
    return of_data if stage == "student" else "encoder" in raw


def inherited(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a stage takes over from its run where the recipe says nothing: section → values.

    A teacher is that run, a tuned student starts as it, and a student learns what its teacher wrote.
    """
    stage = raw.get("stage")
    section = raw.get(stage) if isinstance(stage, str) else None
    earlier = source_values(section) if isinstance(section, Mapping) else {}
    if not earlier:
        return {}
    if stage == "student":
        data = earlier.get("data", {})
        train = {heard(corpus): weight for corpus, weight in data.get("train", {}).items()}
        own = raw.get("data", {})
        shards = str(Path(str(section and section.get("from"))) / "shards")
        return {"data": {"shards": shards, "train": train, **(own if isinstance(own, Mapping) else {})}}
    if stage == "teacher":
        names = ("encoder", "heads", "objective", "training")
        return {name: earlier[name] for name in names if name in earlier and name not in raw}
    if stage == "preference":  # which is said section by section, as what changes in the student
        found = {"data": earlier["data"]} if "data" in earlier and "data" not in raw else {}
        for name in ("encoder", "heads", "objective"):
            own = raw.get(name, {})
            if isinstance(own, Mapping):
                found[name] = {**earlier.get(name, {}), **own}
        return found
    return {}
