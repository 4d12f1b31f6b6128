"""A small corpus of real files in several containers, rates and channels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from valenza.corpora.card import Card, read_card
from valenza.corpora.clip import Clip

FORMS = [
    ("wav", 16000, 1),
    ("wav", 44100, 2),
    ("flac", 48000, 1),
    ("ogg", 22050, 2),
    ("wav", 8000, 1),
    ("aiff", 11025, 3),
]


def tone(seconds: float, rate: int, channels: int, seed: int) -> np.ndarray:
    """A sine and noise, different in each channel."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    sine = 0.4 * np.sin(2 * np.pi * (120 + 7 * seed) * time)
    return (sine[:, None] + 0.05 * rng.standard_normal((len(time), channels))).astype(np.float32)


def make_clip(folder: Path, i: int, seconds: float | None = None, **said: object) -> Clip:
    """Write one file and describe it."""
    kind, rate, channels = FORMS[i % len(FORMS)]
    path = folder / f"s{i % 3}_{i:03d}.{kind}"
    soundfile.write(path, tone(seconds or 0.3 + 0.01 * i, rate, channels, i), rate)
    facts: dict[str, object] = {
        "label": "ah"[i % 2],
        "votes": {"a": 2.0, "h": 1 / 3} if i % 4 == 0 else None,
        "gender": "F" if i % 3 else None,
        "text": "Grüße, „Welt“" if i % 5 == 0 else None,
        "split": "test" if i % 6 == 0 else None,
    }
    return Clip(f"toy_{i:03d}", "toy", path, path.name, "de", f"s{i % 3}", f"take{i // 2}", **{**facts, **said})  # type: ignore[arg-type]


@pytest.fixture
def manifest(tmp_path: Path, toy: str) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(toy)
    return path


@pytest.fixture
def card(manifest: Path) -> Card:
    return read_card(manifest)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., list[Clip]]:
    """Write `count` clips and return them."""
    folder = tmp_path / "raw"
    folder.mkdir()
    return lambda count, **said: [make_clip(folder, i, **said) for i in range(count)]


@pytest.fixture
def clips(make: Callable[..., list[Clip]]) -> list[Clip]:
    return make(18)
