"""ONNX files against the network that they were made of, in ONNX Runtime here and in Node."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from valenza.errors import DataError, UsageError
from valenza.export.gate.parity import LIMITS, compare, stretched
from valenza.export.onnx import graph
from valenza.export.onnx.precision import to_eight_bits
from valenza.inference.model import Model, TorchEngine
from valenza.inference.onnx import load_onnx
from valenza.labels.taxonomy import EMOTIONS

onnx = pytest.importorskip("onnx", reason="`pip install valenza[export]`")
HERE = Path(__file__).parent
NODE = "onnxruntime-node@1.24"
RATE = 16_000


def voices(count: int, seed: int = 0) -> list[np.ndarray]:
    """Sounds of a second or so, no two alike, as 16-bit samples."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        time = np.arange(RATE + 777 * number) / RATE
        tone = np.sin(2 * np.pi * (90 + 31 * number) * time) * np.abs(np.sin(3 * time))
        made.append((7000 * tone + 900 * rng.standard_normal(len(time))).astype(np.int16))
    return made


def padded(clips: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(clip) for clip in clips])
    audio = np.zeros((len(clips), lengths.max()), np.float32)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = clip / np.float32(32768)
    return audio, lengths


@pytest.mark.parametrize(
    ("family", "head", "source"),
    [
        ("whisper", "softmax", "waveform"),
        ("whisper", "dirichlet", "mel"),
        ("wav2vec2", "softmax", "waveform"),
        ("hubert", "dirichlet", "waveform"),
        ("wavlm", "softmax", "waveform"),
    ],
)
def test_a_file_says_what_the_network_says_of_each_recording_alone(
    exported: Callable[..., Any], family: str, head: str, source: str
) -> None:
    made = exported(family, head, source, "fp32")
    model = load_onnx(made.path)
    for seconds in (0.3, 1.0, 5.0, 29.9):
        recordings = list(stretched(voices(8), seconds, model.longest))
        for batch in (1, 3, 8):
            said = model.engine(*padded(recordings[:batch]))
            for row, clip in enumerate(recordings[:batch]):
                with torch.inference_mode():
                    audio = torch.from_numpy(clip[None] / np.float32(32768))
                    alone = dict(
                        zip(
                            made.recogniser.outputs,
                            made.recogniser(audio, torch.tensor([len(clip)])),
                            strict=True,
                        )
                    )
                assert said["logits"][row] == pytest.approx(alone["logits"][0].numpy(), abs=1e-4)
                assert said["mixture"][row] == pytest.approx(alone["mixture"][0].numpy(), abs=1e-5)
                frames = alone["frames"].shape[1]
                assert said["frames"][row, :frames] == pytest.approx(alone["frames"][0].numpy(), abs=2e-5)
                assert (said["frames"][row, frames:] == 0).all()
                if head == "dirichlet":
                    wanted = alone["concentration"][0].numpy()
                    assert said["concentration"][row] == pytest.approx(wanted, rel=1e-4)


def test_a_file_tells_how_it_is_used(exported: Callable[..., Any]) -> None:
    path = exported("whisper", "dirichlet", "mel", "fp32").path
    model = onnx.load(path)
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "mel": ["batch", 16, "steps"],
        "lengths": ["batch"],
        "logits": ["batch", 8],
        "mixture": ["batch", 8],
        "frames": ["batch", "frames", 8],
        "concentration": ["batch"],
        "frame_concentration": ["batch", "frames"],
    }
    said = {each.key: each.value for each in model.metadata_props}
    assert json.loads(said["labels"]) == list(EMOTIONS)
    assert json.loads(said["seen"]) == ["happiness", "sadness", "anger", "neutral"]
    assert (said["sample_rate"], said["frame_rate"], said["source"], said["mels"]) == ("16000", "50", "mel", "16")
    assert said["licence"] == "research only"
    assert float(said["temperature"]) == 1.5
    assert str(HERE.parents[1]).encode() not in path.read_bytes(), "no path of the machine that made it"
    assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()


def test_half_precision_leaves_out_what_loses_its_digits(exported: Callable[..., Any]) -> None:
    made = exported("whisper", "dirichlet", "waveform", "fp16")
    model = onnx.shape_inference.infer_shapes(onnx.load(made.path))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    types |= {weight.name: weight.data_type for weight in model.graph.initializer}
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    kinds: dict[str, set[int]] = {}
    for node in model.graph.node:
        kinds.setdefault(node.op_type, set()).update(types[name] for name in node.output if name in types)
    assert kinds["LayerNormalization"] == kinds["Softmax"] == kinds["Log"] == {single}
    assert half in kinds["MatMul"]
    assert half in kinds["Conv"]
    weights = {weight.name: weight.data_type for weight in model.graph.initializer if len(weight.dims) > 1}
    multiplied = [
        weights[name] for node in model.graph.node if node.op_type == "MatMul" for name in node.input if name in weights
    ]
    assert multiplied.count(half) == 6, "four projections of the attention and two of the block's network"
    outputs = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    assert outputs == {single, onnx.TensorProto.INT64}
    clips = voices(3)
    said = load_onnx(made.path).engine(*padded(clips))
    with torch.inference_mode():
        audio, lengths = padded(clips)
        exact = made.recogniser(torch.from_numpy(audio), torch.from_numpy(lengths))
    assert said["mixture"] == pytest.approx(exact[1].numpy(), abs=5e-3)
    assert np.abs(said["mixture"] - exact[1].numpy()).max() > 0, "it is not single precision by another name"


