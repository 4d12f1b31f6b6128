"""Writes the demo corpora: audio, tables and manifests, the same bytes for the same seed."""

import csv
import io
import json
import wave
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from valenza.corpora.card import weights
from valenza.corpora.synth.catalogue import TRAINING, ZERO_SHOT, Demo
from valenza.corpora.synth.prosody import Habit, deliver, manner, shape
from valenza.corpora.synth.scripts import SENTENCES
from valenza.corpora.synth.voice import Timbre, espeak
from valenza.errors import UsageError, WriteError
from valenza.labels.taxonomy import Emotion
from valenza.terminal import track

MARKER = "demo.json"
FORMAT = 1
"""Raised whenever the same seed would give other bytes."""

_AMBIGUOUS = 0.15
"""Share of clips that lean towards a second label."""


@dataclass(frozen=True)
class Summary:
    """What was spoken."""

    corpora: int
    clips: int
    hours: float
    training: tuple[str, ...]
    zero_shot: tuple[str, ...]


@dataclass(frozen=True)
class Take:
    """One clip before it is spoken."""

    path: str
    """Under the corpus root."""
    values: Mapping[str, Any]
    """What templates can name."""
    accent: str
    speaker: int
    text: str
    shares: Mapping[Emotion, float]
    strength: float


def speak(folder: Path, seed: int = 7, scale: float = 1.0) -> Summary:
    """Write 16 training corpora, 4 zero-shot ones in other languages, and their manifests.

    `scale` shortens or lengthens every corpus. A folder of the same seed and scale is written again; any other folder
    that holds something is refused with `UsageError`. Raises `WriteError` where the disk does not take it.
    """
    demos = (*TRAINING, *ZERO_SHOT)
    counts = {demo.id: max(3 * len(demo.labels), round(scale * demo.clips)) for demo in demos}
    espeak()  # so that a missing espeak-ng leaves no folder behind
    seconds = 0.0
    try:
        _claim(folder, {"format": FORMAT, "seed": seed, "scale": scale})
        spoken = _corpora(folder, demos, counts, seed)
        for length in track(spoken, "clips spoken", sum(counts.values())):
            seconds += length
    except OSError as error:
        raise WriteError(f"{error.filename or folder}: {error.strerror or error}") from None
    training, zero_shot = (tuple(d.id for d in demos if d.zero_shot is kind) for kind in (False, True))
    return Summary(len(demos), sum(counts.values()), seconds / 3600, training, zero_shot)


