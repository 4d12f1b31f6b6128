"""What the tests of exchange write and read back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from valenza.corpora.card import read_card
from valenza.corpora.clip import Clip
from valenza.corpora.exchange.bring import Brought
from valenza.corpora.parse import clips


@dataclass(frozen=True)
class Desk:
    """A folder where another project's corpus lies, and where its manifest will."""

    folder: Path

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    def tree(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))

    def write_audio(self, *names: str, seconds: float = 0.2) -> None:
        """Write a tone under each name, each of another pitch, for no two may be alike."""
        for number, name in enumerate(names):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            tone = 0.4 * np.sin(np.arange(round(seconds * 16_000)) / (10 + number))
            soundfile.write(self.folder / name, tone, 16_000)

    def write_lines(self, name: str, *rows: Mapping[str, Any]) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    @staticmethod
    def read_back(brought: Brought) -> dict[str, Clip]:
        """The clips by file, which must all be there without a problem."""
        card = read_card(brought.manifest)
        parsed = clips(card, brought.root)
        assert not parsed.problems
        assert len(parsed.clips) == brought.clips == card.expect.clips
        return {clip.source + ("" if clip.start is None else f"@{clip.start:g}"): clip for clip in parsed.clips}


@pytest.fixture(scope="session")
def desk_in() -> type[Desk]:
    return Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
