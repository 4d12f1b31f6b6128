"""One experiment, whole."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from valenza.config import Problem, Settings
from valenza.recipe import adapt as adapting
from valenza.recipe import source as sources
from valenza.recipe.adapt import Adapt
from valenza.recipe.augment import Augment
from valenza.recipe.data import Data
from valenza.recipe.evaluation import Evaluation
from valenza.recipe.network import Encoder, Heads
from valenza.recipe.objective import Objective
from valenza.recipe.source import Preference, Student, Teacher
from valenza.recipe.training import Training


class Recipe(Settings):
    """One experiment: data, model, objective and schedule, and never a machine."""

    stage: Literal["utterance", "adapt", "teacher", "student", "preference"]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    data: Data
    encoder: Encoder
    heads: Heads = Heads()
    objective: Objective = Objective()
    augment: Augment = Augment()
    training: Training
    evaluation: Evaluation = Evaluation()
    adapt: Adapt | None = None
    teacher: Teacher | None = None
    student: Student | None = None
    preference: Preference | None = None

    @property
    def goes_on_from(self) -> Path | None:
        """The run folder of the stage before this one."""
        sections = (self.adapt, self.teacher, self.student, self.preference)
        return next((section.source for section in sections if section is not None), None)

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        yield from sources.problems(raw)
        if raw.get("stage") == "adapt" and isinstance(adapt := raw.get("adapt"), Mapping):
            yield from adapting.problems(raw, adapt)
        yield from head_problems(raw)

    @model_validator(mode="before")
    @classmethod
    def _inherited(cls, raw: Any) -> Any:
        """What a recipe does not say of its network is that of the run it starts from."""
        if not isinstance(raw, Mapping):
            return raw
        adapt = raw.get("adapt")
        if not isinstance(adapt, Mapping):
            return {**raw, **sources.inherited(raw)}
        values = dict(raw)
        if earlier := sources.source_values(adapt):
            values.setdefault("encoder", earlier.get("encoder"))
            if adapt.get("outputs", "emotions") == "emotions":
                values.setdefault("heads", earlier.get("heads", {}))
            level = {"level": earlier.get("objective", {}).get("level", "frame")}
            if isinstance(objective := raw.get("objective", {}), Mapping):
                values["objective"] = level | dict(objective)
        if adapt.get("freeze") is not None and isinstance(values.get("encoder"), Mapping):
            values["encoder"] = {**values["encoder"], "freeze": adapt["freeze"]}
        return values


def head_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong between the emotion head and the losses."""
    heads, objective = (v if isinstance(v := raw.get(name), Mapping) else {} for name in ("heads", "objective"))
    weighed, dirichlet = objective.get("dirichlet", 0), heads.get("emotion", "softmax") == "dirichlet"
    if not isinstance(weighed, int | float) or {"adapt", "teacher", "preference"} & raw.keys():  # theirs are inherited
        return
    if dirichlet and not weighed:
        yield ("objective", "dirichlet"), "a Dirichlet head learns its concentration from this loss; give it a weight"
    if weighed and not dirichlet:
        yield ("objective", "dirichlet"), "is the loss of `heads: {emotion: dirichlet}`"
    if weighed and not objective.get("label_smoothing", 0):
        yield ("objective", "label_smoothing"), "a Dirichlet density needs targets inside the simplex; give 0.05, say"
