"""Every setting of an experiment. Each default is written here and nowhere else."""

from valenza.recipe.adapt import Adapt
from valenza.recipe.augment import Augment, Change, FrequencyMask, MelNoise, TimeMask
from valenza.recipe.data import Data
from valenza.recipe.dynamic import Dynamic
from valenza.recipe.evaluation import Evaluation
from valenza.recipe.network import Adapters, Encoder, Heads, NewEncoder
from valenza.recipe.objective import Domain, Objective
from valenza.recipe.source import Preference, Student, Teacher
from valenza.recipe.training import Average, Training
from valenza.recipe.whole import Recipe

__all__ = [
    "Adapt",
    "Adapters",
    "Augment",
    "Average",
    "Change",
    "Data",
    "Domain",
    "Dynamic",
    "Encoder",
    "Evaluation",
    "FrequencyMask",
    "Heads",
    "MelNoise",
    "NewEncoder",
    "Objective",
    "Preference",
    "Recipe",
    "Student",
    "Teacher",
    "TimeMask",
    "Training",
]
