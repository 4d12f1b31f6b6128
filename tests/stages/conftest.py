"""What the tests of the stages of emotion over time share: a run of every stage, each from the one before it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from valenza.config import load
from valenza.recipe import Recipe
from valenza.stages.pairs.make import make_pairs
from valenza.stages.pairs.preferences import as_lines, preferences
from valenza.stages.pairs.simulated import simulate
from valenza.stages.pairs.sources import slides_of, student_of
from valenza.stages.pairs.truth import truth_of
from valenza.stages.run import train_run
from valenza.stages.tracks import make_tracks

ENCODER = "{new: {width: 16, layers: 2, attention_heads: 2, mels: 16}, attention: clip, layers: joined, freeze: [all]"
FIRST = """stage: utterance
seed: 7
data: {{shards: {shards}, train: {{english: 1, italian: 1}}, validation: 0, window_seconds: 6, smoothing: none}}
encoder: {encoder}}}
heads: {{emotion: dirichlet}}
objective: {{level: clip, dirichlet: 0.1, label_smoothing: 0.05}}
training: {{steps: 6, windows_per_step: 4, windows_per_pass: 2, peak_lr: 3e-2}}
"""
TEACHER = """stage: teacher
data: {{shards: {home}/tracks, train: {{english-tracks: 1, italian-tracks: 1}}}}
teacher:
  from: {home}/first
  window: 0.5
  step: 0.3
  temperature: 0.5
"""
STUDENT = """stage: student
seed: 7
data: {{validation: 0.2}}
student:
  from: {home}/teacher
encoder: {encoder}, blocks: 1, every: 2, chunk: 1.0}}
heads: {{emotion: dirichlet, projection: 8, hidden: gelu}}
objective: {{dirichlet: 0.1, label_smoothing: 0.05}}
training: {{steps: 8, windows_per_step: 4, windows_per_pass: 2, peak_lr: 1e-2, validate_every: 4, checkpoint_every: 4}}
"""
PREFERENCE = """stage: preference
seed: 7
preference:
  from: {home}/student
  pairs: {home}/pairs
training: {{steps: 8, windows_per_step: 4, windows_per_pass: 2, peak_lr: 1e-2, validate_every: 4, checkpoint_every: 4}}
"""
RECIPES = {"first": FIRST, "teacher": TEACHER, "student": STUDENT, "preference": PREFERENCE}


class Home:
    """A folder with tracks, pairs and a run of every stage."""

    def __init__(self, corner: SimpleNamespace, folder: Path) -> None:
        self.corner, self.folder = corner, folder
        for name, text in RECIPES.items():
            self.recipe(name).write_text(text.format(home=folder, shards=corner.shards, encoder=ENCODER))

    def recipe(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def train(self, name: str, run: Path, *words: str, resume: str = "never") -> list[float]:
        """Train in this process, and return the loss of every step."""
        train_run(load(Recipe, self.recipe(name), words), run, resume=resume, workers=0, precision="no")
        return [] if name == "teacher" else self.losses(run)

    def losses(self, run: Path) -> list[float]:
        found: list[float] = self.corner.losses(run)
        return found

    def cached(self) -> set[Path]:
        return set((self.folder / "cache" / "heard").glob("moments-*.npy"))


@pytest.fixture(scope="module")
def home(
    corner: SimpleNamespace,
    tmp_path_factory: pytest.TempPathFactory,
    by_itself: Callable[[Path], AbstractContextManager[None]],
) -> Iterator[Home]:
    one = Home(corner, tmp_path_factory.mktemp("stages"))
    folder = one.folder
    with by_itself(folder / "cache"):
        for corpus in ("english", "italian"):
            make_tracks(corner.shards, corpus, None, folder / "tracks", per_speaker=2, shortest=0.5)
        for stage in ("first", "teacher", "student"):
            one.train(stage, folder / stage)
        pair(folder)
        one.train("preference", folder / "preference")
        yield one


def pair(folder: Path) -> None:
    """Make pairs of half of the tracks, and let an annotator judge them who knows the truth."""
    student = folder / "student"
    study = make_pairs(
        folder / "pairs",
        folder / "tracks",
        ["english-tracks", "italian-tracks"],
        slide=slides_of(folder / "first"),
        students=[student_of(f"{student}@step-{step:08d}") for step in (4, 8)],
        tracks=12,
        k=3,
        per_track=2,
        similar=0.001,
    )
    said = simulate(study, truth_of(study, folder / "tracks"), seed=1, error_rate=0.15, tie_zone=0.0)
    plain = {one.id for one in study.pairs if one.kind == "plain"}
    chosen = preferences(study, [(vote.pair, vote.choice) for vote in said.answers if vote.pair in plain])
    (folder / "pairs" / "preferences.jsonl").write_text(as_lines(chosen))
