"""Builds small trees in the corpora's own layouts and reads them as the platform does."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from valenza.corpora.card import Card, read_card
from valenza.corpora.check import check
from valenza.corpora.clip import Clip
from valenza.corpora.parse import Parsed, clips
from valenza.corpora.report import Report
from valenza.labels.harmonise import scores
from valenza.labels.taxonomy import EMOTIONS

T = TypeVar("T")
MANIFESTS = Path(__file__).resolve().parents[3] / "datasets_manifests"


class Tree:
    """One corpus in a temporary folder, with real audio and real tables."""

    def __init__(self, name: str, root: Path) -> None:
        self.card: Card = read_card(MANIFESTS / f"{name}.yaml")
        self.root = root / name
        self.root.mkdir()

    def speech(self, *names: str, seconds: float = 0.2, rate: int = 16_000, subtype: str = "PCM_16") -> None:
        """Store quiet noise under each name; no two names hold the same."""
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(zlib.crc32(name.encode())).uniform(-0.1, 0.1, round(seconds * rate))
            soundfile.write(path, noise, rate, subtype=subtype)

    def write(self, name: str, text: str, encoding: str = "utf-8") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))

    def parse(self) -> Parsed:
        return clips(self.card, self.root)

    def check(self) -> Report:
        return check(self.card, self.root, jobs=1)

    def clips(self) -> dict[str, Clip]:
        """Return the clips by source, with the start where one is cut; nothing may be wrong."""
        parsed = self.parse()
        assert parsed.problems == []
        return {_name(clip): clip for clip in parsed.clips}

    def problems(self) -> dict[str, str]:
        """Return what is wrong, by file."""
        return {problem.path: f"{problem.field}: {problem.message}" for problem in self.parse().problems}

    def scores(self, *, all_used: bool = True) -> dict[str, dict[str, float]]:
        """Return the targets of each clip that have any weight, before smoothing."""
        found = self.clips()
        index = pa.table(
            {
                "id": [clip.id for clip in found.values()],
                "corpus": [clip.corpus for clip in found.values()],
                "label": pa.array([clip.label for clip in found.values()], pa.string()),
                "votes": pa.array(
                    [None if clip.votes is None else list(clip.votes.items()) for clip in found.values()],
                    pa.map_(pa.string(), pa.float64()),
                ),
                "intensity": pa.array([clip.intensity for clip in found.values()], pa.string()),
            }
        )
        result = scores(index, {self.card.id: self.card})
        assert bool(result.used.all()) == all_used
        rows = [dict(zip(EMOTIONS, map(float, row), strict=True)) for row in result.values]
        return {name: {e: w for e, w in row.items() if w > 0} for name, row in zip(found, rows, strict=True)}

    def faults(self) -> list[tuple[str, str]]:
        """Return path and field of the check's errors, but for the published figures, which no small tree has."""
        return [(problem.path, problem.field) for problem in self.check().errors if problem.field != "expect"]

    @staticmethod
    def short(found: dict[str, T]) -> dict[str, T]:
        """Name clips by their stem, as the corpora's papers do, and by the start where one is cut."""
        return {_stem(name): value for name, value in found.items()}

    def wrong(self) -> dict[str, str]:
        """Return what is wrong as file and field, without the message."""
        return {path: text.split(":")[0] for path, text in self.problems().items()}


def _stem(name: str) -> str:
    source, _, times = name.partition("@")
    return Path(source).stem + (f"@{times.split('-')[0]}" if times else "")


def _name(clip: Clip) -> str:
    return clip.source if clip.start is None else f"{clip.source}@{clip.start:g}-{clip.end:g}"


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Tree]:
    """Make an empty corpus with a shipped manifest."""
    return lambda name: Tree(name, tmp_path)
