"""An adapted run whose encoder is frozen as the run before it had trained it: heard once, and resumed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from valenza.config import load
from valenza.errors import UsageError
from valenza.recipe import Recipe
from valenza.stages.run import train_run
from valenza.training.checkpoint import load_weights

HEARD = ("encoder.attention=clip", "objective.level=clip", "heads.projection=6", "training.peak_lr=3e-2")
RECIPE = """stage: adapt
seed: 11
data: {{shards: {shards}, train: {{german: 1}}, window_seconds: 6}}
adapt: {{from: {run}, per_class: 2, freeze: [all]}}
objective: {{domain: {{mode: reversal, weight: 0.3, penalty: 0.1, lr: 0.003, of: [speaker]}}}}
training: {{steps: 6, windows_per_step: 2, peak_lr: 1e-2, average: {{ema: 0.5}}, checkpoint_every: 3}}
"""


def test_a_resumed_run_hears_with_the_encoder_that_it_began_with(
    corner: Any, train_here: Callable[..., list[float]], tmp_path: Path
) -> None:
    train_here(tmp_path / "source", *HEARD)
    file = tmp_path / "few.yaml"
    file.write_text(RECIPE.format(shards=corner.shards, run=tmp_path / "source"))
    recipe, whole, cut = load(Recipe, file), tmp_path / "whole", tmp_path / "cut"
    last = train_run(recipe, whole, resume="auto", workers=0, precision="no")
    trained, before = load_weights(last), load_weights(tmp_path / "source/checkpoints/step-00000012")
    assert all(torch.equal(trained[name], before[name]) for name in before if name.startswith("encoder."))
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoints/step-00000006")
    shutil.rmtree(tmp_path / "source" / "checkpoints")  # a run that has begun needs it no more
    again = train_run(recipe, cut, resume="auto", workers=0, precision="no")
    for name in ("model.safetensors", "training.safetensors", "optimizer.safetensors"):
        assert (again / name).read_bytes() == (last / name).read_bytes(), name
    assert corner.losses(cut) == corner.losses(whole)
    # Another network is told of, and not half restored.
    with pytest.raises(UsageError, match="another recipe"):
        train_run(load(Recipe, file, ["heads.projection=5"]), cut, resume="auto", workers=0, precision="no")
