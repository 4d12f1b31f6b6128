"""How well `invert` finds the emotion again that an animation was made from, with what recordings add to it."""

import time
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from valenza.avatar.animation import Animation
from valenza.avatar.animator import Animator, RigAnimator
from valenza.avatar.invert import RESTARTS, SMOOTHNESS, invert
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.sequences import Sequence
from valenza.labels.taxonomy import EMOTIONS, POSITION
from valenza.terminal import table

_EVERY, _SHUT = 3.6, 0.28
"""Seconds from blink to blink, and of a blink."""
_LIDS = ("eyeBlinkLeft", "eyeBlinkRight")


@dataclass(frozen=True)
class Condition:
    """What becomes of an animation before it is inverted."""

    name: str
    noise: float = 0.0
    """Standard deviation of what is added to every weight of every frame."""
    blinks: bool = False
    """Whether the lids shut now and then, whatever the emotion."""
    without: tuple[str, ...] = ()
    """Channels that are not compared."""
    rate: float | None = None
    """Frames a second of the recording; the animator's where absent."""


CONDITIONS = (
    Condition("as made"),
    Condition("noise of 0.05", noise=0.05),
    Condition("noise of 0.10", noise=0.1),
    Condition("30 frames a second, noise of 0.05", noise=0.05, rate=30.0),
    Condition("blinks, noise of 0.05", noise=0.05, blinks=True),
    Condition("blinks, noise of 0.05, lids not compared", noise=0.05, blinks=True, without=_LIDS),
)


def measure_recovery(
    animator: Animator | None = None,
    conditions: Many[Condition] = CONDITIONS,
    *,
    tracks: int = 50,
    seconds: float = 6.0,
    smoothness: float = SMOOTHNESS,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the mean absolute error over frames and shown emotions in each condition, on the same random tracks.

    `worst` is the error of the worst track, `strongest` the share of frames whose strongest emotion is found again,
    `speed` seconds of animation inverted a second. `guesses` are the errors of two answers that look at nothing.
    """
    animator = RigAnimator() if animator is None else animator
    columns = [POSITION[emotion] for emotion in animator.shown]
    rng = np.random.default_rng(seed)
    made = [(random_audio(rng, seconds), random_sequence(rng, seconds, animator.shown)) for _ in range(tracks)]
    times = (np.arange(int(seconds * animator.frame_rate)) + 0.5) / animator.frame_rate
    truths = [sequence.at(times)[:, columns] for _, sequence in made]
    rows = []
    for condition in conditions:
        errors, strongest, started = [], [], time.perf_counter()
        draw = np.random.default_rng(seed + 1)
        for (audio, sequence), truth in zip(made, truths, strict=True):
            recorded = _recorded(animator, audio, sequence.at(times), times, condition, draw)
            settings: dict[str, Any] = {"smoothness": smoothness, "restarts": restarts, "without": condition.without}
            found = invert(animator, torch.from_numpy(audio), recorded, **settings).sequence.mixtures[:, columns]
            errors.append(float(np.abs(found - truth).mean()))
            strongest.append(float((found.argmax(axis=1) == truth.argmax(axis=1)).mean()))
        rows.append(
            {
                "condition": condition.name,
                "mae": float(np.mean(errors)),
                "worst": max(errors),
                "strongest": float(np.mean(strongest)),
                "speed": tracks * seconds / (time.perf_counter() - started),
            }
        )
    every = np.concatenate(truths)
    rest = np.eye(len(columns))[animator.shown.index("neutral")]
    guesses = {"neutral": float(np.abs(every - rest).mean()), "uniform": float(np.abs(every - 1 / len(columns)).mean())}
    told = {"tracks": tracks, "seconds": seconds, "smoothness": smoothness, "restarts": restarts, "seed": seed}
    return {**told, "emotions": list(animator.shown), "guesses": guesses, "conditions": rows}


def show_recovery(found: dict[str, Any]) -> None:
    """Print what `measure_recovery` found."""
    rows = [
        (
            each["condition"],
            f"{each['mae']:.4f}",
            f"{each['worst']:.4f}",
            f"{each['strongest']:.3f}",
            f"{each['speed']:.0f}",
        )
        for each in found["conditions"]
    ]
    guesses = ", ".join(f"always {name} {error:.3f}" for name, error in found["guesses"].items())
    title = f"{found['tracks']} tracks of {found['seconds']:g} s; mean absolute error of guesses: {guesses}"
    table(title, ("condition", "MAE", "worst track", "strongest found", "× real time"), rows)


def random_sequence(rng: np.random.Generator, seconds: float, shown: Many[str]) -> Sequence:
    """Return events of one to three emotions each, held for 0.4 to 1.6 s and joined by ramps of 0.1 to 0.4 s."""
    times: list[float] = []
    mixtures: list[Float64[np.ndarray, " classes"]] = []
    now = 0.0
    while now < seconds:
        mixture = np.zeros(len(EMOTIONS))
        parts = rng.choice([POSITION[emotion] for emotion in shown], rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]), False)
        mixture[parts] = rng.dirichlet(np.ones(len(parts)))
        held = rng.uniform(0.4, 1.6)
        times += [now, now + held]
        mixtures += [mixture, mixture]
        now += held + rng.uniform(0.1, 0.4)
    return Sequence(np.array(times), np.array(mixtures))


def random_audio(rng: np.random.Generator, seconds: float) -> Float64[np.ndarray, " samples"]:
    """Return noise that rises and falls as syllables do, with pauses, so that the mouth moves over its whole range."""
    count = int(seconds * SAMPLE_RATE)
    moments = np.arange(count) / SAMPLE_RATE
    syllables = np.sin(2 * np.pi * (rng.uniform(3, 5) * moments + rng.uniform())).clip(min=0.0)
    phrases = np.sin(2 * np.pi * (0.4 * moments + rng.uniform())) > -0.6
    return np.asarray(0.1 * rng.standard_normal(count) * syllables * phrases)


def _recorded(
    animator: Animator,
    audio: Float64[np.ndarray, " samples"],
    mixtures: Float64[np.ndarray, "frames classes"],
    times: Float64[np.ndarray, " frames"],
    condition: Condition,
    draw: np.random.Generator,
) -> Animation:
    """Return an animation as it would be recorded."""
    with torch.no_grad():
        weights = animator(torch.from_numpy(audio), torch.from_numpy(mixtures)).numpy()
    if condition.blinks:
        shut = (times + draw.uniform(0, _EVERY)) % _EVERY < _SHUT
        for lid in _LIDS:
            weights[shut, animator.channels.index(lid)] = 1.0
    recorded = Animation(times, weights, animator.channels)
    if condition.rate is not None:
        moments = (np.arange(int(recorded.seconds * condition.rate)) + 0.5) / condition.rate
        recorded = Animation(moments, recorded.at(moments, animator.channels), animator.channels)
    noisy = recorded.weights + condition.noise * draw.standard_normal(recorded.weights.shape)
    return Animation(recorded.times, noisy, animator.channels)
