"""Models of the timeline's tests."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from jaxtyping import Float32, Int64

from valenza.cli.predict import predict
from valenza.errors import ValenzaError
from valenza.inference.model import Model
from valenza.labels.taxonomy import EMOTIONS

RATE = 16_000
FRAME = 320


@dataclass
class Loudness:
    """An engine that can be checked by hand: the shares of a frame follow from its own samples and its place."""

    heard: int = 0
    """Samples, with padding."""
    calls: int = 0

    def __call__(
        self, audio: Float32[np.ndarray, "batch samples"], lengths: Int64[np.ndarray, " batch"]
    ) -> dict[str, np.ndarray]:
        self.heard += audio.size
        self.calls += 1
        count = -(-audio.shape[1] // FRAME)
        padded = np.zeros((len(audio), count * FRAME))
        padded[:, : audio.shape[1]] = audio
        loud = np.abs(padded).reshape(len(audio), count, FRAME).mean(axis=2)[..., None]
        place = np.arange(count)[:, None] / 100
        powers = np.exp(np.sin(np.arange(1, 9) * (7 * loud + place)))
        inside = np.arange(count) < -(-lengths // FRAME)[:, None]
        frames = powers / powers.sum(axis=2, keepdims=True) * inside[..., None]
        sure = (1 + loud[..., 0]) * inside
        mixture = frames.sum(axis=1) / inside.sum(axis=1, keepdims=True)
        whole = sure.sum(axis=1) / inside.sum(axis=1)
        return {"mixture": mixture, "frames": frames, "concentration": whole, "frame_concentration": sure}


@pytest.fixture
def made() -> Callable[..., Model]:
    """Makes a model around an engine that can be checked by hand."""

    def make(*, framewise: bool, engine: Any = None) -> Model:
        return Model("toy", engine or Loudness(), EMOTIONS, framewise, 30 * RATE, {})

    return make


@pytest.fixture
def noise() -> Callable[[float], np.ndarray]:
    """Makes so many seconds of noise whose level changes."""

    def make(seconds: float) -> np.ndarray:
        count = round(seconds * RATE)
        level = 3000 * (1.2 + np.sin(np.arange(count) / RATE * 2))
        return (np.random.default_rng(5).standard_normal(count) * level).clip(-32768, 32767).astype(np.int16)

    return make


@pytest.fixture(scope="session")
def run(corner: Any) -> Path:
    """A run folder of a tiny model of whole clips."""
    folder = corner.folder / "timeline-run"
    if not (folder / "recipe.yaml").exists():
        ended = corner.run("train", corner.recipe, "training.steps=4", "--out", folder)
        assert ended.code == 0, ended.err
    return Path(folder)


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def ask(run: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs the command's words in this process, where every array's shape and type is checked."""
    app = typer.Typer()
    app.command()(predict)

    def command(*words: object) -> Answer:
        code, why = 0, ""
        capsys.readouterr()
        try:
            app([str(run), *map(str, words)], standalone_mode=False)
        except ValenzaError as error:
            code, why = error.code, str(error)
        out, err = capsys.readouterr()
        return Answer(code, out, err + why)

    return command