def test_eight_bits_are_small_and_near(exported: Callable[..., Any], tmp_path: Path, tracing: None) -> None:
    made = exported("whisper", "softmax", "waveform", "fp32")
    model = to_eight_bits(graph.to_onnx(made.recogniser))
    multiplied = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    assert len(multiplied) == 6, "four projections of the attention and two of the block's network"
    small = tmp_path / "small.onnx"
    graph.save(graph.finish(model, graph.properties(made.recogniser, "waveform", {"framewise": "false"})), small)
    clips = voices(3)
    said, exact = (load_onnx(path).engine(*padded(clips))["mixture"] for path in (small, made.path))
    assert said == pytest.approx(exact, abs=0.05)


def test_spectrograms_are_not_for_networks_of_waveforms(exported: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="only Whisper hears spectrograms"):
        graph.to_onnx(exported("wav2vec2", "softmax", "waveform", "fp32").recogniser, "mel")


def test_the_gate_finds_what_is_wrong(exported: Callable[..., Any]) -> None:
    made = exported("whisper", "softmax", "waveform", "fp32")
    engine = TorchEngine(made.recogniser)

    def spoiled(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[..., dict[str, np.ndarray]]:
        def run(audio: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
            said = {name: value.copy() for name, value in engine(audio, lengths).items()}
            change(said)
            return said

        return run

    def fault(change: Callable[[dict[str, np.ndarray]], None]) -> str:
        clips = voices(3)
        found = compare(made.recogniser, spoiled(change), clips, LIMITS["fp32"], seconds=(0.5,), batches=(3,))
        return "\n".join(found.faults)

    assert fault(lambda said: None) == ""
    assert "logits differ by 0.001" in fault(lambda said: said["logits"].__iadd__(1e-3))
    assert "probabilities differ" in fault(lambda said: said["mixture"].__iadd__(np.array([2e-5] + [0] * 7, "f4")))
    for name in ("logits", "frames"):
        assert f"{name} hold what is no number" in fault(lambda said, name=name: said[name].fill(np.nan))
    assert "past a recording's end hold inf" in fault(lambda said: said["frames"][:, -1].fill(np.nan))
    assert "past a recording's end" in fault(lambda said: said["frames"].__iadd__(1e-6))
    assert "keep their label" in fault(lambda said: said["mixture"].__imul__(-1))
    assert "logits differ" in fault(lambda said: said["logits"].__setitem__(slice(None), said["logits"][::-1].copy()))


def test_recordings_are_cut_and_joined() -> None:
    clips = voices(9)
    made = list(stretched(clips, 3.0, 30 * RATE))
    assert [len(clip) for clip in made[:3]] == [48_000, 45_000, 42_000]
    assert len(made[8]) == 48_000
    assert (made[0][: len(clips[0])] == clips[0]).all()
    assert (made[0][len(clips[0]) : len(clips[0]) + 100] == clips[1][:100]).all()


def test_other_files_are_told_apart(tmp_path: Path, exported: Callable[..., Any]) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(DataError, match="cannot be read as an ONNX network"):
        load_onnx(tmp_path / "text.onnx")
    with pytest.raises(UsageError, match="there is no such file"):
        load_onnx(tmp_path / "none.onnx")
    foreign = onnx.load(exported("whisper", "softmax", "waveform", "fp32").path)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(DataError, match="was not written by `valenza export`"):
        load_onnx(tmp_path / "foreign.onnx")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds ONNX Runtime."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no Node here")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", NODE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"{NODE} cannot be installed here: {done.stderr[-200:]}")
    shutil.copy(HERE / "recognise.mjs", folder)
    return folder


def test_node_runs_the_file(node: Path, exported: Callable[..., Any]) -> None:
    made = exported("whisper", "dirichlet", "waveform", "fp32")
    audio, lengths = padded(voices(2))
    (node / "inputs.json").write_text(json.dumps({"audio": audio.tolist(), "lengths": lengths.tolist()}))
    command = ["node", "recognise.mjs", str(made.path), "inputs.json"]
    done = subprocess.run(command, cwd=node, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    here = load_onnx(made.path).engine(audio, lengths)
    assert said.keys() == here.keys()
    for name, value in here.items():
        assert said[name]["dims"] == list(value.shape)
        assert np.array(said[name]["data"]).reshape(value.shape) == pytest.approx(value, abs=1e-5, rel=1e-4), name


def test_a_model_of_a_file_is_that_of_its_run(exported: Callable[..., Any]) -> None:
    made = exported("whisper", "dirichlet", "mel", "fp32")
    model = load_onnx(made.path)
    same = Model("", TorchEngine(made.recogniser), model.seen, model.framewise, model.longest, {})
    for mine, theirs in zip(model.hear(voices(3)), same.hear(voices(3)), strict=True):
        assert mine.mixture == pytest.approx(theirs.mixture, abs=1e-5)
        assert mine.frames == pytest.approx(theirs.frames, abs=1e-5)
        assert mine.concentration == pytest.approx(theirs.concentration, rel=1e-4)
    assert model.seen == ("happiness", "sadness", "anger", "neutral")
