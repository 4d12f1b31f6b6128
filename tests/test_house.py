"""Rules of the repository that no single room can keep."""

import os
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from valenza.config import load
from valenza.corpora.card import find_cards, read_card
from valenza.recipe import Dynamic, Recipe

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "platform")}
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
STUDY = ROOT / "recipes" / "dynamic.yaml"
MANIFESTS = sorted(find_cards(ROOT / "datasets_manifests").values())
SOURCES = sorted(p for folder in ("platform", "tests") for p in (ROOT / folder).rglob("*.py"))

FIVE_MISTAKES = """stage: utterance
sead: 7
data:
  shards: nowhere
  train: {ravdess: 0}
encoder: {new: {family: whispr}}
objective: {level: clips}
training: {steps: 10, warmup: 2}
"""


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )


def seconds_of(*arguments: str, cwd: Path = ROOT) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Processor seconds of the quickest of three runs: unlike the clock's, they do not grow with other work."""
    best, done = float("inf"), None
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = python("-m", "valenza", *arguments, cwd=cwd)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done is not None
    return best, done


def test_the_platform_folder_leaves_the_standard_library_alone() -> None:
    """The test process has imported `platform` long before, so only a fresh interpreter at the root can tell."""
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for environment in (plain, ENVIRONMENT, {**plain, "PYTHONPATH": str(ROOT)}):
        seen = subprocess.run(
            [sys.executable, "-c", "import platform; print(platform.__file__)"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        assert Path(seen).parent == Path(sysconfig.get_path("stdlib"))


def test_nothing_makes_a_package_of_the_platform_folder() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert not (ROOT / "tests" / "platform").exists()


@pytest.mark.parametrize(
    "rooms",
    [
        "valenza.config, valenza.recipe, valenza.corpora.card, valenza.mixture.admission, valenza.cli",
        "valenza.shards.index, valenza.shards.read, valenza.shards.write, valenza.mixture.plan, "
        "valenza.mixture.stream, valenza.mixture.weights, valenza.mixture.bench, "
        "valenza.labels.harmonise, valenza.corpora.parse",
    ],
)
def test_data_is_handled_without_torch(rooms: str) -> None:
    done = python("-c", f"import sys, {rooms}; print([m for m in ('torch', 'transformers') if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_help_comes_at_once() -> None:
    seconds, done = seconds_of("--help")
    assert done.returncode == 0
    assert "train" in done.stdout
    assert seconds < 0.5


def test_five_mistakes_are_told_at_once_with_their_places_and_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(FIVE_MISTAKES)
    seconds, done = seconds_of("check", "r.yaml", cwd=tmp_path)
    assert done.returncode == 64
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 5
    for place, *words in [
        ("r.yaml:2", "sead", "'seed'"),
        ("r.yaml:5", "data.train.ravdess", "greater than 0", "got 0"),
        ("r.yaml:6", "encoder.new.family", "'whisper'"),
        ("r.yaml:7", "objective.level", "'clip'"),
        ("r.yaml:8", "training.warmup", "less than or equal to 1", "got 2"),
    ]:
        line = next(line for line in lines if place in line)
        assert all(word in line for word in words), line
    assert seconds < 0.5


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_shipped_recipe_loads(path: Path) -> None:
    if path == STUDY:
        assert load(Dynamic, path).preference.training.steps > 0
    else:
        assert load(Recipe, path).training.steps > 0


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.stem)
def test_every_shipped_manifest_loads_under_its_own_name(path: Path) -> None:
    assert read_card(path).id == path.stem


def test_there_are_recipes_and_manifests() -> None:
    assert RECIPES
    assert MANIFESTS


def test_rooms_import_one_way() -> None:
    script = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [script, "--no-cache"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_is_too_long_to_be_read_in_one_go(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
