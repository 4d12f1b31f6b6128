"""A trained model that its users hold in their hands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int16, Int64

from valenza.errors import NonFiniteError, UsageError
from valenza.evaluation.temperature import read_temperature
from valenza.features.batch import FRAME
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.recogniser import Decision, Recogniser
from valenza.labels.native import outputs
from valenza.labels.taxonomy import EMOTIONS
from valenza.recipe import Recipe
from valenza.stages.prepare import read_prior
from valenza.stages.trained import FRAMEWISE, device, load_network, load_student, newest_checkpoint, read_recipe

SHORTEST = SAMPLE_RATE // 10
"""Samples: what is shorter is heard with silence after it."""


@dataclass(frozen=True)
class Said:
    """What a model says of one recording."""

    mixture: Float64[np.ndarray, " classes"]
    """Of the whole recording, over the emotions of the taxonomy; sums to 1."""
    frames: Float64[np.ndarray, "frames classes"]
    """Of every 20 ms; each row sums to 1."""
    concentration: Float64[np.ndarray, " frames"] | None = None
    """How sure a Dirichlet head is of every 20 ms: the sum of α."""
    strength: float | None = None
    """How sure it is of the whole recording."""


@runtime_checkable
class Engine(Protocol):
    """What runs a recogniser."""

    def __call__(
        self, audio: Float32[np.ndarray, "batch samples"], lengths: Int64[np.ndarray, " batch"]
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a recogniser by name."""


@dataclass(frozen=True)
class Model:
    """Hears recordings, each as if it were alone, and tells their emotions."""

    name: str
    engine: Engine
    seen: tuple[str, ...]
    """Emotions that it can tell."""
    framewise: bool
    """Whether it was trained to follow emotions over time; if not, a window is slid over what is long."""
    longest: int
    """Samples that it hears at once."""
    details: dict[str, str]
    """What is known of it, as an exported file carries it."""

    def hear(self, clips: Sequence[Int16[np.ndarray, " _"]]) -> list[Said]:
        """Return what is said of each of these 16 kHz clips, which go through the model together.

        Raises `UsageError` for a clip longer than the model hears at once, `NonFiniteError` where it says no number.
        """
        lengths = np.array([max(len(clip), SHORTEST) for clip in clips])
        if (lengths > self.longest).any():
            raise UsageError(
                f"{self.name} hears {self.longest / SAMPLE_RATE:g} s at once, not {lengths.max() / SAMPLE_RATE:g}"
            )
        audio = np.zeros((len(clips), int(lengths.max())), np.float32)
        for row, clip in zip(audio, clips, strict=True):
            row[: len(clip)] = clip / np.float32(32768)
        said = self.engine(audio, lengths)
        if not all(np.isfinite(value).all() for value in said.values()):
            raise NonFiniteError(f"{self.name} says what is not finite")
        return [self._row(said, number, len(clip)) for number, clip in enumerate(clips)]

    def _row(self, said: dict[str, np.ndarray], row: int, samples: int) -> Said:
        frames = max(1, -(-samples // FRAME))
        strength = said.get("frame_concentration")
        return Said(
            _shares(said["mixture"][row]),
            _shares(said["frames"][row, :frames]),
            None if strength is None else strength[row, :frames].astype(np.float64),
            None if strength is None else float(said["concentration"][row]),
        )


def _shares(values: np.ndarray) -> np.ndarray:
    exact = values.astype(np.float64)
    return np.asarray(exact / exact.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class TorchEngine:
    """Runs a recogniser where its weights are."""

    recogniser: Recogniser

    @torch.inference_mode()
    def __call__(
        self, audio: Float32[np.ndarray, "batch samples"], lengths: Int64[np.ndarray, " batch"]
    ) -> dict[str, np.ndarray]:
        """Return the outputs of a recogniser by name."""
        place = next(self.recogniser.parameters()).device
        said = self.recogniser(torch.from_numpy(audio).to(place), torch.from_numpy(lengths).to(place))
        return {name: value.float().cpu().numpy() for name, value in zip(self.recogniser.outputs, said, strict=True)}


def load_run(run: Path, checkpoint: str | None = None) -> Model:
    """Return the model of a run folder, at a named checkpoint or the newest that verifies."""
    recipe = read_recipe(run)
    source = newest_checkpoint(run, checkpoint)
    recogniser = recogniser_of(run, recipe, source)
    details = {"run": run.name, "checkpoint": source.name}
    return Model(
        str(run),
        TorchEngine(recogniser),
        seen_of(run),
        recipe.stage in FRAMEWISE,
        recogniser.network.encoder.hearing.window_samples,
        details,
    )


def seen_of(run: Path) -> tuple[str, ...]:
    """Return the emotions that a run's training had."""
    return tuple(emotion for emotion, mass in zip(EMOTIONS, read_prior(run), strict=True) if mass > 0)


def recogniser_of(run: Path, recipe: Recipe, source: Path) -> Recogniser:
    """Return a run's network with its decision; raises `UsageError` where it tells no emotions."""
    if (classes := outputs(recipe)) != EMOTIONS:
        raise UsageError(f"{run}: rates {', '.join(classes)} and tells no emotions; `valenza evaluate` scores it")
    seen, none = seen_of(run), (0.0,) * len(EMOTIONS)
    if recipe.stage in FRAMEWISE:
        return Recogniser(load_student(recipe, source), Decision(seen, none)).eval().to(device())
    shift = none
    if recipe.evaluation.prior == "train":
        prior = read_prior(run)
        shift = tuple(float(np.log(mass)) if mass > 0 else 0.0 for mass in prior)
    temperature = read_temperature(run, source.name, recipe) or 1.0
    return Recogniser(load_network(recipe, source), Decision(seen, shift, temperature)).eval().to(device())
