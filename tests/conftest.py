"""What several rooms' tests share."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]
RATE = 16_000
LABELS = ("happy", "sad", "angry", "calm")
MANIFEST = """id: {id}
title: Tones of {id}
languages: [{language}]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)(?P<gender>[FM])_(?P<label>[a-z]+)_\\d'
labels: {{happy: happiness, sad: sadness, angry: anger, calm: neutral}}
"""
RECIPE = """stage: utterance
seed: 7
data:
  shards: {shards}
  train: {{english: 1, italian: 1}}
  zero_shot: [german]
  validation: 0.15
  window_seconds: 6
encoder: {{new: {{family: whisper, width: 16, layers: 1, attention_heads: 2, mels: 16}}}}
training: {{steps: 12, windows_per_step: 4, windows_per_pass: 2, peak_lr: 1e-3, validate_every: 6, checkpoint_every: 6}}
"""


TOY = """id: toy
title: Toy corpus
languages: [de]
licence: none
audio: "*.wav"
pattern: '(?P<speaker>s\\d)_(?P<label>\\w)'
labels: {a: anger, h: happiness}
"""


@pytest.fixture(scope="session")
def toy() -> str:
    """A manifest of files such as s1_a.wav, which tell a speaker and a label."""
    return TOY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real recordings and models, which are not part of the project."""
    folder = Path(os.environ.get("VALENZA_REAL", ROOT.parent / "shared"))
    if not (folder / "corpora").is_dir():
        pytest.skip(f"no real corpora at {folder}; set VALENZA_REAL")
    return folder


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output; anything beside it is a failure."""
        value = json.loads(self.out)
        assert isinstance(value, dict), self.out[:200]
        return value


@dataclass(frozen=True)
class Corner:
    """A place of its own in which commands run: a folder, and an environment that holds no launcher."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ACCELERATE_", "MASTER_", "TORCHELASTIC_"))}
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "VALENZA_DATA"):
            kept.pop(name, None)
        own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VALENZA_CACHE": str(self.folder / "cache")}
        return kept | own | {"PYTHONPATH": str(ROOT / "platform"), "CUDA_VISIBLE_DEVICES": ""}

    @property
    def shards(self) -> Path:
        return self.folder / "shards"

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.yaml"

    def run(self, *words: object, timeout: float = 240) -> Ended:
        """Run `valenza …` as a user does; no failure of any kind may show a traceback."""
        command = [sys.executable, "-m", "valenza", *map(str, words)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr[-3000:]
        return Ended(done.returncode, done.stdout, done.stderr)

    def losses(self, run: Path) -> list[float]:
        """The loss of every step, of which none may be missing or there twice."""
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        steps = [line for line in lines if "loss" in line]
        assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
        return [line["loss"] for line in steps]


def speak(root: Path, seed: int) -> None:
    """Write 24 one-second clips: pitch and level tell the label, the overtones tell the speaker."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    time = np.arange(RATE) / RATE
    for speaker in range(6):
        for number, label in enumerate(LABELS):
            pitch = 110 * 1.4**number * (1 + 0.05 * speaker)
            tone = sum(np.sin(2 * np.pi * pitch * k * time) / (k + 0.3 * speaker) for k in range(1, 5))
            samples = 0.05 * (1 + number) * tone + 0.01 * rng.standard_normal(RATE)
            name = f"s{speaker}{'FM'[speaker % 2]}_{label}_{number}.wav"
            soundfile.write(root / name, samples[: RATE - 100 * speaker].clip(-1, 1), RATE)


@pytest.fixture(scope="session")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Corner:
    """Shards of three tiny corpora in three languages, built by the command line, and a recipe for them."""
    place = Corner(tmp_path_factory.mktemp("corner"))
    data, manifests = place.folder / "data", place.folder / "manifests"
    manifests.mkdir()
    for seed, (corpus, language) in enumerate((("english", "en"), ("italian", "it"), ("german", "de"))):
        speak(data / corpus, seed)
        (manifests / f"{corpus}.yaml").write_text(MANIFEST.format(id=corpus, language=language))
    ended = place.run(
        "shards", "build", "english", "italian", "german", "--data-root", data, "--manifests", manifests, "--jobs", 1
    )
    assert ended.code == 0, ended.err
    place.recipe.write_text(RECIPE.format(shards=place.shards))
    return place


@contextmanager
def _by_itself(cache: Path) -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
            patch.delenv(name, raising=False)
        patch.setenv("VALENZA_CACHE", str(cache))
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def by_itself() -> Callable[[Path], AbstractContextManager[None]]:
    """Lets this process train alone on one thread, with a cache of its own, and leaves it as it was."""
    return _by_itself


@pytest.fixture
def train_here(corner: Corner) -> Iterator[Callable[..., list[float]]]:
    """Train in this process, where every array's shape and type is checked, and return the loss of every step."""
    from valenza.config import load
    from valenza.recipe import Recipe
    from valenza.stages.run import train_run

    def train(run: Path, *overrides: str) -> list[float]:
        train_run(load(Recipe, corner.recipe, overrides), run, resume="never", workers=0, precision="no")
        return corner.losses(run)

    with _by_itself(corner.folder / "cache"):
        yield train
