"""Checkpoints are whole or absent, whatever happens to the disk."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from valenza.errors import ShardError, UsageError, WriteError
from valenza.mixture.stream import Position
from valenza.training.checkpoint import (
    COMPLETE,
    State,
    _digest,
    checkpoints,
    fault,
    load_state,
    load_weights,
    newest,
    save,
)  # fmt: skip
from valenza.training.report import Record, read_metrics

ROOT = Path(__file__).resolve().parents[2]
FILES = ("model.safetensors", "optimizer.safetensors", "state.json", COMPLETE)


def write(folder: Path, step: int, keep: int = 9) -> Path:
    generator = torch.Generator().manual_seed(step)
    weights = {"a": torch.randn(30, 4, generator=generator), "b": torch.arange(5)}
    moments = {"a.exp_avg": torch.full((30, 4), 0.5), "a.step": torch.tensor(float(step))}
    state = State(step, Position(2, step), {"seed": "7"})
    return save(folder, weights, moments, state, keep=keep)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = write(tmp_path / "run" / "checkpoints", 1000)
    assert path.name == "step-00001000"
    assert names(path) == sorted(FILES)
    assert newest(path.parent) == path
    generator = torch.Generator().manual_seed(1000)
    weights = load_weights(path)
    torch.testing.assert_close(weights["a"], torch.randn(30, 4, generator=generator), atol=0, rtol=0)
    assert weights["b"].tolist() == [0, 1, 2, 3, 4]
    state, moments = load_state(path)
    assert state == State(1000, Position(2, 1000), {"seed": "7"})
    assert float(moments["a.step"]) == 1000
    assert moments["a.exp_avg"].eq(0.5).all()


def test_the_oldest_are_deleted(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write(tmp_path, step, keep=2)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]


def test_a_step_can_be_written_again(tmp_path: Path) -> None:
    path = write(tmp_path, 5)
    (path / "state.json").write_text("{}")
    assert write(tmp_path, 5) == path
    assert fault(path) is None


def test_a_damaged_later_one_does_not_push_out_what_was_just_written(tmp_path: Path) -> None:
    write(tmp_path, 100)
    (write(tmp_path, 200) / "model.safetensors").write_bytes(b"")
    path = write(tmp_path, 150, keep=1)
    assert newest(tmp_path) == path


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_noticed_and_the_one_before_is_taken(tmp_path: Path, name: str, capsys: Any) -> None:
    good, bad = write(tmp_path, 1), write(tmp_path, 2)
    whole = (bad / name).read_bytes()
    for at in {*range(0, len(whole), max(1, len(whole) // 15)), len(whole) - 2}:
        (bad / name).write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        assert fault(bad), (name, at)
    assert newest(tmp_path) == good
    assert "step-00000002: passed over, " in capsys.readouterr().err
    with pytest.raises(UsageError, match="not a usable checkpoint"):
        load_weights(bad)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_cut_file_is_noticed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, 1)
    whole = (path / name).read_bytes()
    (path / name).write_bytes(whole[:-5])
    assert fault(path)
    (path / name).unlink()
    assert fault(path) == f"{name} is missing"


def test_without_a_whole_one_a_run_does_not_start_over(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "none") is None
    (write(tmp_path, 1) / COMPLETE).unlink()
    (write(tmp_path, 2) / "state.json").write_text("{}")
    with pytest.raises(ShardError, match="none of 2 checkpoints verifies"):
        newest(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match="step-00000001: the checkpoint cannot be written"):
        write(tmp_path / "file", 1)
    if os.geteuid() == 0:
        return  # who may write everywhere
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(WriteError, match="Permission denied"):
        write(tmp_path / "locked", 1)


FULL = """
import resource, sys, torch
from pathlib import Path
from valenza.errors import WriteError
from valenza.mixture.stream import Position
from valenza.training.checkpoint import State, save

folder, limit, weights, moments = Path(sys.argv[1]), *map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    save(folder, {"a": torch.zeros(weights)}, {"s": torch.zeros(moments)}, State(2, Position(), {}), keep=1)
except WriteError as error:
    print(error)
"""


@pytest.mark.parametrize(("weights", "moments"), [(100_000, 10), (10, 100_000)], ids=["weights", "optimizer"])
def test_a_full_disk_leaves_the_earlier_one_as_it_was(tmp_path: Path, weights: int, moments: int) -> None:
    before = {p.name: p.read_bytes() for p in write(tmp_path, 1).iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), "50000", str(weights), str(moments)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "platform")},
        capture_output=True,
        text=True,
    )
    assert "step-00000002: the checkpoint cannot be written" in done.stdout, done.stderr
    assert names(tmp_path) == ["step-00000001"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "step-00000001").iterdir()} == before


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


def test_an_optimizer_that_runs_code_is_refused(tmp_path: Path) -> None:
    path, canary = write(tmp_path, 1), tmp_path / "canary"
    torch.save({"state": Hostile(canary)}, path / "optimizer.safetensors")
    for form in (None, pickle.dumps(Hostile(canary), protocol=2)):
        if form is not None:
            (path / "optimizer.safetensors").write_bytes(form)
        digests = {name: _digest(path / name) for name in FILES if name != COMPLETE}
        (path / COMPLETE).write_text(json.dumps(digests))
        assert fault(path) is None
        with pytest.raises(ShardError, match="was not read"):
            load_state(path)
    assert not canary.exists()
    Hostile(canary).__reduce__()[0](canary)
    assert canary.exists()


def test_what_an_earlier_version_wrote_is_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    (path / "optimizer.safetensors").rename(path / "optimizer.pt")
    with pytest.raises(UsageError, match="was written by an earlier version"):
        load_state(path)


def test_a_disk_without_room_is_noticed_before_a_byte_is_written(tmp_path: Path) -> None:
    big = torch.zeros(1).expand(shutil.disk_usage(tmp_path).free // 4)  # a tensor of that size that takes no memory
    with pytest.raises(WriteError, match=r"step-00000002: .*the disk is full \(.* bytes are needed"):
        save(tmp_path, {"a": big}, {}, State(2, Position(), {}), keep=1)
    assert names(tmp_path) == []


def test_remains_of_a_write_that_was_cut_short_are_no_checkpoint(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    shutil.copytree(path, tmp_path / ".step-00000002.partial")
    assert checkpoints(tmp_path) == [path]
    assert write(tmp_path, 2).name == "step-00000002"
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_metrics_are_rewound_to_the_checkpoint_and_a_cut_line_is_dropped(tmp_path: Path) -> None:
    record = Record(tmp_path, writes=True, tracker="none", recipe={})
    record.rewind(3)  # nothing there yet
    for step in range(1, 8):
        record.add(step, {"loss": 1 / step, "norm": float("nan")})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 8, "lo')
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == list(range(1, 8))
    record.rewind(5)
    record.add(6, {"loss": 0.5})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[1] == {"step": 2, "loss": 0.5, "norm": None}
    assert names(tmp_path) == ["metrics.jsonl"]


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    record = Record(tmp_path, writes=False, tracker="none", recipe={})
    record.add(1, {"loss": 1.0})
    record.tell("hello")
    record.rewind(0)
    assert names(tmp_path) == []


def test_metrics_that_cannot_be_written_stop_the_run_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(WriteError, match=r"metrics\.jsonl: cannot be written"):
        Record(tmp_path, writes=True, tracker="none", recipe={}).add(1, {})
