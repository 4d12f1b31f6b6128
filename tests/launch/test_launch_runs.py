"""Rendered scripts at work: they start a run again by its exit code, and hand on what they were told."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from valenza.launch.shell import VERDICT

STAND_IN = """#!/usr/bin/env bash
# In place of Python: notes its arguments, and leaves the next exit code of the list.
[[ $1 == -c ]] && exec "{python}" "$@"
printf '%s\\0' "$@" >>"{seen}"; printf '\\n' >>"{seen}"
mkdir -p "{run}"
code=$(head -n 1 "{codes}"); sed -i 1d "{codes}"
[[ $code == silent ]] || printf '{{"code": %s}}' "$code" >"{run}/exit.json"
[[ $code == 0 ]] && exit 0
exit 1
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A command that ends as it is told, time after time; returns it and the file of its arguments."""

    def make(run: Path, *codes: object) -> tuple[Path, Path]:
        seen, listed, command = tmp_path / "seen", tmp_path / "codes", tmp_path / "python"
        listed.write_text("".join(f"{code}\n" for code in codes))
        command.write_text(STAND_IN.format(python=sys.executable, seen=seen, run=run, codes=listed))
        command.chmod(0o755)
        return command, seen

    return make


def render(corner: Any, file: Path, *words: object) -> Path:
    ended = corner.run("launch", *words, "--out-file", file)
    assert ended.code == 0, ended.err
    return file


@pytest.mark.parametrize(
    ("codes", "restarts", "attempts", "ends"),
    [
        ((0,), 5, 1, 0),
        ((75, 76, 75, 0), 5, 4, 0),
        ((64,), 5, 1, 64),
        ((75, 65), 5, 2, 65),
        ((70,), 5, 1, 70),
        ((76, 76, 76, 76), 2, 3, 76),
        (("silent", "silent", 0), 5, 3, 0),
        (("silent", "silent", "silent", "silent"), 9, 4, 1),  # a crash at start-up is no reason to go on for ever
    ],
)
def test_what_follows_an_exit_code(
    corner: Any, tmp_path: Path, stand_in: Any, codes: tuple[object, ...], restarts: int, attempts: int, ends: int
) -> None:
    run = tmp_path / "run"
    command, seen = stand_in(run, *codes)
    words = ("torchrun", "--restarts", restarts, "--python", command, "--out", run, corner.recipe)
    done = subprocess.run(
        ["bash", render(corner, tmp_path / "job.sh", *words)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == ends, done.stderr
    assert len(seen.read_text().splitlines()) == attempts


def test_nothing_in_a_path_or_an_override_is_run_by_the_shell(corner: Any, tmp_path: Path, stand_in: Any) -> None:
    folder = tmp_path / 'it\'s $(touch pwned) `touch pwned` "so" \\ ; touch pwned'
    folder.mkdir()
    recipe, run, override = folder / "re cipe.yaml", folder / "run", "data.shards=$(touch pwned); 'touch' pwned & *"
    recipe.write_text(corner.recipe.read_text())
    command, seen = stand_in(tmp_path / "run", 0)
    script = render(
        corner, tmp_path / "job.sh", "torchrun", "--python", command, "--out", run, "--name", "x", recipe, override
    )
    subprocess.run(["bash", script], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    words = seen.read_text().split("\0")
    assert words[words.index("--out") + 1] == str(run)
    assert words[words.index("--") + 1 : -1] == [str(recipe), override]
    assert not [*tmp_path.rglob("pwned"), *corner.folder.rglob("pwned")]


@pytest.mark.parametrize(
    ("left", "status", "grew", "count", "code"),
    [
        ('{"code": 75, "reason": "asked"}', 1, False, 9, 75),
        ('{"code": 0}', 1, False, 0, 0),
        ('{"code": "65; touch pwned"}', 1, True, 9, 76),
        ("{", 0, False, 9, 0),
        (None, 1, True, 9, 76),
        (None, 1, False, 2, 76),
        (None, 1, False, 3, 1),
        (None, 137, False, 3, 137),
        (None, 127, True, 0, 127),
    ],
)
def test_the_verdict_on_an_attempt(
    tmp_path: Path, left: str | None, status: int, grew: bool, count: int, code: int
) -> None:
    (tmp_path / "run" / "checkpoints" / "step-00000002").mkdir(parents=True)
    if left is not None:
        (tmp_path / "run" / "exit.json").write_text(left)
    after = "mkdir run/checkpoints/step-00000004" if grew else ":"
    lines = (
        f'run=run python="{sys.executable}"\n{VERDICT}\nbefore=$(newest)\n{after}\nverdict {status} "$before" {count}'
    )
    done = subprocess.run(["bash", "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"{code}\n"
    assert not (tmp_path / "pwned").exists()


STEPS = ("training.steps=24", "training.checkpoint_every=4", "training.validate_every=12")


def hexes(corner: Any, run: Path) -> list[str]:
    return [float(loss).hex() for loss in corner.losses(run)]


def weights(run: Path) -> bytes:
    return (run / "checkpoints" / "step-00000024" / "model.safetensors").read_bytes()


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if len((run / "metrics.jsonl").read_text().splitlines()) >= step:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"step {step} was not reached")


@pytest.fixture
def start(corner: Any, tmp_path: Path) -> Any:
    """Start a rendered script; a script that still runs at the end of the test is killed with all its processes."""
    started: list[subprocess.Popen[str]] = []

    def go(script: Path, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["bash", script],
            env=corner.environment | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield go
    for process in started:
        if process.poll() is None:
            process.kill()
        for pid in trainers(tmp_path):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def trainers(out: Path) -> list[int]:
    """The training processes of a run below this folder, without their launcher."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "train" in words and "torch.distributed.run" not in words and any(str(out) in w for w in words):
                found.append(int(entry.name))
    return found


