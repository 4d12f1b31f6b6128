"""What a study trains: which speakers each stage may hear, the tracks of the others, and a recipe for every run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from valenza.errors import DataError, UsageError
from valenza.labels.harmonise import scores
from valenza.recipe import Dynamic, Recipe
from valenza.recipe.dynamic import Head, Stage
from valenza.shards.groups import together
from valenza.shards.index import DESCRIPTION
from valenza.shards.stored import read_cards, read_index
from valenza.stages.tracks import make_tracks
from valenza.terminal import say

Part = Literal["train", "preferences", "test"]
PARTS: tuple[Part, ...] = ("train", "preferences", "test")
SEED = 7
"""Of roles and tracks, which are the same for every seed of the stages."""


@dataclass(frozen=True)
class Plan:
    """One study in its folder."""

    settings: Dynamic
    out: Path

    @cached_property
    def roles(self) -> dict[Part, dict[str, list[str]]]:
        """Part → corpus → its speakers. Those who share takes stay together."""
        found: dict[Part, dict[str, list[str]]] = {part: {} for part in PARTS}
        for corpus in self.settings.train:
            index = read_index(self.settings.shards, [corpus])
            wanted = self.settings.speakers.get(corpus)
            counts = {"test": wanted.test, "preferences": wanted.preferences} if wanted else {}
            for part, speakers in _dealt(corpus, index, counts).items():
                found[part][corpus] = speakers
        for corpus in self.settings.unheard:
            index = read_index(self.settings.shards, [corpus])
            found["test"][corpus] = sorted(set(index["speaker"].to_pylist()))
        return {part: {corpus: s for corpus, s in of.items() if s} for part, of in found.items()}

    @property
    def tracks(self) -> Path:
        """The folder of the shards of all tracks."""
        return self.out / "tracks"

    def make_tracks(self) -> None:
        """Join the tracks that are not there yet."""
        per_speaker = dict(self.settings.tracks)
        for part in PARTS:
            for corpus, speakers in self.roles[part].items():
                name = track_set(corpus, part)
                if (self.tracks / name / DESCRIPTION).is_file():
                    continue
                index = read_index(self.settings.shards, [corpus])
                rows = np.flatnonzero(np.isin(index["speaker"].to_pylist(), speakers)).tolist()
                made = make_tracks(
                    self.settings.shards,
                    corpus,
                    rows,
                    self.tracks,
                    seed=SEED,
                    per_speaker=per_speaker[part],
                    name=name,
                )
                say(f"{name}: {len(made.tracks.tracks)} tracks of {made.speakers} speakers")

    def sets(self, *parts: Part) -> list[str]:
        """Return the names of the track shards of these parts."""
        return [track_set(corpus, part) for part in parts for corpus in self.roles[part]]

    def run(self, stage: str, seed: int, *, head: Head | None = None, beta: float | None = None) -> Path:
        """Return the folder of a run."""
        names = [stage, *([] if head is None else [head]), *([] if beta is None else [f"{beta:g}"]), str(seed)]
        return self.out / "runs" / "-".join(names)

    def pairs(self, seed: int) -> Path:
        """Return the folder of the pairs of a seed: its candidates come from that seed's networks."""
        return self.out / "pairs" / str(seed)

    def utterance(self, head: Head, seed: int) -> Recipe:
        """Return the recipe of the first stage: clips of the training speakers, whole."""
        kept = (self.roles["test"], self.roles["preferences"])
        aside = [
            f"{c}/{s}" for part in kept for c, speakers in part.items() if c in self.settings.train for s in speakers
        ]
        data = {"shards": str(self.settings.shards), "train": self.settings.train, "aside": sorted(aside),
                "validation": 0, "smoothing": "none"}  # fmt: skip
        return _recipe({"stage": "utterance", "seed": seed, "data": data, **_stage(self.settings.utterance, head)})

    def teacher(self, head: Head, seed: int) -> Recipe:
        """Return the recipe that writes what the first stage hears in the tracks of all speakers but the test's."""
        data = {"shards": str(self.tracks), "train": dict.fromkeys(self.sets("train", "preferences"), 1.0)}
        source = {"from": str(self.run("utterance", seed, head=head)), **self.settings.teacher.model_dump()}
        return _recipe({"stage": "teacher", "seed": seed, "data": data, "teacher": source})

    def student(self, head: Head, seed: int) -> Recipe:
        """Return the recipe of the frame-level network that learns from it."""
        source = {"from": str(self.run("teacher", seed, head=head))}
        learned = _stage(self.settings.student, head)
        return _recipe(
            {
                "stage": "student",
                "seed": seed,
                "student": source,
                "data": {"validation": 0, "smoothing": "none"},
                **learned,
            }
        )

    def preference(self, beta: float, seed: int) -> Recipe:
        """Return the recipe of the tuning of the Dirichlet student."""
        student, tuned = self.settings.student.dirichlet, self.settings.preference
        source = {
            "from": str(self.run("student", seed, head="dirichlet")),
            "pairs": str(self.pairs(seed)),
            "beta": beta,
        }
        heads = {**student.heads.model_dump(), **tuned.heads}
        training = tuned.training.model_dump()
        return _recipe(
            {"stage": "preference", "seed": seed, "preference": source, "heads": heads, "training": training}
        )

    def columns(self, corpus: str, seen: np.ndarray) -> list[int]:
        """Return which emotions a corpus knows of those that were seen in training."""
        index, cards = read_index(self.settings.shards, [corpus]), read_cards(self.settings.shards, [corpus])
        known = scores(index, cards).known.any(axis=0) & seen
        if known.sum() < 2:
            raise DataError(f"{corpus}: knows fewer than two of the emotions that are trained")
        return [int(column) for column in np.flatnonzero(known)]


