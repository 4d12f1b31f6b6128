"""TensorRT-RTX engines, built for real on machines without a GPU."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from valenza.errors import BAD_DATA, USAGE, DataError, UsageError
from valenza.export.engines.bench import bench_engine, show_bench
from valenza.export.engines.runner import EngineRunner, choose, least
from valenza.export.engines.sidecar import Reach, Sidecar, import_library, read_engine, show_engine, sidecar_path
from valenza.export.engines.tensorrt import BATCH, SINGLE, build_engine

onnx = pytest.importorskip("onnx", reason="`pip install valenza[export]`")
Export = Callable[..., Any]
MADE = [
    ("whisper", "dirichlet", "mel", "fp16"),
    ("whisper", "softmax", "waveform", "fp32"),
    ("wav2vec2", "softmax", "waveform", "fp16"),
]


@pytest.fixture(scope="session")
def rtx() -> Any:
    try:
        return import_library("tensorrt_rtx")
    except UsageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def engine(exported: Export, rtx: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds the engine of an exported network for an RTX 3090 and for the RTX 40 series, once for each."""
    folder = tmp_path_factory.mktemp("engines")
    built: dict[tuple[str, ...], Path] = {}

    def build(*key: str) -> Path:
        if key not in built:
            built[key] = folder / f"{'-'.join(key)}.engine"
            build_engine(exported(*key).path, built[key], sms=(89, 86))
        return built[key]

    return build


@pytest.fixture(scope="session")
def sidecar(engine: Callable[..., Path]) -> Sidecar:
    return read_engine(engine(*MADE[0]))


@pytest.mark.parametrize("key", MADE, ids="-".join)
def test_an_engine_is_built_for_sm86_and_sm89_and_its_sidecar_tells_all_of_it(
    key: tuple[str, ...], engine: Callable[..., Path], exported: Export
) -> None:
    path = engine(*key)
    sidecar = read_engine(path)
    model = onnx.load(str(exported(*key).path))
    assert sidecar.library == "tensorrt_rtx"
    assert sidecar.compute_capabilities == (86, 89)
    assert sidecar.precision == key[3]
    first, sizes = ("mel", (16, 30, 16, 300, 16, 1000)) if key[2] == "mel" else ("audio", (4800, 48_000, 160_000))
    by_name = {tensor.name: tensor for tensor in (*sidecar.inputs, *sidecar.outputs)}
    for value in (*model.graph.input, *model.graph.output):
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        shape = tuple(-1 if axis.dim_param else axis.dim_value for axis in value.type.tensor_type.shape.dim)
        found = by_name.pop(value.name)
        assert (np.dtype(found.dtype), found.shape) == (kind, shape)
    assert not by_name
    assert list(sidecar.profiles) == ["single", "batch"]
    single, batch = sidecar.profiles["single"], sidecar.profiles["batch"]
    assert {reach.min[0] for reach in single.values()} == {reach.max[0] for reach in single.values()} == {1}
    assert [reach.max[0] for reach in batch.values()] == [8, 8]
    reach = single[first]
    assert reach.min[1:] + reach.opt[1:] + reach.max[1:] == sizes
    assert batch[first].max[-1] == (3000 if first == "mel" else 480_000)
    assert sidecar.properties["licence"] == "research only"
    assert len(sidecar.labels) == 8
    assert (sidecar.sample_rate, sidecar.frame_rate) == (16_000, 50)
    assert sidecar.build_seconds > 0
    assert sidecar.engine.bytes == path.stat().st_size > 100_000