def _claim(folder: Path, mark: Mapping[str, int | float]) -> None:
    """Make sure that nothing but an earlier output of the same settings is written over."""
    marker = folder / MARKER
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UsageError(f"{folder} is not empty and holds no demo corpora; give another folder") from None
        if found != mark:
            was = ", ".join(f"{key} {value}" for key, value in found.items()) if isinstance(found, dict) else found
            raise UsageError(f"{folder} holds demo corpora of {was}; delete it, or give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps(mark) + "\n", encoding="utf-8")


def _corpora(folder: Path, demos: tuple[Demo, ...], counts: Mapping[str, int], seed: int) -> Iterator[float]:
    """Write one corpus after the other, its manifest last; yields the seconds of each clip."""
    (folder / "manifests").mkdir(exist_ok=True)
    for demo in demos:
        takes = plan(demo, counts[demo.id], seed)
        root = folder / demo.id
        seconds = 0.0
        for take in takes:
            length = _write(root / take.path, say(demo, take, seed), demo.channel.rate)
            seconds += length
            yield length
        for path, text in _tables(demo, takes):
            (root / path).write_text(text, encoding="utf-8", newline="\n")
        manifest = folder / "manifests" / f"{demo.id}.yaml"
        manifest.write_text(_manifest(demo, takes, seconds), encoding="utf-8", newline="\n")


def plan(demo: Demo, count: int, seed: int) -> list[Take]:
    """Decide who says what how, and where it is stored: speakers, labels and sentences take turns."""
    speakers = [name.split("/") for name in demo.speakers.split()]
    labels = list(demo.labels)
    seen: Counter[tuple[str, ...]] = Counter()
    takes = []
    for number in range(count):
        rng = _rng(seed, demo.id, number, "plan")
        who = number % len(speakers)
        # In every round each speaker goes on to the next label, so that each of them acts all of them.
        label = labels[(number // len(speakers) + who) % len(labels)]
        accent = demo.accents[who % len(demo.accents)]
        script = SENTENCES[accent.split("-")[0]]
        sentence = int(rng.integers(len(script)))
        intensity = str(rng.choice(list(demo.strengths))) if demo.strengths else ""
        shares = _shares(demo, label, rng)
        name, gender = speakers[who]
        key = (name, label, intensity, str(sentence))
        seen[key] += 1
        values = {
            "speaker": name, "gender": gender, "label": label, "intensity": intensity, "sentence": sentence + 1,
            "take": seen[key], "language": accent.split("-")[0], "number": number + 1, "text": script[sentence],
            "split": "test" if who % 8 == 7 else "development" if who % 8 == 6 else "train",
            "votes": _votes(demo, shares, rng),
        }  # fmt: skip
        path = demo.path.format_map(values)
        values |= {"path": path, "stem": path.rpartition("/")[2]}
        strength = demo.strengths.get(intensity, 1.0) * rng.uniform(0.8, 1.2)
        takes.append(Take(f"{path}.wav", values, accent, who, script[sentence], _meant(demo, shares), strength))
    return takes


def _shares(demo: Demo, label: str, rng: np.random.Generator) -> dict[str, float]:
    """Return native labels with shares: the clip's own, and in some clips nearly as much of another."""
    if rng.random() >= _AMBIGUOUS:
        return {label: 1.0}
    other = str(rng.choice([name for name in demo.labels if name != label]))
    leaning = float(rng.uniform(0.25, 0.45))
    return {label: 1.0 - leaning, other: leaning}


def _meant(demo: Demo, shares: Mapping[str, float]) -> dict[Emotion, float]:
    meant: Counter[Emotion] = Counter()
    for label, share in shares.items():
        for emotion, weight in weights(demo.labels[label]).items():
            meant[emotion] += weight * share  # type: ignore[assignment]
    return dict(meant)


def _votes(demo: Demo, shares: Mapping[str, float], rng: np.random.Generator) -> dict[str, int]:
    """Let annotators hear each label as often as its share, and now and then something else."""
    if not demo.annotators:
        return {}
    heard = np.array([0.85 * shares.get(label, 0.0) + 0.15 / len(demo.labels) for label in demo.labels])
    return dict(zip(demo.labels, rng.multinomial(demo.annotators, heard / heard.sum()).tolist(), strict=True))


def say(demo: Demo, take: Take, seed: int) -> np.ndarray:
    """Return one clip as it is stored: int16 at the corpus's rate, depending on nothing but its arguments."""
    gender = take.values["gender"]
    timbre, habit = _speaker(_rng(seed, demo.id, take.speaker, "speaker"), gender)
    rng = _rng(seed, demo.id, take.values["number"], "voice")
    delivery = deliver(rng, take.shares, take.strength, habit)
    spoken = espeak().say(take.accent, timbre, take.text, manner(delivery))
    return shape(spoken, delivery, demo.channel, rng)


def _speaker(rng: np.random.Generator, gender: str) -> tuple[Timbre, Habit]:
    woman = gender == "F"
    pitch = (195.0 if woman else 112.0) * float(np.exp(rng.normal(0, 0.09)))
    timbre = Timbre(
        pitch=round(pitch, 1),
        spread=round(pitch * float(rng.uniform(0.28, 0.45)), 1),
        formants=round((1.15 if woman else 1.0) * float(np.exp(rng.normal(0, 0.03))), 3),
        brightness=round(float(rng.uniform(0.8, 1.15)), 3),
    )
    rate, spread, breath, tilt = (float(x) for x in rng.normal(0, (0.06, 0.1, 0.06, 0.5)))
    return timbre, Habit(rate, spread, abs(breath), tilt)


def _rng(*key: str | int) -> np.random.Generator:
    """Return a generator that depends on its key alone, so that clips can be spoken in any order."""
    digest = sha256("\n".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def _write(path: Path, samples: np.ndarray, rate: int) -> float:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setparams((1, 2, rate, len(samples), "NONE", ""))
        out.writeframes(samples.astype("<i2").tobytes())
    return len(samples) / rate


def _tables(demo: Demo, takes: list[Take]) -> Iterator[tuple[str, str]]:
    for table in demo.tables:
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t" if table.path.endswith(".tsv") else ",", lineterminator="\n")
        writer.writerow(table.cells)
        writer.writerows(dict.fromkeys(tuple(c.format_map(t.values) for c in table.cells.values()) for t in takes))
        yield table.path, text.getvalue()


def _manifest(demo: Demo, takes: list[Take], seconds: float) -> str:
    card = {
        "id": demo.id,
        "title": demo.title,
        "languages": list(demo.languages),
        "licence": "spoken by espeak-ng; no rights are claimed",
        "audio": "**/*.wav",
        "pattern": demo.pattern,
        **demo.card,
        "labels": dict(demo.labels),
        "expect": {
            "clips": len(takes),
            "speakers": len({t.speaker for t in takes}),
            "hours": round(seconds / 3600, 4),
        },
    }
    return yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120)
