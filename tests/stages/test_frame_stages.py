"""Teacher, student and preferences, each from the run before it: alike however they are heard, cut or resumed."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from valenza.config import load
from valenza.errors import DataError, UsageError
from valenza.labels.taxonomy import EMOTIONS
from valenza.recipe import Recipe
from valenza.shards.stored import read_index
from valenza.stages import lessons
from valenza.stages.pairs.folder import read_pairs

LAST = Path("checkpoints/step-00000008")
SLOWLY = "training.peak_lr=1e-4"
"""Adam's first steps are as long for slopes that are nothing but rounding; at this rate they stay out of the losses."""
both = pytest.mark.parametrize("name", ["student", "preference"])


def validated(run: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line["validation"] for line in lines if "validation" in line]


def steps_of(run: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if "loss" in line]


def test_a_teacher_writes_what_a_student_reads(home: Any) -> None:
    index = read_index(home.folder / "teacher" / "shards", ["english-tracks-heard", "italian-tracks-heard"])
    assert index.num_rows == read_index(home.folder / "tracks", ["english-tracks", "italian-tracks"]).num_rows
    recipe = load(Recipe, home.folder / "student" / "recipe.yaml")
    assert dict(recipe.data.train) == {"english-tracks-heard": 1, "italian-tracks-heard": 1}
    assert recipe.data.shards == (home.folder / "teacher" / "shards").resolve()
    assert recipe.student is not None
    assert recipe.student.source == (home.folder / "teacher").resolve()
    tuned = load(Recipe, home.folder / "preference" / "recipe.yaml")
    assert (tuned.encoder, tuned.heads, tuned.objective) == (recipe.encoder, recipe.heads, recipe.objective)
    prior = json.loads((home.folder / "student" / "prior.json").read_text())
    assert {name for name, share in prior.items() if share} == {"happiness", "sadness", "anger", "neutral"}
    assert prior == json.loads((home.folder / "preference" / "prior.json").read_text())
    assert list(prior) == list(EMOTIONS)


def test_each_stage_learns_and_is_validated(home: Any) -> None:
    student, tuned = home.folder / "student", home.folder / "preference"
    assert len(home.losses(student)) == len(home.losses(tuned)) == 8
    first, last = validated(student)
    assert last["loss"] < first["loss"]
    assert 0 < last["mae"] < 0.5
    first, last = validated(tuned)
    assert last["preferences"] == first["preferences"] > 0
    assert {"preference", "margin", "accuracy"} < last.keys()
    margins = [line["margin"] for line in steps_of(tuned)]
    assert margins[0] == 0  # the tuned network begins as its own reference
    assert max(margins[4:]) > 0
    weights = [load_file(run / LAST / "model.safetensors") for run in (student, tuned)]
    moved = {name for name in weights[0] if (weights[0][name] != weights[1][name]).any()}
    assert moved == {f"head.{layer}.{kind}" for layer in ("projection", "linear") for kind in ("weight", "bias")}


WRONG = [
    ("teacher", "teacher.from", "student", "is a run of stage `student`; teacher goes on from `utterance` or `adapt`"),
    ("student", "student.from", "first", "is a run of stage `utterance`; student goes on from `teacher`"),
    ("preference", "preference.from", "teacher", "preference goes on from `student` or `preference`"),
    ("preference", "preference.from", "nothing", "is not a run folder: it has no recipe.yaml"),
    ("student", "student.from", "nothing", "is not a run folder: it has no recipe.yaml"),
]


@pytest.mark.parametrize(("name", "field", "other", "told"), WRONG)
def test_a_stage_refuses_a_run_that_it_cannot_go_on_from(
    home: Any, tmp_path: Path, name: str, field: str, other: str, told: str
) -> None:
    before = {"teacher": "first", "student": "teacher", "preference": "student"}[name]
    file = tmp_path / f"{name}.yaml"
    text = home.recipe(name).read_text().replace(f"from: {home.folder}/{before}", f"from: {home.folder}/{other}")
    file.write_text(text)
    line = next(i for i, words in enumerate(text.splitlines(), 1) if words.strip().startswith("from: "))
    with pytest.raises(UsageError) as refused:
        load(Recipe, file)
    assert f"{file}:{line}: {field}: " in str(refused.value)
    assert told in str(refused.value)


