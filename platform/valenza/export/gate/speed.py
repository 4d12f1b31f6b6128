"""What a prediction costs by the length of the recording, and whether padding to the window would change it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valenza.evaluation.clips import choose
from valenza.evaluation.listen import listen
from valenza.evaluation.protocol import columns, predict
from valenza.export.gate.cost import scored_corpora
from valenza.export.gate.parity import Clip, stretched
from valenza.export.gate.recordings import recordings, spread
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.inference.load import load
from valenza.inference.model import Model, TorchEngine
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.network import Network
from valenza.recipe import Recipe
from valenza.shards.read import Reader
from valenza.stages.prepare import prepare, read_prior
from valenza.stages.trained import RECIPE, read_recipe
from valenza.terminal import say, table, track

SECONDS = (1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
EVERY = list(range(len(EMOTIONS)))
Asked = tuple[Clip, list[int]]
"""A recording, and the columns of the classes that its label is one of."""


def measure(
    place: Path, audio: Sequence[Path], *, clips: int, rounds: int = 5, seconds: Sequence[float] = SECONDS
) -> dict[str, Any]:
    """Return milliseconds by length, one recording at a time, and how many recordings keep their label when padded.

    The lengths take turns, so that whatever else the machine does falls on all alike; medians and extremes are of
    `rounds` turns. Only of run folders are the labels compared: there the network can be asked both ways.
    """
    model = load(place)
    recipe = read_recipe(place) if (place / RECIPE).is_file() else None
    heard, source = recordings(recipe, audio, clips, zero_shot=True)
    cut = [next(stretched(heard, length, model.longest)) for length in seconds]
    times: list[list[float]] = [[] for _ in seconds]
    for turn in track(range(rounds + 1), "turns", rounds + 1):
        for clip, taken in zip(cut, times, strict=True):
            began = time.perf_counter()
            model.hear([clip])
            if turn:  # the first warms caches
                taken.append(1000 * (time.perf_counter() - began))
    whole = float(np.median(times[-1]))
    rows = [
        {
            "seconds": len(clip) / SAMPLE_RATE,
            "ms": float(np.median(taken)),
            "least": min(taken),
            "most": max(taken),
            "share_of_longest": float(np.median(taken)) / whole,
        }
        for clip, taken in zip(cut, times, strict=True)
    ]
    told: dict[str, Any] = {"model": place.name, "recordings": source, "lengths": rows}
    if recipe is not None and isinstance(model.engine, TorchEngine):
        network = model.engine.recogniser.network
        if isinstance(network, Network):
            asked = (
                _scored(recipe, clips) if not audio and scored_corpora(recipe) else [(clip, EVERY) for clip in heard]
            )
            asked = [(clip, allowed) for clip, allowed in asked if len(clip) <= model.longest]
            if asked:  # what is longer than the window cannot be padded to it
                told["labels"] = _labels(place, model, network, asked)
    return told


def _scored(recipe: Recipe, count: int) -> list[Asked]:
    """Return recordings of the zero-shot corpora, each with the columns of the classes that its corpus is scored on."""
    there: list[tuple[Reader, int, list[int]]] = []
    prepared = prepare(recipe)
    for name in scored_corpora(recipe):
        chosen = choose(recipe, name, prepared)
        reader, allowed = chosen.reader(recipe), columns(chosen.classes)
        there += [(reader, int(row), allowed) for row in chosen.rows[chosen.scored]]
    taken = [there[number] for number in spread(len(there), count)]
    return [(reader.audio(row), allowed) for reader, row, allowed in taken]


def _labels(run: Path, model: Model, network: Network, asked: Sequence[Asked]) -> dict[str, Any]:
    """Count the recordings of which the network says the same emotion at their own length and padded to its window.

    Among the classes that a recording's corpus is scored on, as `valenza evaluate` decides, and among all.
    """
    recipe, prior = read_recipe(run), read_prior(run)
    clips = [clip for clip, _ in asked]
    own = [model.hear([clip])[0].mixture for clip in track(clips, "at their own length", len(clips))]
    padded = listen(network, clips, len(clips), padding="window", label="padded to the window").logits["masked"]
    shares = predict(padded, [e for e in EMOTIONS if e in model.seen], prior, adjust=recipe.evaluation.prior == "train")
    every = sum(int(one.argmax() == other.argmax()) for one, other in zip(own, shares, strict=True))
    same = sum(
        int(one[allowed].argmax() == other[allowed].argmax())
        for one, other, (_, allowed) in zip(own, shares, asked, strict=True)
    )
    return {"recordings": len(clips), "same": same, "share": same / len(clips), "same_of_all_classes": every}


def show_speed(told: dict[str, Any]) -> None:
    """Print the table."""
    rows = [
        (
            f"{row['seconds']:g} s",
            f"{row['ms']:.1f}",
            f"{row['least']:.1f} … {row['most']:.1f}",
            f"1/{1 / row['share_of_longest']:.1f}",
            f"{row['ms'] / row['seconds']:.1f}",
        )
        for row in told["lengths"]
    ]
    table(told["model"], ("recording", "ms", "least … most", "of the longest", "ms a second"), rows)
    if "labels" in told:
        labels = told["labels"]
        counted = f"{labels['same']} of {labels['recordings']} recordings ({100 * labels['share']:.1f} %)"
        say(f"{counted} get the same label at their own length as padded with silence to the encoder's window")
        say(f"{labels['same_of_all_classes']} where every emotion is a candidate, and not those of their corpus alone")
    say(f"asked about {told['recordings']}")
