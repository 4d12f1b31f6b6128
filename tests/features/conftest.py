"""Speech-like sounds, and small shards of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from valenza.corpora.card import read_card
from valenza.corpora.clip import Clip
from valenza.shards.read import Reader
from valenza.shards.stored import read_index
from valenza.shards.write import build


def chirp(seconds: float, seed: int) -> np.ndarray:
    """Harmonics of a gliding voice that pauses, in −1 … 1, and quieter for odd seeds."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    phase = 2 * np.pi * np.cumsum(120 + 20 * seed + 40 * np.sin(3 * time)) / 16_000
    voice = sum(np.sin(k * phase) / k for k in range(1, 12)) * (np.sin(9 * time) > -0.3)
    return ((0.2 if seed % 2 == 0 else 0.004) * voice + 1e-4 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, toy: str) -> Path:
    """Six clips of .4 to 1.4 s in shards."""
    folder = tmp_path_factory.mktemp("toy")
    manifest = folder / "toy.yaml"
    manifest.write_text(toy)
    clips = []
    for i in range(6):
        path: Path = folder / f"s{i}_{'ah'[i % 2]}.wav"
        soundfile.write(path, chirp(0.4 + 0.2 * i + 0.0037 * i, i), 16_000)
        clips.append(Clip(f"toy_{i}", "toy", path, path.name, "de", f"s{i}", f"take{i}", label="ah"[i % 2]))
    build(read_card(manifest), manifest, clips, folder / "shards")
    return folder / "shards"


@pytest.fixture(scope="session")
def stored(shards: Path) -> tuple[Reader, pa.Table]:
    """What is in the shards."""
    index = read_index(shards, ["toy"])
    return Reader(shards, index), index
