"""What a recipe says of its losses."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from valenza.config import Settings
from valenza.recipe.shares import Share


class Domain(Settings):
    """The adversary that makes what the heads read forget where a clip comes from."""

    mode: Literal["none", "ascent", "reversal"] = "none"
    """`ascent`: L = CE − weight · CE_domain for all parameters (Osman et al. 2023, §2.5); `reversal`: the domain head
    learns downhill, and what it reads receives its gradient times −weight (Ganin et al. 2016)."""
    weight: NonNegativeFloat = 0.01
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the steps over which the weight grows from 0, by Ganin's schedule."""
    penalty: NonNegativeFloat = 0.0
    """Times the squared gradient of the domain logits by what is read, added to the loss. Without it the two play a
    game that need not converge (Mescheder et al. 2018, R1), and a fresh probe may find more than before."""
    lr: PositiveFloat | None = None
    """Learning rate of the domain head, the same at every step, so that it catches up as the others slow down (two time
    scales, Heusel et al. 2017); where absent, that of the other heads, with their schedule."""
    of: Annotated[tuple[Literal["corpus", "speaker", "language"], ...], Field(min_length=1)] = (
        "corpus",
        "speaker",
        "language",
    )
    """What makes up a domain: each combination that occurs among the training clips is one."""


class Objective(Settings):
    """The losses and their weights."""

    soft_labels: NonNegativeFloat = 1.0
    """Cross-entropy against the soft labels; of a Dirichlet head, that of its mean."""
    dirichlet: NonNegativeFloat = 0.0
    """Negative log-likelihood of the soft labels under a Dirichlet head (Fedorov & Korobchenko, eq. 6)."""
    label_smoothing: Share = 0.0
    """Share of each target that is spread evenly over the classes known to its corpus; it moves targets inside the
    simplex, without which a Dirichlet density is 0 or infinite."""
    level: Literal["frame", "clip"] = "frame"
    """One loss per 50 Hz frame, or one per clip on the mean of its frames."""
    domain: Domain = Domain()
