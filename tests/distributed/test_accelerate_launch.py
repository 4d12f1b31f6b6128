"""Accelerate's own launcher starts the engine that its configuration file names, or the run says why not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch" / "accelerate"


def launch(corner: Any, run: Path, *machine: str) -> subprocess.CompletedProcess[str]:
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", *machine, "--num_processes", "2"]
    words = ["train", str(corner.recipe), "training.steps=2", "--out", str(run), "--precision", "no"]
    return subprocess.run(
        [*accelerate, "-m", "valenza", *words],
        cwd=LAUNCH.parents[1],
        env=corner.environment | {"DS_ACCELERATOR": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("engine", ["ddp", "fsdp2", "zero2"])
def test_what_a_configuration_names_is_what_runs(corner: Any, tmp_path: Path, engine: str) -> None:
    if engine == "zero2":
        pytest.importorskip("deepspeed", reason="needs the extra `deepspeed`")
    done = launch(corner, tmp_path / "run", "--config_file", str(LAUNCH / f"{engine}.yaml"))
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "run/environment.json").read_text())
    assert (told["engine"], told["processes"]) == (engine, 2)


def test_processes_that_accelerate_drops_are_missed(corner: Any, tmp_path: Path) -> None:
    """With `--cpu` it starts one plain process, whatever it was asked for, which would train and end well."""
    done = launch(corner, tmp_path / "run", "--cpu", "--mixed_precision", "no")
    assert "accelerate launch --cpu starts one plain process" in done.stderr
    assert done.returncode != 0
    assert not (tmp_path / "run").exists()
