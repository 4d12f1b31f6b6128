"""Whole runs whose windows grow, whose weights are averaged and whose domains are fought, and what they leave."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from valenza.config import load
from valenza.recipe import Recipe
from valenza.stages.run import train_run

ALL = (
    "training.windows_per_step=[2, 8]",
    "training.average.last=0.5",
    "training.layer_decay=0.8",
    "heads.projection=12",
    "heads.hidden=tanh",
    "objective.domain={mode: reversal, weight: 0.1, warmup: 0.5}",
)


def lines(run: Path) -> list[dict[str, Any]]:
    return [line for text in (run / "metrics.jsonl").read_text().splitlines() if "loss" in (line := json.loads(text))]


def weights(run: Path, step: int, file: str = "model") -> dict[str, torch.Tensor]:
    return load_file(run / f"checkpoints/step-{step:08d}/{file}.safetensors")


@pytest.fixture
def whole(train_here: Callable[..., list[float]], tmp_path: Path) -> Path:
    train_here(tmp_path / "whole", *ALL, "training.checkpoint_every=1", "training.keep_checkpoints=99")
    return tmp_path / "whole"


def test_a_run_with_everything(whole: Path, corner: Any) -> None:
    told = lines(whole)
    position = [(line["epoch"], line["windows"]) for line in told]
    taken = [2] * 4 + [4] * 4 + [8] * 4
    each = max(w for e, w in position if e == 0)  # windows of an epoch, at least; the stream goes over its end
    assert [w for e, w in position if e == 0] == [sum(taken[: i + 1]) for i in range(sum(e == 0 for e, _ in position))]
    assert each <= sum(taken)
    # Corpus, speaker and language of 12 speakers less the 2 that are kept for validation.
    assert 0 < told[0]["domain"] < 2 * torch.tensor(10.0).log()
    assert all(0 <= line["domain_accuracy"] <= 1 for line in told)
    assert all(line["loss"] == pytest.approx(line["soft_labels"] + line["domain"], rel=1e-5) for line in told)

    raw = [weights(whole, step, "training") for step in range(1, 13)]
    mean = weights(whole, 12)
    for name, value in mean.items():
        wanted = torch.stack([one[f"network.{name}"] for one in raw[6:]]).double().mean(dim=0)
        torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-7, msg=name)
    moved = [name for name in mean if not torch.equal(mean[name], raw[-1][f"network.{name}"])]
    assert "head.linear.weight" in moved
    assert set(raw[0]) - {f"network.{name}" for name in mean} == {
        f"adversary.head.linear.{n}" for n in ("weight", "bias")
    }
    assert raw[0]["adversary.head.linear.weight"].shape == (10, 12)

    # Left after step 5, with windows about to double again and the mean about to begin.
    again = whole.parent / "again"
    shutil.copytree(whole, again)
    for step in range(6, 13):
        shutil.rmtree(again / f"checkpoints/step-{step:08d}")
    words = (*ALL, "training.checkpoint_every=1", "training.keep_checkpoints=99")
    train_run(load(Recipe, corner.recipe, words), again, resume="auto", workers=0, precision="no")
    assert [line["loss"] for line in lines(again)] == [line["loss"] for line in told]
    for file in ("model", "training"):
        last = f"checkpoints/step-00000012/{file}.safetensors"
        assert (again / last).read_bytes() == (whole / last).read_bytes()


def test_an_adversary_without_weight_changes_nothing(train_here: Callable[..., list[float]], tmp_path: Path) -> None:
    train_here(tmp_path / "none", "training.steps=4", "training.clip_norm=1e9")
    domain = "objective.domain={mode: reversal, weight: 0}"
    train_here(tmp_path / "zero", "training.steps=4", "training.clip_norm=1e9", domain)
    assert [line["soft_labels"] for line in lines(tmp_path / "zero")] == [
        line["soft_labels"] for line in lines(tmp_path / "none")
    ]
    assert "domain" not in lines(tmp_path / "none")[0]
    none = weights(tmp_path / "none", 4)
    assert all(torch.equal(value, none[name]) for name, value in weights(tmp_path / "zero", 4).items())
    assert not (tmp_path / "none/checkpoints/step-00000004/training.safetensors").exists()
