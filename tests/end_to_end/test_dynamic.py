"""A study of emotion over time through the command line: four stages, their tables, and the same again after a kill."""

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from valenza.config import load
from valenza.errors import UsageError
from valenza.evaluation.study.measure import DPO, NAMES, SHARPENED, measure
from valenza.evaluation.study.plan import Plan
from valenza.evaluation.study.run import begin, run_stages
from valenza.evaluation.study.tables import tables
from valenza.recipe import Dynamic, Recipe
from valenza.recipe.dynamic import HEADS
from valenza.shards.stored import read_index
from valenza.stages.pairs.folder import read_pairs
from valenza.stages.prepare import prepare
from valenza.stages.tracks import read_tracks

STUDY = """seeds: [7, 8, 9]
shards: shards
train: {english: 1, italian: 1}
unheard: [german]
speakers: {english: {test: 1, preferences: 1}, italian: {test: 1, preferences: 1}}
tracks: {train: 3, preferences: 3, test: 2}
utterance:
  encoder:
    new: {width: 16, layers: 2, attention_heads: 2, mels: 16}
    attention: clip
    layers: joined
    freeze: [all]
  cross_entropy:
    objective: {level: clip}
    training: {steps: 4, windows_per_step: 2, windows_per_pass: 2, peak_lr: 1e-2}
  dirichlet:
    heads: {emotion: dirichlet}
    objective: {level: clip, dirichlet: 0.1, label_smoothing: 0.05}
    training: {steps: 4, windows_per_step: 2, windows_per_pass: 2, peak_lr: 1e-2}
teacher: {window: 0.5, step: 0.3, temperature: 0.5}
student:
  encoder:
    new: {width: 16, layers: 2, attention_heads: 2, mels: 16}
    attention: clip
    layers: joined
    freeze: [all]
    blocks: 1
    every: 2
    chunk: 1.0
  cross_entropy:
    heads: {projection: 8, hidden: gelu}
    training: {steps: 6, windows_per_step: 4, windows_per_pass: 2, checkpoint_every: 3, peak_lr: 1e-2}
  dirichlet:
    heads: {emotion: dirichlet, projection: 8, hidden: gelu}
    objective: {dirichlet: 0.1, label_smoothing: 0.05}
    training: {steps: 6, windows_per_step: 4, windows_per_pass: 2, checkpoint_every: 3, peak_lr: 1e-2}
pairs: {k: 3, per_track: 2, tie_zone: 0}
preference:
  beta: 0.5
  betas: [0.1, 0.5]
  heads: {dropout: 0.1}
  training: {steps: 4, windows_per_step: 2, windows_per_pass: 2, peak_lr: 1e-2}
race: {seconds: 5, rounds: 3}
"""
SYSTEMS = [*NAMES.values(), DPO]


@pytest.fixture(scope="module")
def study(corner: Any) -> Path:
    file: Path = corner.folder / "study.yaml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="module")
def told(corner: Any, study: Path) -> Any:
    """How the study ended that was left alone, its last two seeds side by side."""
    ended = corner.run("dynamic", study, "--out", corner.folder / "whole", "--jobs", 2)
    assert ended.code == 0, ended.err[-3000:]
    return ended


@pytest.fixture(scope="module")
def whole(corner: Any, told: Any) -> Path:
    folder: Path = corner.folder / "whole"
    return folder


@pytest.fixture
def here(corner: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process stands where the commands ran, with their cache."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(corner.folder)
    monkeypatch.setenv("VALENZA_CACHE", str(corner.folder / "cache"))
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def run_here(study: Path, out: Path, *words: str) -> dict[str, Any]:
    """Do what the command does, in this process, where every array's shape and type is checked."""
    plan = begin(study, words, out)
    found: dict[str, Any] = json.loads(json.dumps(tables(plan, run_stages(plan, 1))))
    assert found.pop("race")["ratio"] > 0  # the only thing that another run measures anew
    return found


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "dynamic.json").read_text())
    return found


def written(folder: Path) -> dict[str, int]:
    """When each file of the tracks, the pairs and the runs' weights was written."""
    files = [f for part in ("tracks", "pairs", "runs/*/shards") for f in folder.glob(f"{part}/**/*") if f.is_file()]
    files += folder.glob("runs/*/checkpoints/*/model.safetensors")
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in files}


def test_both_tables_are_printed_and_written(told: Any, whole: Path) -> None:
    text = (whole / "dynamic.md").read_text()
    assert told.out == text
    for heading in ("Systems (table 3)", "Strength of the tuning (table 4)", "Speed"):
        assert text.count(f"## {heading}\n") == 1
    for system in (*SYSTEMS, SHARPENED):
        assert f"\n| {system} | 0." in text
    assert "| MAE | β = 0.1 | β = 0.5 |" in text
    assert "simulated annotator" in text
    assert "probability 15 %" in text
    page = (whole / "report" / "index.html").read_text()
    assert all(system in page for system in SYSTEMS)
    assert "× faster" in text


def test_three_stages_and_the_tuning_have_been_trained_for_every_seed(whole: Path) -> None:
    stages = [f"{stage}-{head}" for stage in ("utterance", "teacher", "student") for head in HEADS]
    names = {f"{run}-{seed}" for run in (*stages, "preference-0.1", "preference-0.5") for seed in (7, 8, 9)}
    assert {run.name for run in (whole / "runs").iterdir()} == names
    for run in (whole / "runs").iterdir():
        recipe = load(Recipe, run / "recipe.yaml")
        assert recipe.seed == int(run.name[-1])
        if recipe.stage != "teacher":
            assert (run / "checkpoints" / f"step-{recipe.training.steps:08d}" / "COMPLETE").is_file()


