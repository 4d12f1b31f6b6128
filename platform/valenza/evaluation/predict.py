"""The emotions of audio files, with a trained model: any length, any container that libsndfile reads."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Int16

from valenza.errors import DataError, UsageError
from valenza.evaluation.listen import listen
from valenza.evaluation.protocol import predict
from valenza.evaluation.temperature import read_temperature
from valenza.features.spectrogram import SAMPLE_RATE
from valenza.labels.native import outputs
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.network import Network
from valenza.model.student import Student
from valenza.recipe import Recipe
from valenza.stages.once import logits, mixtures
from valenza.stages.prepare import read_prior
from valenza.stages.trained import FRAMEWISE, load_network, load_student, newest_checkpoint, read_recipe
from valenza.terminal import say


def predict_files(run: Path, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Return one row a file: duration in seconds, the likeliest emotion, its share, and the share of every emotion.

    Shares are divided by the temperature that `evaluate` fitted to the newest checkpoint, where it did.
    A file longer than the window is cut into equal parts, and its shares are the mean over them, by length. Raises
    `DataError` that names every file that cannot be read.
    """
    recipe = read_recipe(run)
    if (classes := outputs(recipe)) != EMOTIONS:
        raise UsageError(f"{run}: rates {', '.join(classes)} and tells no emotions; `valenza evaluate` scores it")
    prior, source = read_prior(run), newest_checkpoint(run)
    if recipe.stage in FRAMEWISE:
        student = load_student(recipe, source)
        return [_over_time(file, audio, student, prior) for file, audio in _read(files)]
    network = load_network(recipe, source)
    temperature = read_temperature(run, source.name, recipe)
    if temperature is None:
        say(f"{run}: `valenza evaluate` has fitted no temperature to {source.name}, so shares are not calibrated")
    return [_row(file, audio, network, recipe, prior, temperature or 1.0) for file, audio in _read(files)]


def _read(files: Sequence[Path]) -> list[tuple[Path, Int16[np.ndarray, " samples"]]]:
    heard: list[tuple[Path, Int16[np.ndarray, " samples"]]] = []
    problems = []
    for file in files:
        try:
            heard.append((file, read_audio(file)))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return heard


def render(rows: Sequence[dict[str, Any]], form: str) -> str:
    """Return rows as CSV with a header, or as one JSON object with the key `files`."""
    if form == "json":
        return json.dumps({"files": list(rows)}, ensure_ascii=False, allow_nan=False) + "\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "duration", "emotion", "share", *EMOTIONS])
    for row in rows:
        shares = [f"{row['shares'][emotion]:.4f}" for emotion in EMOTIONS]
        writer.writerow([row["file"], f"{row['duration']:.3f}", row["emotion"], f"{row['share']:.4f}", *shares])
    return text.getvalue()


def read_audio(file: Path) -> Int16[np.ndarray, " samples"]:
    """Return a file as 16 kHz mono samples; raises `DataError` where it cannot be read, is empty or not finite."""
    try:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"{file}: cannot be read as audio: {error}") from None
    mono = samples.mean(axis=1)
    if not len(mono):
        raise DataError(f"{file}: holds no samples")
    if not np.isfinite(mono).all():
        raise DataError(f"{file}: holds samples that are not finite")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return np.asarray(np.clip(np.rint(mono * 32768), -32768, 32767).astype(np.int16))


def _over_time(file: Path, audio: Int16[np.ndarray, " samples"], student: Student, prior: np.ndarray) -> dict[str, Any]:
    """Return the row of a file that a frame-level network heard: the mean of its mixtures."""
    mixture = mixtures(logits(student, audio), prior > 0).mean(axis=0)
    return _told(file, audio, mixture)


def _row(
    file: Path,
    audio: Int16[np.ndarray, " samples"],
    network: Network,
    recipe: Recipe,
    prior: np.ndarray,
    temperature: float,
) -> dict[str, Any]:
    parts = list(_parts(audio, network.encoder.hearing.window_samples))
    heard = listen(network, parts, len(parts), padding=recipe.evaluation.padding, label="")
    seen = [emotion for emotion, mass in zip(EMOTIONS, prior, strict=True) if mass > 0]
    shares = predict(
        heard.logits[recipe.evaluation.frames],
        seen,
        prior,
        adjust=recipe.evaluation.prior == "train",
        temperature=temperature,
    )
    return _told(file, audio, np.average(shares, axis=0, weights=[len(part) for part in parts]))


def _told(file: Path, audio: Int16[np.ndarray, " samples"], mixture: np.ndarray) -> dict[str, Any]:
    best = int(mixture.argmax())
    return {
        "file": str(file),
        "duration": len(audio) / SAMPLE_RATE,
        "emotion": EMOTIONS[best],
        "share": float(mixture[best]),
        "shares": dict(zip(EMOTIONS, mixture.tolist(), strict=True)),
    }


def _parts(audio: Int16[np.ndarray, " samples"], longest: int) -> Iterator[Int16[np.ndarray, " _"]]:
    yield from np.array_split(audio, -(-len(audio) // longest))