def test_64_with_file_line_and_field_on_the_command_line(home: Any, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(home.recipe("student").read_text().replace("/teacher", "/first"))
    ended = home.corner.run("train", tmp_path / "s.yaml", "--out", tmp_path / "run")
    assert ended.code == 64
    assert "s.yaml:5: student.from: is a run of stage `utterance`" in ended.err
    assert not (tmp_path / "run").exists()


def test_only_sequences_that_have_a_density_are_compared(home: Any, tmp_path: Path) -> None:
    plain = ("heads.emotion=softmax", "objective={}", "training.steps=1")
    home.train("student", tmp_path / "softmax", *plain)
    with pytest.raises(UsageError, match=r"preference\.from: its head is no Dirichlet one"):
        load(Recipe, home.recipe("preference"), [f"preference.from={tmp_path / 'softmax'}"])
    with pytest.raises(UsageError, match=r"objective\.label_smoothing: densities are of sequences inside the simplex"):
        load(Recipe, home.recipe("preference"), ["objective.label_smoothing=0"])
    tuned = load(Recipe, home.recipe("preference"), ["heads.dropout=0.2", "encoder.freeze=[]"])
    student = load(Recipe, home.folder / "student" / "recipe.yaml")
    assert tuned.heads == student.heads.model_copy(update={"dropout": 0.2})
    assert tuned.encoder == student.encoder.model_copy(update={"freeze": ()})
    with pytest.raises(UsageError, match=r"is of another network than `encoder` and `heads` say: head\.linear\.weight"):
        home.train("preference", tmp_path / "run", "heads.projection=5")


@both
def test_heard_once_and_heard_live_are_one(
    home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Recordings of different lengths, of which a pass holds one, two or four."""
    before = home.cached()
    assert before
    wanted = home.train(name, tmp_path / "kept", SLOWLY)
    monkeypatch.setattr(lessons, "_LARGEST", 0)
    for each in (1, 2, 4):
        live = home.train(name, tmp_path / str(each), f"training.windows_per_pass={each}", SLOWLY)
        assert live == pytest.approx(wanted, rel=1e-5)
    assert home.cached() == before
    for scores, other in zip(validated(tmp_path / "4"), validated(tmp_path / "kept"), strict=True):
        assert scores == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_what_was_heard_otherwise_is_not_taken(home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are the same whatever `every` and `chunk` are; what the encoder says of moments is not."""
    monkeypatch.setenv("VALENZA_CACHE", str(tmp_path / "cache"))
    short = ("training.steps=2", "training.validate_every=2", SLOWLY)
    ways = [[], ["encoder.every=1"], ["encoder.chunk=0.5"], ["heads.context=0.2"], ["encoder.blocks=2"]]
    for number, way in enumerate(ways, 1):
        kept = home.train("student", tmp_path / f"kept-{number}", *short, *way)
        assert len(list((tmp_path / "cache" / "heard").glob("moments-*.npy"))) == number
        with monkeypatch.context() as patch:
            patch.setattr(lessons, "_LARGEST", 0)
            assert home.train("student", tmp_path / f"live-{number}", *short, *way) == pytest.approx(kept, rel=1e-5)


def test_an_encoder_that_is_not_frozen_is_tuned_too(home: Any, tmp_path: Path) -> None:
    before = home.cached()
    home.train("preference", tmp_path / "run", "encoder.freeze=[conv]", "training.steps=2")
    assert steps_of(tmp_path / "run")[0]["margin"] == pytest.approx(0, abs=1e-4)
    weights = load_file(tmp_path / "run" / "checkpoints" / "step-00000002" / "model.safetensors")
    student = load_file(home.folder / "student" / LAST / "model.safetensors")
    moved = {name for name in weights if (weights[name] != student[name]).any()}
    assert any(name.startswith("encoder.encoder.layers.0.") for name in moved)
    assert not any(name.startswith("encoder.encoder.conv") for name in moved)
    assert home.cached() == before


def assert_one(run: Path, other: Path, home: Any) -> None:
    """Two runs are one, to the last bit."""
    assert [loss.hex() for loss in home.losses(run)] == [loss.hex() for loss in home.losses(other)]
    assert validated(run) == validated(other)
    last = sorted((other / "checkpoints").glob("step-*"))[-1].name
    one, two = (folder / "checkpoints" / last / "model.safetensors" for folder in (run, other))
    assert one.read_bytes() == two.read_bytes()


@both
def test_resuming_changes_nothing(home: Any, tmp_path: Path, name: str) -> None:
    shutil.copytree(home.folder / name, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / LAST)
    home.train(name, tmp_path / "run", resume="auto")
    assert_one(tmp_path / "run", home.folder / name, home)


@pytest.mark.parametrize(("name", "after"), [("student", 2), ("preference", 1)])
def test_a_run_that_is_killed_is_the_run_that_was_left_alone(home: Any, tmp_path: Path, name: str, after: int) -> None:
    """Killed while the network is prepared, and between two checkpoints; dropout draws what it would have drawn."""
    words = ["training.steps=60", "training.checkpoint_every=10", "training.validate_every=30", "heads.dropout=0.3"]
    environment = home.corner.environment | {"VALENZA_CACHE": str(home.folder / "cache")}
    command = [sys.executable, "-m", "valenza", "train", str(home.recipe(name)), *words, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        begun = (tmp_path / "run" / "recipe.yaml").exists()
        if begun and len(list(tmp_path.glob("run/checkpoints/step-*"))) >= after:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "run/checkpoints/step-00000060").exists()
    home.train(name, tmp_path / "run", *words, resume="auto")
    home.train(name, tmp_path / "alone", *words)
    assert_one(tmp_path / "run", tmp_path / "alone", home)


def test_the_reference_is_computed_once(home: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home.folder / "preference", run)
    shutil.rmtree(run / LAST)
    whole, reference = (run / "reference.npy").read_bytes(), run / "reference.npy"
    before = reference.stat().st_mtime_ns
    home.train("preference", run, resume="auto")
    assert reference.stat().st_mtime_ns == before
    lines = (home.folder / "pairs" / "preferences.jsonl").read_text().splitlines()
    study = read_pairs(home.folder / "pairs")
    tracks = [json.loads(line)["prompt"]["track"] for line in lines]
    assert np.load(reference).shape == (sum(study.tracks[track].frames for track in tracks),)
    reference.unlink()
    shutil.rmtree(run / LAST)
    home.train("preference", run, resume="auto")
    assert reference.read_bytes() == whole, "it is that of the student, not of what it has become"
    assert_one(run, home.folder / "preference", home)


def test_a_reference_of_other_targets_is_not_taken(home: Any, tmp_path: Path) -> None:
    """A run that ended before its first checkpoint, and then another one in the same folder."""
    run = tmp_path / "run"
    shutil.copytree(home.folder / "preference", run)
    shutil.rmtree(run / "checkpoints")
    home.train("preference", run, "objective.label_smoothing=0.3")
    assert steps_of(run)[0]["margin"] == 0
    assert (run / "reference.npy").read_bytes() != (home.folder / "preference" / "reference.npy").read_bytes()


def test_a_run_is_not_resumed_with_other_preferences(home: Any, tmp_path: Path) -> None:
    shutil.copytree(home.folder / "pairs", tmp_path / "pairs")
    shutil.copytree(home.folder / "preference", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / LAST)
    file = tmp_path / "pairs" / "preferences.jsonl"
    lines = file.read_text()
    file.write_text("".join(lines.splitlines(keepends=True)[:-1]))
    with pytest.raises(UsageError, match="belongs to another"):
        home.train("preference", tmp_path / "run", f"preference.pairs={tmp_path / 'pairs'}", resume="auto")
    home.train("preference", tmp_path / "run", resume="auto")
    assert_one(tmp_path / "run", home.folder / "preference", home)


def test_folders_that_cannot_be_learned_from_are_told(home: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    shutil.copytree(home.folder / "pairs", folder)
    file = folder / "preferences.jsonl"
    lines, words = file.read_text().splitlines(keepends=True), f"preference.pairs={folder}"

    def refused(kind: type[Exception], told: str) -> None:
        with pytest.raises(kind, match=told):
            home.train("preference", tmp_path / "run", words)

    file.write_text("")
    refused(DataError, r"preferences\.jsonl: holds no preference")
    file.write_text(lines[0] + lines[1].replace('"track": "t-', '"track": "t-no'))
    refused(DataError, r"preferences\.jsonl:2: prompt\.track: .* has no track t-no")
    file.write_text(lines[0] + lines[1][:40] + "\n")
    refused(DataError, r"preferences\.jsonl:2: ")
    file.unlink()
    refused(UsageError, r"pairs: has no preferences\.jsonl; `valenza pairs export .*` writes it")
    (folder / "pairs.json").unlink()
    refused(UsageError, r"not a folder of pairs")
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_speakers_that_are_kept_aside_are_in_no_part(home: Any, tmp_path: Path) -> None:
    aside = 'data.aside=["english-tracks-heard/s1", "italian-tracks-heard/s4"]'
    home.train("student", tmp_path / "run", "training.steps=2", "training.validate_every=2", aside)
    from valenza.stages.prepare import prepare

    recipe = load(Recipe, tmp_path / "run" / "recipe.yaml")
    prepared = prepare(recipe)
    said = zip(prepared.index["corpus"].to_pylist(), prepared.index["speaker"].to_pylist(), strict=True)
    of_row = [f"{corpus}/{speaker}" for corpus, speaker in said]
    heard = {of_row[row] for rows in prepared.parts.values() for row in rows}
    assert heard == set(of_row) - {"english-tracks-heard/s1", "italian-tracks-heard/s4"}
    assert len(heard) == len(set(of_row)) - 2
    with pytest.raises(DataError, match=r"data\.aside: no clip is of english-tracks-heard/s9; did you mean"):
        home.train("student", tmp_path / "none", 'data.aside=["english-tracks-heard/s9"]')
    with pytest.raises(UsageError, match=r"data\.aside\.0: english/s1: expected `corpus/speaker`, of a corpus"):
        home.train("first", tmp_path / "none", "data.train={italian: 1}", "data.aside=[english/s1]")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@both
def test_two_processes_are_one(home: Any, tmp_path: Path, name: str) -> None:
    """They share the hearing, the steps and the validation; five recordings a step leave one a stand-in."""
    words = ["training.windows_per_step=5", "training.windows_per_pass=2", SLOWLY]
    command = [sys.executable, "-m", "valenza", "train", str(home.recipe(name)), *words, "--out", str(tmp_path / "two")]
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    world |= {"VALENZA_CACHE": str(tmp_path / "cache")}
    processes = []
    for rank in ("0", "1"):
        environment = home.corner.environment | world | {"RANK": rank, "LOCAL_RANK": rank}
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True))
    ended = [(process.communicate(timeout=240)[1], process.returncode) for process in processes]
    assert [code for _, code in ended] == [0, 0], ended
    one = home.train(name, tmp_path / "one", *words)
    assert home.losses(tmp_path / "two") == pytest.approx(one, rel=1e-5)
    for scores, other in zip(validated(tmp_path / "two"), validated(tmp_path / "one"), strict=True):
        assert scores == pytest.approx(other, rel=1e-4, abs=1e-6)
    kept = [np.load(file) for file in (tmp_path / "cache" / "heard").glob("moments-*.npy")]
    assert len(kept) == 1
    ours = [np.load(file) for file in home.cached()]
    assert any(mine.shape == kept[0].shape and np.allclose(mine, kept[0], atol=1e-5) for mine in ours)