def speakers_of(folder: Path, *names: str) -> set[str]:
    """`corpus/speaker` of everyone who is heard in tracks, as the clips that they are joined from tell."""
    found = set()
    for name in names:
        made = read_tracks(folder / "tracks" / name)
        found |= {f"{made.corpus}/{track.speaker}" for track in made.tracks}
    return found


def test_nobody_is_trained_on_who_is_scored_or_judged(corner: Any, whole: Path) -> None:
    test = speakers_of(whole, "english-test", "italian-test")
    judged = speakers_of(whole, "english-preferences", "italian-preferences")
    learned = speakers_of(whole, "english-train", "italian-train")
    assert (len(test), len(judged), len(learned)) == (2, 2, 8)
    assert not test & judged | test & learned | judged & learned
    assert len(speakers_of(whole, "german-test")) == 6
    for run in (whole / "runs").glob("utterance-*"):
        recipe = load(Recipe, run / "recipe.yaml")
        assert set(recipe.data.aside) == test | judged
        prepared = prepare(recipe)
        columns = (prepared.index[name].to_pylist() for name in ("corpus", "speaker"))
        of_row = [f"{corpus}/{speaker}" for corpus, speaker in zip(*columns, strict=True)]
        assert {of_row[row] for rows in prepared.parts.values() for row in rows} == learned
    for run in (whole / "runs").glob("student-*"):
        recipe = load(Recipe, run / "recipe.yaml")
        index = read_index(recipe.data.shards, sorted(recipe.data.train))
        said = zip(index["corpus"].to_pylist(), index["speaker"].to_pylist(), strict=True)
        assert {f"{corpus.split('-')[0]}/{speaker}" for corpus, speaker in said} == learned | judged
    for folder in (whole / "pairs").iterdir():
        tracks = read_pairs(folder).tracks.values()
        assert {f"{track.corpus.split('-')[0]}/{track.speaker}" for track in tracks} <= judged


@pytest.mark.usefixtures("here")
def test_every_system_is_measured_on_the_same_tracks(study: Path, whole: Path) -> None:
    plan = Plan(load(Dynamic, study), whole)
    tracks, seen = defaultdict(list), {}
    for one in measure(plan, 7):
        tracks[one.system].append((one.test_set, one.track))
        seen[one.track] = one.speaker
    assert tracks.keys() == {*SYSTEMS, SHARPENED, "β = 0.1", "β = 0.5"}
    assert len({tuple(sorted(each)) for each in tracks.values()}) == 1
    assert len(seen) == len(tracks[DPO]) == sum(
        read_index(plan.tracks, [name]).num_rows for name in ("english-test", "italian-test", "german-test")
    )  # fmt: skip
    assert {heading for heading, _ in tracks[DPO]} == {
        "unseen speakers of known languages", "unheard language (de)"
    }  # fmt: skip


def test_the_tuned_student_is_the_column_of_its_strength(whole: Path) -> None:
    found = results(whole)
    for systems, betas in zip(found["systems"]["sets"], found["betas"]["sets"], strict=True):
        tuned = next(row for row in systems["rows"] if row["system"] == DPO)
        columns = {row["system"]: row for row in betas["rows"]}
        assert columns.keys() == {"β = 0.1", "β = 0.5"}
        assert tuned["scores"] == columns["β = 0.5"]["scores"] != columns["β = 0.1"]["scores"]
        student = next(row for row in systems["rows"] if row["system"] == NAMES["student", "dirichlet"])
        assert tuned["scores"]["mae"] != student["scores"]["mae"]


@pytest.mark.usefixtures("here")
def test_the_same_again_trains_nothing(study: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, alone = written(whole), results(whole)
    found = run_here(study, Path(whole.name))  # the same folder, seen from the one that it is in
    told = capsys.readouterr().err
    assert "seed 9: scoring" in told
    assert not {"utterance", "student", "preference", "step"} & {
        word for line in told.splitlines() for word in line.split()
    }
    assert written(whole) == before
    assert alone.pop("race")["rounds"] == 3
    assert found == alone


def test_64_for_another_study_in_the_same_folder(corner: Any, study: Path, whole: Path) -> None:
    before, text = written(whole), (whole / "study.yaml").read_text()
    for word in ("student.dirichlet.training.steps=7", "speakers.english.test=2"):
        with pytest.raises(UsageError, match="holds another study"):
            begin(study, [word], whole)
    ended = corner.run("dynamic", study, "teacher.step=0.4", "--out", whole)
    assert ended.code == 64, ended.err
    assert "holds another study" in ended.err
    assert written(whole) == before
    assert (whole / "study.yaml").read_text() == text


@pytest.mark.usefixtures("here")
def test_a_study_that_is_killed_comes_to_the_same(corner: Any, study: Path, whole: Path, tmp_path: Path) -> None:
    """Killed after the first half of a student's steps, it goes on from there."""
    out, words = tmp_path / "killed", ("seeds=[7]",)
    command = [sys.executable, "-m", "valenza", "dynamic", str(study), *words, "--out", str(out)]
    process = subprocess.Popen(command, cwd=corner.folder, env=corner.environment, stderr=subprocess.DEVNULL)
    reached = out / "runs" / "student-dirichlet-7" / "checkpoints" / "step-00000003"
    deadline = time.monotonic() + 120
    while process.poll() is None and not reached.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "pairs").exists()
    kept = written(out)
    killed = run_here(study, out, *words)
    assert kept.items() <= written(out).items()
    assert killed == run_here(study, whole, *words)
