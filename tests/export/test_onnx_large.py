"""ONNX files of runs: weights beside a large one, earlier files that stay where a write fails, and merged adapters."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from valenza.errors import WriteError
from valenza.export.gate.parity import LIMITS
from valenza.export.onnx import graph, weights
from valenza.export.onnx.precision import to_eight_bits, to_half
from valenza.export.onnx.write import Check, export_onnx
from valenza.inference.model import recogniser_of
from valenza.inference.onnx import load_onnx
from valenza.inference.recogniser import Recogniser
from valenza.model.adapters import LowRank, merge
from valenza.stages.trained import newest_checkpoint, read_recipe

onnx = pytest.importorskip("onnx", reason="`pip install valenza[export]`")
pytest.importorskip("onnxscript", reason="`pip install valenza[export]`")
PAIR = ["tones.onnx", "tones.onnx.data"]
PRECISIONS: dict[str, Callable[[Any], Any]] = {"fp32": copy.deepcopy, "fp16": to_half, "int8": to_eight_bits}


@pytest.fixture(scope="module")
def run(corner: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with adapters of rank 4, trained for some steps; sums of smaller weights the exporter computes itself."""
    folder: Path = tmp_path_factory.mktemp("large") / "tones"
    words = ("evaluation.prior=none", "encoder.new.width=128", "encoder.adapters={rank: 4, scale: 2.0}")
    ended = corner.run("train", corner.recipe, *words, "--out", folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def lower(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes a small network a large one, of which nearly every weight lies beside the file."""

    def limits() -> None:
        monkeypatch.setattr(weights, "INLINE", 10_000)
        monkeypatch.setattr(weights, "_PAGE", 64)

    return limits


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets eight bits pass, unscored: after 12 steps of training every emotion is as likely."""
    limits = replace(LIMITS["int8"], probabilities=1.0, same_label=0.0, same_frames=0.0)
    monkeypatch.setitem(LIMITS, "int8", limits)
    monkeypatch.setattr("valenza.export.onnx.write.MOST", 1.0)
    monkeypatch.setattr("valenza.export.onnx.write.scored_corpora", lambda recipe: [])


def said(path: Path) -> dict[str, np.ndarray]:
    audio = np.random.default_rng(5).uniform(-0.2, 0.2, (2, 20_000)).astype(np.float32)
    return load_onnx(path).engine(audio, np.array([20_000, 13_000]))


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_size_is_counted_where_a_message_cannot_tell_its_own() -> None:
    model = onnx.ModelProto()
    model.graph.initializer.add(name="inside", data_type=onnx.TensorProto.INT8, dims=[1_899_999_996])
    assert not weights.large(model)
    model.graph.initializer.add(name="scalar", data_type=onnx.TensorProto.FLOAT)
    assert weights.large(model)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_beside_a_file_are_those_inside(
    exported: Callable[..., Any], tmp_path: Path, tracing: None, lower: Callable[[], None], precision: str
) -> None:
    recogniser = exported("whisper", "softmax", "waveform", "fp32").recogniser
    traced = graph.to_onnx(recogniser)
    known = graph.properties(recogniser, "waveform", {"framewise": "false"})
    inside, pair = tmp_path / "inside.onnx", tmp_path / "pair" / "tones.onnx"
    graph.save(graph.finish(PRECISIONS[precision](traced), known), inside)
    lower()
    model = graph.finish(PRECISIONS[precision](traced), known)
    for _ in range(2):  # the second time over the first
        graph.save(model, pair)
        assert list(files(pair.parent)) == PAIR
        assert same(said(pair), said(inside))
    kept = onnx.load(pair, load_external_data=False).graph.initializer
    assert max(len(weight.raw_data) for weight in kept) < 64
    assert pair.with_name(PAIR[1]).stat().st_size > 100_000


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_large_run_is_exported_as_a_pair(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tracing: None,
    lenient: None,
    lower: Callable[[], None],
    precision: graph.Precision,
) -> None:
    check = Check(clips=1)
    inside = tmp_path / "inside.onnx"
    export_onnx(run, inside, precision=precision, check=check)
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    lower()
    for out in (Path("tones.onnx"), tmp_path / "new folder" / "tones.onnx"):
        report = export_onnx(run, out, precision=precision, check=check)
        there = files(out.parent)
        assert list(there) == [*PAIR, "tones.onnx.parity.json"]
        assert report["bytes"] == len(there[PAIR[0]]) + len(there[PAIR[1]])
        moved = out.absolute().parent.rename(tmp_path / f"moved {out.parent.name}")
        assert same(said(moved / "tones.onnx"), said(inside)), "a pair is whole wherever it is"
        (tmp_path / "current").mkdir(exist_ok=True)


@pytest.mark.parametrize("failing", range(5))
def test_a_write_that_fails_leaves_the_earlier_pair(
    exported: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lower: Callable[[], None],
    failing: int,
) -> None:
    """A pair takes four renames, two of the old and two of the new; before them it is written."""
    lower()
    model = onnx.load(exported("whisper", "softmax", "waveform", "fp32").path)
    graph.save(model, tmp_path / "tones.onnx")
    before, answer = files(tmp_path), said(tmp_path / "tones.onnx")
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            weight.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(weight), weight.name))
    left = failing

    def full(path: Path, *rest: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(28, "No space left on device")
        return exact(path, *rest)

    name = "replace" if failing else "write_bytes"
    left += not failing
    with monkeypatch.context() as patch:
        exact = getattr(Path, name)
        patch.setattr(Path, name, full)
        with pytest.raises(WriteError, match=r"tones\.onnx: cannot be written: No space left on device"):
            graph.save(model, tmp_path / "tones.onnx")
    assert files(tmp_path) == before
    graph.save(model, tmp_path / "tones.onnx")
    assert list(files(tmp_path)) == PAIR
    assert not same(said(tmp_path / "tones.onnx"), answer)


def test_a_small_file_takes_the_weights_of_a_large_one_away(
    exported: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower: Callable[[], None]
) -> None:
    model = onnx.load(exported("whisper", "softmax", "waveform", "fp32").path)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "INLINE", 10_000)
        graph.save(model, tmp_path / "tones.onnx")
    assert list(files(tmp_path)) == PAIR
    graph.save(model, tmp_path / "tones.onnx")
    assert list(files(tmp_path)) == PAIR[:1]