def track_set(corpus: str, part: str) -> str:
    """Return what the tracks of a part of a corpus are called."""
    return f"{corpus}-{part}"


def _dealt(corpus: str, index: Any, counts: Mapping[str, int]) -> dict[Part, list[str]]:
    """Deal the speakers of a corpus, in an order drawn by hash: to the test, to the preferences, the rest to train."""
    said = list(zip(index["speaker"].to_pylist(), index["recording"].to_pylist(), strict=True))
    groups: dict[str, list[str]] = {}
    for speaker, first in together((s, r) for s, r in said if r is not None).items():
        groups.setdefault(first, []).append(speaker)
    for speaker in {s for s, _ in said} - {s for group in groups.values() for s in group}:
        groups[speaker] = [speaker]
    waiting = sorted(groups, key=lambda group: hashlib.sha256(f"{SEED} {corpus} {group}".encode()).digest())
    found: dict[Part, list[str]] = {"train": [], "preferences": [], "test": []}
    for part in ("test", "preferences"):
        while waiting and len(found[part]) < counts.get(part, 0):
            found[part] += groups[waiting.pop(0)]
    found["train"] = [speaker for group in waiting for speaker in groups[group]]
    if not found["train"]:
        raise DataError(f"speakers.{corpus}: none of its {len(groups)} speakers is left to train on")
    return {part: sorted(speakers) for part, speakers in found.items()}


def _stage(stage: Stage, head: Head) -> dict[str, Any]:
    learned = stage.cross_entropy if head == "cross_entropy" else stage.dirichlet
    names = ("heads", "objective", "training")
    settings: Sequence[Any] = (learned.heads, learned.objective, learned.training)
    own = {name: value.model_dump() for name, value in zip(names, settings, strict=True)}
    return {"encoder": stage.encoder.model_dump(), "augment": stage.augment.model_dump(), **own}


def _recipe(values: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        told = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise UsageError(f"stage {values['stage']}: {'; '.join(told)}") from None