def test_what_an_engine_is_can_be_read_and_shown_without_a_gpu(
    engine: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = engine(*MADE[0])
    show_engine(read_engine(path))
    shown = capsys.readouterr().out
    words = (
        "SM86",
        "SM89",
        "fp16",
        "frame_concentration",
        "single",
        "batch",
        "8 × 16 × 3000",
        "float16",
        "research only",
    )
    assert [word for word in words if word not in shown] == []


def test_a_damaged_engine_or_sidecar_is_told(engine: Callable[..., Path], tmp_path: Path) -> None:
    path = engine(*MADE[0])
    other = tmp_path / path.name
    with pytest.raises(UsageError, match="No such file"):
        read_engine(other)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    other.write_bytes(data)
    with pytest.raises(UsageError, match=r"not beside it"):
        read_engine(other)
    sidecar = sidecar_path(path).read_text()
    sidecar_path(other).write_text(sidecar)
    with pytest.raises(DataError, match="SHA-256"):
        read_engine(other)
    sidecar_path(other).write_text(sidecar.replace('"sample_rate": 16000', '"sample_rate": "fast"'))
    with pytest.raises(DataError, match="sample_rate"):
        read_engine(other)


def test_limits_are_those_that_were_asked_for(exported: Export, rtx: Any, tmp_path: Path) -> None:
    live = replace(SINGLE, name="live", seconds=(0.1, 1.0, 2.0))
    sidecar = build_engine(exported(*MADE[0]).path, tmp_path / "e", sms=(120,), profiles=(live,))
    assert sidecar.compute_capabilities == (120,)
    assert {name: reach.max for name, reach in sidecar.profiles["live"].items()} == {
        "mel": (1, 16, 200),
        "lengths": (1,),
    }
    assert read_engine(tmp_path / "e") == sidecar


@pytest.mark.parametrize(
    ("seconds", "batch", "words"),
    [
        ((0.3, 10.0, 31.0), (1, 8, 8), "0.04 … 30 s"),
        ((2.0, 1.0, 10.0), (1, 8, 8), "least, best, most"),
        ((0.01, 1.0, 10.0), (1, 8, 8), "least, best, most"),
        ((0.3, 1.0, 10.0), (0, 8, 8), "batch of"),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    seconds: Any, batch: Any, words: str, exported: Export, rtx: Any, tmp_path: Path
) -> None:
    profile = replace(BATCH, seconds=seconds, batch=batch)
    with pytest.raises(UsageError, match=words):
        build_engine(exported(*MADE[0]).path, tmp_path / "e", sms=(86,), profiles=(profile,))
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_the_library_does_not_know_is_told_with_those_that_it_does(
    exported: Export, rtx: Any, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"--sm 90: .*75, 80, 86, 89") as told:
        build_engine(exported(*MADE[0]).path, tmp_path / "e", sms=(86, 90))
    assert told.value.code == USAGE


def test_without_the_library_the_command_names_the_extra(exported: Export, tmp_path: Path) -> None:
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('no such library')")
    done = valenza("export", exported(*MADE[0]).path, "--to", "tensorrt", "--out", tmp_path / "e", first=tmp_path)
    assert done.returncode == USAGE
    assert "pip install valenza[tensorrt]" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "e").exists()


def test_the_command_builds_and_tells(exported: Export, rtx: Any, tmp_path: Path) -> None:
    words = (
        "export",
        exported(*MADE[0]).path,
        "--to",
        "tensorrt",
        "--sm",
        "SM86,8.9",
        "--out",
        tmp_path / "e",
        "--json",
    )
    done = valenza(*words)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["sidecar"]
    assert told == json.loads((tmp_path / "e.json").read_text())
    assert told["compute_capabilities"] == [86, 89]
    assert list(told["profiles"]) == ["single", "batch"]


def valenza(*words: object, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command; modules in the folder `first` stand before those that are installed."""
    places = [*([str(first)] if first else []), str(Path(__file__).parents[2] / "platform")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-m", "valenza", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_a_graph_that_the_parser_refuses_is_told_with_its_nodes(exported: Export, rtx: Any, tmp_path: Path) -> None:
    model = onnx.load(str(exported(*MADE[0]).path))
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[0] = "before"
    model.graph.node.append(
        onnx.helper.make_node("DynamicQuantizeLinear", ["before"], ["small", "scale", "zero"], name="quantised")
    )
    model.graph.node.append(
        onnx.helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["logits"], name="back")
    )
    path = tmp_path / "int8.onnx"
    onnx.save(model, path)
    with pytest.raises(DataError, match=r"node quantised \(DynamicQuantizeLinear\)") as told:
        build_engine(path, tmp_path / "e", sms=(86,))
    assert "--precision fp16" in str(told.value)
    assert told.value.code == BAD_DATA
    assert not (tmp_path / "e").exists()


def test_other_files_are_refused(exported: Export, rtx: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    with pytest.raises(UsageError, match="No such file"):
        build_engine(path, tmp_path / "e", sms=(86,))
    path.write_bytes(b"RIFF, not a model")
    with pytest.raises(DataError, match="not an ONNX file"):
        build_engine(path, tmp_path / "e", sms=(86,))
    model = onnx.load(str(exported(*MADE[0]).path))
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(DataError, match="metadata_props has no labels"):
        build_engine(path, tmp_path / "e", sms=(86,))


@given(rows=st.integers(1, 9), steps=st.integers(1, 3100))
def test_the_first_profile_that_takes_a_batch_is_chosen(sidecar: Sidecar, rows: int, steps: int) -> None:
    shapes = {"mel": (rows, 16, steps), "lengths": (rows,)}
    if rows == 1 and 30 <= steps <= 1000:
        assert choose(sidecar, shapes) == 0
    elif rows <= 8 and 30 <= steps <= 3000:
        assert choose(sidecar, shapes) == 1
    else:
        with pytest.raises(UsageError, match="its profiles: single"):
            choose(sidecar, shapes)


def test_a_short_batch_is_filled_up_for_a_profile_that_takes_so_many(sidecar: Sidecar) -> None:
    live = {
        "mel": Reach(min=(1, 16, 10), opt=(1, 16, 200), max=(4, 16, 300)),
        "lengths": Reach(min=(1,), opt=(1,), max=(4,)),
    }
    two = sidecar.model_copy(update={"profiles": {"live": live, "batch": sidecar.profiles["batch"]}})
    for rows, steps, wanted in ((1, 5, 10), (4, 20, 10), (8, 20, 30), (8, 500, 30), (9, 20, 0), (1, 9000, 0)):
        assert least(two, "mel", (rows, 16, steps)) == wanted
        if wanted:
            choose(two, {"mel": (rows, 16, max(steps, wanted)), "lengths": (rows,)})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_runner_says_that_it_needs_a_gpu(engine: Callable[..., Path]) -> None:
    for use in (EngineRunner, bench_engine):
        with pytest.raises(UsageError, match="NVIDIA GPU") as told:
            use(engine(*MADE[0]))
        assert told.value.code == USAGE


@pytest.mark.parametrize("key", MADE, ids="-".join)
def test_an_engine_says_on_a_gpu_what_its_network_says(
    key: tuple[str, ...], engine: Callable[..., Path], exported: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("engines run on NVIDIA GPUs, and this machine has none")
    runner, recogniser = EngineRunner(engine(*key)), exported(*key).recogniser
    for rows, samples in ((1, 3000), (1, 40_000), (3, 40_000), (2, 480_000)):
        audio = (torch.rand(rows, samples) * 0.2 - 0.1).numpy()
        lengths = (samples - 700 * torch.arange(rows)).numpy()
        for row, length in zip(audio, lengths, strict=True):
            row[length:] = 0
        with torch.inference_mode():
            theirs = recogniser(torch.from_numpy(audio), torch.from_numpy(lengths))
        mine = runner(audio, lengths)
        assert tuple(mine) == recogniser.outputs
        for name, value in zip(recogniser.outputs, theirs, strict=True):
            np.testing.assert_allclose(mine[name], value.numpy(), atol=5e-3 if key[3] == "fp16" else 1e-4, rtol=5e-3)
    show_bench(bench_engine(engine(*key), onnx=exported(*key).path, repeats=3))
    assert "Δ logits" in capsys.readouterr().out