def test_adapters_are_in_the_weights(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracing: None, lenient: None
) -> None:
    def strong(*words: Any) -> Recogniser:
        """Return the trained network with adapters that do more than 12 steps teach them."""
        recogniser = recogniser_of(*words)
        torch.manual_seed(2)
        for module in recogniser.modules():
            if isinstance(module, LowRank):
                torch.nn.init.normal_(module.up)
        return recogniser

    monkeypatch.setattr("valenza.export.onnx.write.recogniser_of", strong)
    precision: graph.Precision
    for precision in ("fp32", "int8"):  # which the gate compares with the network that has adapters
        export_onnx(run, tmp_path / f"{precision}.onnx", precision=precision, check=Check(clips=1))
    nodes = onnx.load(tmp_path / "int8.onnx").graph.node
    quantised = [node for node in nodes if node.op_type == "MatMulInteger"]
    assert len(quantised) == 6, "four projections of the attention and two of the block's network"
    words = (run, read_recipe(run), newest_checkpoint(run, None))
    plain, adapted, merged = recogniser_of(*words), strong(*words), strong(*words)
    merge(merged.network)
    with torch.inference_mode():
        audio = torch.rand(2, 16_000) * 0.2 - 0.1, torch.tensor([16_000, 9000])
        logits = [each(*audio)[0] for each in (plain, adapted, merged)]
    assert (logits[2] - logits[1]).abs().max() < 1e-6
    assert (logits[0] - logits[1]).abs().max() > 1e-3
