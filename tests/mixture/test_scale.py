"""Epochs that no disk here could hold: planned from a generated index, and what they would cost."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from valenza.cli.bench import app
from valenza.mixture.cost import ENCODERS, epoch_costs, storage
from valenza.mixture.generated import CORPORA, GeneratedIndex
from valenza.mixture.scale import measure_scale

DOCS = Path(__file__).resolve().parents[2] / "docs"
PLANS = sorted((DOCS / "scaling").glob("plan-*.json"))


def test_a_generated_index_is_the_same_whenever_it_is_read() -> None:
    index = GeneratedIndex(50.0, seed=3)
    numbers = []
    for shard in range(len(index.clips)):
        rows, seconds = index.read(shard)
        assert len(rows) == len(seconds) == index.clips[shard]
        assert seconds.sum() == pytest.approx(index.seconds[shard])
        assert seconds.min() >= 0.3
        assert seconds.max() <= 30.0
        assert (seconds == GeneratedIndex(50.0, seed=3).read(shard)[1]).all()
        numbers += rows.tolist()
    assert numbers == list(range(len(numbers)))
    assert index.seconds.sum() / 3600 == pytest.approx(50, rel=0.01)


def test_generated_clips_are_as_long_as_those_of_the_paper() -> None:
    clips, hours = (sum(column) for column in zip(*CORPORA.values(), strict=True))
    index = GeneratedIndex(5000.0, seed=1)
    assert hours == pytest.approx(375, abs=0.1)
    assert index.seconds.sum() / index.clips.sum() == pytest.approx(3600 * hours / clips, rel=0.01)


@pytest.mark.parametrize(("ranks", "lanes", "shared"), [(6, 6, 1), (3, 6, 1), (4, 6, 2), (5, 6, 5)])
def test_an_epoch_is_dealt_evenly_and_read_once_by_processes_that_divide_its_lanes(
    ranks: int, lanes: int, shared: int
) -> None:
    measured = measure_scale(120.0, ranks=ranks, lanes=lanes, block_hours=10.0)
    least, most = measured["windows_per_rank"]
    assert most - least <= 1
    assert measured["audio_imbalance"] < 0.02
    assert measured["lane_imbalance"] < 0.02
    assert measured["read_amplification"] == shared
    assert measured["blocks"] == 12
    assert measured["windows_below_fill"] <= measured["blocks"]
    assert measured["peak_memory_mb"] < 4096
    if shared == 1:
        assert measured["windows_of_other_lanes"] < 0.02


def test_formulas_give_the_operations_that_were_counted() -> None:
    """FLOPs as torch's FlopCounterMode counts them."""
    forward = {name: encoder.forward_flops / 1e9 for name, encoder in ENCODERS.items()}
    assert forward == pytest.approx({"base": 87.4, "medium": 1138.1, "large-v3": 2273.8}, rel=1e-3)
    training = {name: encoder.training_flops / 1e12 for name, encoder in ENCODERS.items()}
    assert training == pytest.approx({"base": 0.256, "medium": 3.392, "large-v3": 6.786}, rel=1e-3)
    rates = {cost.encoder: cost.windows_per_gpu_second for cost in epoch_costs(375.0, 4, 0.876)}
    assert rates == pytest.approx({"base": 1932, "medium": 146, "large-v3": 73}, rel=0.01)
    assert storage(1000.0) == pytest.approx({"flac_tb": 0.0838, "wav_tb": 0.1152})


def test_the_page_shows_what_the_commands_print(tmp_path: Path) -> None:
    page = tmp_path / "scaling.md"
    shutil.copy(DOCS / "scaling.md", page)
    done = CliRunner().invoke(app, ["cost", *map(str, PLANS), "--into", str(page)])
    assert done.exit_code == 0, done.output
    assert page.read_text() == (DOCS / "scaling.md").read_text()


def test_a_million_hours_were_planned_for_4096_ranks_within_the_limits() -> None:
    measured = json.loads((DOCS / "scaling" / "plan-1000000h.json").read_text())
    assert measured["hours"] == 1_000_000
    assert measured["ranks"] == 4096
    assert measured["cpu_seconds"] < 600
    assert measured["peak_memory_mb"] < 4096
    assert measured["window_imbalance"] < 0.01
    assert measured["audio_imbalance"] < 0.01


def test_the_commands_answer(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["plan", "--hours", "20", "--ranks", "2", "--block-hours", "5", "--json"])
    assert done.exit_code == 0, done.output
    measured = json.loads(done.stdout)
    assert measured["lanes"] == 2
    file = tmp_path / "plan.json"
    file.write_text(done.stdout)
    costs = json.loads(runner.invoke(app, ["cost", str(file), "--json"]).stdout)
    assert [cost["encoder"] for cost in costs["epochs"]] == list(ENCODERS)
    assert all(np.isfinite(cost["gpu_hours"]) and cost["gpu_hours"] > 0 for cost in costs["epochs"])
    assert "| hours |" in runner.invoke(app, ["cost", str(file)]).stdout


@pytest.mark.parametrize("text", ["{}", "[", "3", '{"hours": 3}'])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    from valenza.errors import UsageError

    file = tmp_path / "plan.json"
    file.write_text(text)
    done = CliRunner().invoke(app, ["cost", str(file)])
    assert isinstance(done.exception, UsageError)
    assert str(file) in str(done.exception)
