"""Training on changed clips: a resumed run is the run that was left alone, on every path to the encoder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from valenza.config import load
from valenza.recipe import Recipe
from valenza.stages import frozen
from valenza.stages.run import train_run

WAVEFORM = (
    "crop: .5, speed: .5, reversal: .5, equaliser: .5, echo: .5, noise: .5, polarity: .5, gain: .5, shift: .5, roll: .5"
)
SPECTROGRAM = "mel_noise: .5, frequency_mask: .5, time_mask: .5"
FRESH = f"augment={{{WAVEFORM}, {SPECTROGRAM}}}"
FIXED = f"augment={{versions: 3, {WAVEFORM}, {SPECTROGRAM}}}"
ALONE = (
    "encoder.attention=clip",
    "encoder.freeze=[all]",
    "encoder.layers=mixture",
    "objective.level=clip",
    "training.head_lr=0.01",
)
SITE = os.environ.get("VALENZA_GPU_SITE", "")
Train = Callable[..., list[float]]


def halfway(whole: Path, run: Path) -> None:
    """Make a run folder that was left after step 6 of 12, and has told of more steps than it kept."""
    run.mkdir()
    shutil.copytree(whole / "checkpoints" / "step-00000006", run / "checkpoints" / "step-00000006")
    for name in ("recipe.yaml", "metrics.jsonl", "prior.json"):
        shutil.copy(whole / name, run / name)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:9]))


def same_end(one: Path, other: Path) -> None:
    last = "checkpoints/step-00000012/model.safetensors"
    weights, others = load_file(one / last), load_file(other / last)
    assert weights.keys() == others.keys()
    assert all(weights[name].equal(others[name]) for name in weights)


PATHS = {"trained": (FRESH,), "versions": (*ALONE, FIXED), "frozen": (*ALONE, FRESH)}


@pytest.mark.parametrize("settings", PATHS.values(), ids=PATHS)
def test_a_resumed_run_is_the_run_that_was_left_alone(
    train_here: Train, corner: Any, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    whole = train_here(tmp_path / "whole", *settings)
    halfway(tmp_path / "whole", tmp_path / "resumed")
    recipe = load(Recipe, corner.recipe, settings)
    train_run(recipe, tmp_path / "resumed", resume="auto", workers=0, precision="no")
    assert corner.losses(tmp_path / "resumed") == whole
    same_end(tmp_path / "whole", tmp_path / "resumed")
    plain = train_here(tmp_path / "plain", *settings, "augment={}", "training.steps=1")
    assert plain[0] != whole[0]


def test_workers_do_not_matter(train_here: Train, corner: Any, tmp_path: Path) -> None:
    alone = train_here(tmp_path / "alone", FRESH)
    recipe = load(Recipe, corner.recipe, [FRESH])
    train_run(recipe, tmp_path / "shared", resume="never", workers=2, precision="no")
    assert corner.losses(tmp_path / "shared") == alone


def test_versions_that_were_heard_once_are_those_that_are_heard_every_time(
    train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = train_here(tmp_path / "once", *ALONE, FIXED)
    # Where the means would not fit into memory, training goes over frames.
    monkeypatch.setattr(frozen, "_LARGEST", 0)
    frames = train_here(tmp_path / "frames", *ALONE, FIXED)
    assert once[0] == pytest.approx(frames[0], rel=2e-2)
    # the clips of a random encoder differ little, so that rounding weighs more with every step
    assert once == pytest.approx(frames, rel=5e-2)
    assert once != frames


@pytest.mark.skipif(not SITE, reason="torch-audiomentations is not here; see VALENZA_GPU_SITE")
def test_batches_that_are_changed_on_arrival_resume_exactly(corner: Any, tmp_path: Path) -> None:
    settings = f"augment={{drawn: batch, {WAVEFORM}, {SPECTROGRAM}}}"

    def train(run: Path, resume: str) -> list[float]:
        paths = os.pathsep.join([corner.environment["PYTHONPATH"], SITE])
        words = ["train", corner.recipe, settings, "--out", run, "--resume", resume, "--workers", "0"]
        subprocess.run(
            [sys.executable, "-m", "valenza", *map(str, words)],
            env={**corner.environment, "PYTHONPATH": paths},
            check=True,
            capture_output=True,
            timeout=240,
        )
        return list(corner.losses(run))

    whole = train(tmp_path / "whole", "never")
    halfway(tmp_path / "whole", tmp_path / "resumed")
    assert train(tmp_path / "resumed", "auto") == whole
    same_end(tmp_path / "whole", tmp_path / "resumed")
