"""Audio2Face-3D's signature in ONNX Runtime, and gradients where the runtime has none."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from valenza.avatar.animator import EXPLICIT, IMPLICIT, SLOTS, WINDOW, OnnxAnimator, RigAnimator, load_animator
from valenza.avatar.arkit import ARKIT
from valenza.avatar.rig import Rig, read_rig
from valenza.errors import DataError, UsageError
from valenza.labels.taxonomy import EMOTIONS, POSITION

RATE = 16_000
VALUES = IMPLICIT + SLOTS


def save(
    path: Path, nodes: list[Any], constants: dict[str, np.ndarray], width: int, batch: int | str = "batch"
) -> Path:
    """Write a network of Audio2Face-3D's signature."""
    shapes = {"input": [batch, 1, WINDOW], "emotion": [batch, 1, VALUES], "result": [batch, 1, width]}
    made = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    weights = [
        numpy_helper.from_array(value.astype(value.dtype if value.dtype == np.int64 else np.float32), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, "face", [made["input"], made["emotion"]], [made["result"]], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def exported_rig(path: Path, rig: Rig, batch: int | str = "batch") -> Path:
    """Our rig as such a network; the voice is the mean square of the frame's own 20 ms, times 20."""
    slots = np.zeros((VALUES, len(ARKIT)))
    for emotion, slot in EXPLICIT.items():
        slots[IMPLICIT + slot] = rig.presets[POSITION[emotion]]
    constants = {
        "start": np.array([WINDOW // 2 - 160]),
        "stop": np.array([WINDOW // 2 + 160]),
        "axis": np.array([2]),
        "slots": slots,
        "mouth": 20 * rig.mouth.numpy()[None],
        "nought": np.array(0.0),
        "one": np.array(1.0),
    }
    nodes = [
        helper.make_node("Slice", ["input", "start", "stop", "axis"], ["middle"]),
        helper.make_node("Mul", ["middle", "middle"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["power"], axes=[2], keepdims=1),
        helper.make_node("MatMul", ["power", "mouth"], ["opened"]),
        helper.make_node("MatMul", ["emotion", "slots"], ["face"]),
        helper.make_node("Add", ["opened", "face"], ["sum"]),
        helper.make_node("Clip", ["sum", "nought", "one"], ["result"]),
    ]
    return save(path, nodes, constants, len(ARKIT), batch)


def conv_network(path: Path, width: int = 40, seed: int = 0) -> Path:
    """A convolutional network with random weights, in which emotion and audio meet in two layers of tanh."""
    rng = np.random.default_rng(seed)
    told = rng.standard_normal((VALUES, 32)) * 1.2
    constants = {
        "kernels": rng.standard_normal((8, 1, 64)) / 4,
        "told": told,
        "heard": rng.standard_normal((8, 32)),
        "inner": rng.standard_normal((32, 48)) / 4,
        "outer": rng.standard_normal((48, width)) / 4,
        "shape": np.array([-1, 1, 8]),
    }
    nodes = [
        helper.make_node("Conv", ["input", "kernels"], ["bands"], strides=[32]),
        helper.make_node("Relu", ["bands"], ["loud"]),
        helper.make_node("GlobalAveragePool", ["loud"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["row"]),
        helper.make_node("MatMul", ["row", "heard"], ["from_audio"]),
        helper.make_node("MatMul", ["emotion", "told"], ["from_emotion"]),
        helper.make_node("Add", ["from_audio", "from_emotion"], ["met"]),
        helper.make_node("Tanh", ["met"], ["first"]),
        helper.make_node("MatMul", ["first", "inner"], ["between"]),
        helper.make_node("Tanh", ["between"], ["second"]),
        helper.make_node("MatMul", ["second", "outer"], ["result"]),
    ]
    return save(path, nodes, constants, width)


def conv_in_torch(path: Path, windows: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The same network written out, for a gradient that is exact."""
    held = {each.name: torch.tensor(numpy_helper.to_array(each)).double() for each in onnx.load(path).graph.initializer}
    loud = torch.nn.functional.conv1d(windows[:, None], held["kernels"], stride=32).relu().mean(dim=2)
    first = torch.tanh(loud @ held["heard"] + values @ held["told"])
    return torch.tanh(first @ held["inner"]) @ held["outer"]


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(0.1 * rng.standard_normal(int(seconds * RATE))).float()


def mixtures(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.full(len(EMOTIONS), 0.5), frames))


def values(emotion: torch.Tensor, implicit: np.ndarray) -> torch.Tensor:
    """The 26 values, one by one, as NVIDIA's documentation numbers them."""
    told = torch.zeros(len(emotion), VALUES, dtype=torch.float64)
    told[:, :16] = torch.from_numpy(implicit)
    for slot, name in ((16, "surprise"), (17, "anger"), (19, "disgust"), (20, "fear"), (22, "happiness")):
        told[:, slot] = emotion[:, POSITION[name]]
    told[:, 25] = emotion[:, POSITION["sadness"]]
    return told


def centred(audio: torch.Tensor, frames: int, rate: float = 50) -> torch.Tensor:
    """Windows cut one by one: 0.26 s on either side of the middle of each frame, silence where there is no audio."""
    found = torch.zeros(frames, WINDOW, dtype=torch.float64)
    for frame in range(frames):
        begin = round((frame + 0.5) / rate * RATE) - WINDOW // 2
        for place in range(max(0, -begin), min(WINDOW, len(audio) - begin)):
            found[frame, place] = audio[begin + place]
    return found


def test_the_rig_as_a_network_gives_what_the_rig_gives(tmp_path: Path) -> None:
    rig, audio, emotion = read_rig(), noise(0.5), mixtures(25)
    face = OnnxAnimator(exported_rig(tmp_path / "rig.onnx", rig))
    assert face.channels == ARKIT
    assert face.frame_rate == 50
    assert face.shown == RigAnimator(rig).shown
    voice = 20 * audio.double().square().view(25, 320).mean(dim=1)
    assert float(voice.min()) > 0.1
    torch.testing.assert_close(face(audio, emotion), rig.weights(emotion, voice), atol=1e-6, rtol=0)
    silent = torch.zeros(8000)
    torch.testing.assert_close(face(silent, emotion), RigAnimator(rig)(silent, emotion), atol=1e-6, rtol=0)


def gradient(face: Any, audio: torch.Tensor, emotion: torch.Tensor, pull: torch.Tensor) -> torch.Tensor:
    told = emotion.clone().requires_grad_()
    (slope,) = torch.autograd.grad((face(audio, told) * pull).sum(), told)
    return slope


def test_differences_agree_with_autograd_on_the_rig(tmp_path: Path) -> None:
    """Also where emotions are at 0, of which a difference to both sides would see the clamp."""
    face, silent = OnnxAnimator(exported_rig(tmp_path / "rig.onnx", read_rig())), torch.zeros(16_000)
    # Not quite at 1: there a channel that is just fully on has one slope downwards and another upwards.
    emotion = torch.cat([mixtures(42), 0.9 * torch.eye(8, dtype=torch.float64)])
    pull = torch.from_numpy(np.random.default_rng(2).standard_normal((50, 52)))
    found, true = gradient(face, silent, emotion, pull), gradient(RigAnimator(), silent, emotion, pull)
    np.testing.assert_allclose(found, true, atol=2e-4)
    assert float(true.abs().max()) > 1


def test_differences_agree_with_autograd_on_a_network_that_is_not_linear(tmp_path: Path) -> None:
    path = conv_network(tmp_path / "conv.onnx")
    implicit = np.random.default_rng(3).uniform(size=IMPLICIT)
    face, audio, emotion = OnnxAnimator(path, implicit=implicit, frame_rate=30.0), noise(1.0), mixtures(30)
    assert face.channels[:2] == ("result.0", "result.1")
    told = emotion.clone().requires_grad_()
    true = conv_in_torch(path, centred(audio, 30, 30.0), values(told, implicit))
    np.testing.assert_allclose(face(audio, emotion), true.detach(), atol=1e-5)
    pull = torch.from_numpy(np.random.default_rng(4).standard_normal((30, 40)))
    (exact,) = torch.autograd.grad((true * pull).sum(), told)
    found = gradient(face, audio, emotion, pull)
    scale = float(exact.abs().max())
    assert scale > 1
    # Differences are 0.01 wide, or half that at 0 and 1, where they are first-order only.
    np.testing.assert_allclose(found, exact, atol=0.02 * scale)
    assert float((found - exact).abs().mean()) < 2e-3 * scale
    assert not found[:, [POSITION["neutral"], POSITION["other"]]].any()


def test_a_network_of_a_fixed_batch_gives_the_same(tmp_path: Path) -> None:
    rig, audio, emotion = read_rig(), noise(0.3), mixtures(15)
    any_size = OnnxAnimator(exported_rig(tmp_path / "any.onnx", rig))
    by_four = OnnxAnimator(exported_rig(tmp_path / "four.onnx", rig, batch=4))
    pull = torch.ones(15, 52, dtype=torch.float64)
    torch.testing.assert_close(by_four(audio, emotion), any_size(audio, emotion))
    torch.testing.assert_close(gradient(by_four, audio, emotion, pull), gradient(any_size, audio, emotion, pull))


def test_emotion_after_the_end_of_the_audio_is_shown_in_silence(tmp_path: Path) -> None:
    rig, emotion = read_rig(), mixtures(20)
    audio = noise(0.2)
    for face in (RigAnimator(rig), OnnxAnimator(exported_rig(tmp_path / "rig.onnx", rig))):
        np.testing.assert_allclose(face(audio, emotion)[10:], rig.weights(emotion[10:], torch.zeros(10)), atol=1e-6)


def test_the_rig_needs_no_runtime_and_a_network_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = conv_network(tmp_path / "conv.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert isinstance(load_animator("rig"), RigAnimator)
    with pytest.raises(UsageError, match=re.escape("pip install valenza[export]")):
        load_animator(str(path))


def test_what_is_no_animator_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'face' is neither rig nor"):
        load_animator("face")
    with pytest.raises(UsageError, match="there is no such file"):
        load_animator(str(tmp_path / "nowhere.onnx"))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(DataError, match="cannot be read as an ONNX network"):
        load_animator(str(broken))
    with pytest.raises(UsageError, match="16 values, not 3"):
        load_animator(str(conv_network(tmp_path / "conv.onnx")), implicit=np.zeros(3))
    model = onnx.load(tmp_path / "conv.onnx")
    model.graph.input[1].type.tensor_type.shape.dim[2].dim_value = 10
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.zeros((10, 32), np.float32), "told"))
    onnx.save(model, tmp_path / "short.onnx")
    with pytest.raises(DataError, match=r"its emotion is \['batch', 1, 10\]; emotion is \[batch, 1, 26\] there"):
        load_animator(str(tmp_path / "short.onnx"))