def test_a_killed_process_and_a_stop_leave_the_curve_of_an_undisturbed_run(
    corner: Any, tmp_path: Path, start: Any
) -> None:
    def job(run: Path) -> Path:
        words = ("torchrun", "--processes-per-node", 2, "--gpus-per-node", 0, "--out", run, corner.recipe, *STEPS)
        return render(corner, tmp_path / f"{run.name}.sh", *words)

    calm, rough = tmp_path / "calm", tmp_path / "rough"
    undisturbed = start(job(calm))
    assert undisturbed.wait(200) == 0, undisturbed.stderr.read()
    script = job(rough)
    first = start(script)
    wait_for_step(rough, 6, first)
    os.kill(trainers(rough)[-1], signal.SIGKILL)
    time.sleep(1)
    wait_for_step(rough, 11, first)  # it has started again by itself
    first.send_signal(signal.SIGTERM)
    assert first.wait(120) == 75, first.stderr.read()
    assert json.loads((rough / "exit.json").read_text())["code"] == 75
    second = start(script)
    assert second.wait(200) == 0, second.stderr.read()
    assert hexes(corner, rough) == hexes(corner, calm)
    assert len(hexes(corner, calm)) == 24
    assert weights(rough) == weights(calm)


def test_the_scripts_of_kubernetes_and_skypilot_train(corner: Any, tmp_path: Path, start: Any) -> None:
    """On one node each, with the files and the variables that those systems provide."""
    files, mount = tmp_path / "files", tmp_path / "mount"
    files.mkdir()
    mount.mkdir()
    (files / "recipe.yaml").write_text(corner.recipe.read_text())
    places = ("--mount", mount, "--files", files, "--gpus-per-node", 0, "--python", sys.executable)
    k8s, sky = ((kind, *places, corner.recipe, "training.steps=2") for kind in ("k8s", "sky"))
    text = render(corner, tmp_path / "k8s.yaml", *k8s, "--image", "x", "--out", "runs/k8s").read_text()
    (config,) = [d for d in yaml.safe_load_all(text) if d["kind"] == "ConfigMap"]
    text = render(
        corner, tmp_path / "sky.yaml", *sky, "--image", "x", "--storage", "s3://x", "--out", "runs/sky"
    ).read_text()
    scripts = {"k8s": config["data"]["job.sh"], "sky": yaml.safe_load(text)["run"]}
    kubeflow = {"PET_NNODES": "1", "PET_NPROC_PER_NODE": "1", "PET_NODE_RANK": "0"}
    kubeflow |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": "29517"}
    skypilot = {"SKYPILOT_NODE_RANK": "0", "SKYPILOT_NODE_IPS": "127.0.0.1\n", "SKYPILOT_NUM_NODES": "1"}
    for name, variables in (("k8s", kubeflow), ("sky", skypilot)):
        script = tmp_path / f"{name}.sh"
        script.write_text(scripts[name])
        process = start(script, **variables)
        assert process.wait(120) == 0, process.stderr.read()
        assert len(corner.losses(mount / "runs" / name)) == 2
