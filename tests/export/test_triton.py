"""Model repositories for Triton: its own message reads them, and ONNX Runtime runs them as the server would."""

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from valenza.errors import DataError, UsageError
from valenza.export.triton import Serving, show_repository, write_triton
from valenza.labels.taxonomy import EMOTIONS

onnx = pytest.importorskip("onnx", reason="`pip install valenza[export]`")
onnxruntime = pytest.importorskip("onnxruntime", reason="`pip install valenza[export]`")
Export = Callable[..., Any]
KINDS = {"TYPE_FP32": np.float32, "TYPE_INT64": np.int64}
SERVING = Serving(batch=6, delay=500, instances=2, device="cpu")


@pytest.fixture(scope="session")
def read() -> Callable[[Path], Any]:
    """Reads the configuration of a model into Triton's own message."""
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tritonclient is not installed; it carries the message that the server reads")
    # Not as a module of its package, which wants gRPC.
    place = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", place)
    assert spec is not None
    assert spec.loader is not None
    messages = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the message was compiled by an older protobuf
        spec.loader.exec_module(messages)
    from google.protobuf import text_format

    def config(folder: Path) -> Any:
        message = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), messages.ModelConfig())
        assert message.name == folder.name
        return message

    return config


@pytest.fixture(scope="session")
def repository(exported: Export, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of spectrograms and one of waveforms."""
    folder = tmp_path_factory.mktemp("triton") / "models"
    voice, wave = exported("whisper", "dirichlet", "mel", "fp32"), exported("wav2vec2", "softmax", "waveform", "fp32")
    with pytest.MonkeyPatch.context() as patch:
        # While the spectrogram is traced its sizes are symbols, and the tests' checks want integers.
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        write_triton(voice.path, folder, "voice", SERVING)
    write_triton(wave.path, folder, "wave", SERVING)
    return folder


def kind_of(port: Any) -> Any:
    from google.protobuf.descriptor import FieldDescriptor

    field: FieldDescriptor = port.DESCRIPTOR.fields_by_name["data_type"]
    return KINDS[field.enum_type.values_by_number[port.data_type].name]


def test_models_lie_where_the_server_looks_for_them(repository: Path, read: Callable[[Path], Any]) -> None:
    assert sorted(path.name for path in repository.iterdir()) == [
        "voice",
        "voice_spectrogram",
        "voice_waveform",
        "wave",
    ]
    for folder in repository.iterdir():
        config = read(folder)
        assert config.max_batch_size == 6
        assert (folder / "1").is_dir()
        assert (folder / "1" / "model.onnx").is_file() == (config.platform == "onnxruntime_onnx")
        assert config.platform in ("onnxruntime_onnx", "ensemble")
        labelled = [port for port in config.output if port.label_filename]
        assert [port.name for port in labelled] == ([] if folder.name == "voice_spectrogram" else ["logits", "mixture"])
        for port in labelled:
            assert (folder / port.label_filename).read_text().split() == list(EMOTIONS)
    network = read(repository / "voice")
    assert (network.instance_group[0].count, network.instance_group[0].kind) == (2, network.instance_group[0].KIND_CPU)
    assert list(network.dynamic_batching.preferred_batch_size) == [3, 6]
    assert network.dynamic_batching.max_queue_delay_microseconds == 500
    assert network.parameters["licence"].string_value == "research only"
    assert read(repository / "voice_waveform").parameters["source"].string_value == "waveform"


@pytest.mark.parametrize("name", ["voice", "voice_spectrogram", "wave"])
def test_a_configuration_has_the_names_types_and_sizes_of_its_network(
    name: str, repository: Path, read: Callable[[Path], Any]
) -> None:
    config = read(repository / name)
    graph = onnx.load(str(repository / name / "1" / "model.onnx")).graph
    for ports, values in ((config.input, graph.input), (config.output, graph.output)):
        assert [port.name for port in ports] == [value.name for value in values]
        for port, value in zip(ports, values, strict=True):
            tensor = value.type.tensor_type
            assert kind_of(port) == onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            batch, *sizes = [-1 if axis.dim_param else axis.dim_value for axis in tensor.shape.dim]
            assert batch == -1
            assert list(port.reshape.shape if port.HasField("reshape") else port.dims) == sizes


def test_the_ensemble_fits_its_models_as_the_server_asks(repository: Path, read: Callable[[Path], Any]) -> None:
    """Every input is fed, by a tensor of its type and sizes; sizes are those that requests have, before any reshape."""
    ensemble = read(repository / "voice_waveform")
    known = {port.name: (kind_of(port), list(port.dims)) for port in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = read(repository / step.model_name)
        assert model.max_batch_size >= ensemble.max_batch_size
        assert set(step.input_map) == {port.name for port in model.input}
        for port in model.input:
            assert known[step.input_map[port.name]] == (kind_of(port), list(port.dims))
        assert set(step.output_map) == {port.name for port in model.output}
        for port in model.output:
            assert step.output_map[port.name] not in known
            known[step.output_map[port.name]] = (kind_of(port), list(port.dims))
    for port in ensemble.output:
        assert known[port.name] == (kind_of(port), list(port.dims))


def serve(repository: Path, read: Callable[[Path], Any], name: str, given: dict[str, np.ndarray]) -> dict[str, Any]:
    """What Triton does with a request: check it against the configuration, reshape, run, reshape back."""
    config = read(repository / name)
    for port in config.input:
        value = given[port.name]
        assert value.dtype == kind_of(port)
        assert len(value) <= config.max_batch_size
        assert all(want in (-1, size) for want, size in zip(port.dims, value.shape[1:], strict=True))
    if config.platform == "ensemble":
        tensors = dict(given)
        for step in config.ensemble_scheduling.step:
            inputs = {key: tensors[value] for key, value in step.input_map.items()}
            said = serve(repository, read, step.model_name, inputs)
            tensors |= {value: said[key] for key, value in step.output_map.items()}
        return {port.name: tensors[port.name] for port in config.output}
    session = onnxruntime.InferenceSession(repository / name / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    ports = {port.name: port for port in config.input}
    inputs = {
        key: value.reshape(len(value), *ports[key].reshape.shape) if ports[key].HasField("reshape") else value
        for key, value in given.items()
    }
    outputs = dict(zip([port.name for port in config.output], session.run(None, inputs), strict=True))
    batch = len(next(iter(given.values())))
    shapes = {port.name: (batch, *port.dims) for port in config.output if port.HasField("reshape")}
    return {key: value.reshape(shapes.get(key, value.shape)) for key, value in outputs.items()}


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("voice_waveform", ("whisper", "dirichlet", "mel", "fp32")),
        ("wave", ("wav2vec2", "softmax", "waveform", "fp32")),
    ],
)
def test_what_is_served_is_what_the_network_says_of_each_recording_alone(
    entry: str, key: tuple[str, ...], repository: Path, read: Callable[[Path], Any], exported: Export
) -> None:
    recogniser = exported(*key).recogniser
    lengths = [16_000, 5_321, 11_800]
    audio = (torch.rand(3, 16_000, generator=torch.Generator().manual_seed(5)) * 0.2 - 0.1).numpy()
    for row, length in zip(audio, lengths, strict=True):
        row[length:] = 0
    said = serve(repository, read, entry, {"audio": audio, "lengths": np.array(lengths)[:, None]})
    assert tuple(said) == recogniser.outputs
    for row, length in enumerate(lengths):
        with torch.inference_mode():
            alone = recogniser(torch.from_numpy(audio[row : row + 1, :length]), torch.tensor([length]))
        for name, theirs in zip(recogniser.outputs, alone, strict=True):
            mine, want = said[name][row], theirs[0].numpy()
            if name in ("frames", "frame_concentration"):
                mine = mine[: len(want)]
            np.testing.assert_allclose(mine.reshape(want.shape), want, rtol=1e-4, atol=1e-4)


def test_weights_that_lie_beside_a_large_network_are_copied(exported: Export, tmp_path: Path) -> None:
    model = onnx.load(str(exported("wav2vec2", "softmax", "waveform", "fp32").path))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=1024)
    write_triton(tmp_path / "m.onnx", tmp_path / "served", "wave")
    (tmp_path / "m.onnx.data").unlink()
    inside = tmp_path / "served" / "wave" / "1"
    assert sorted(path.name for path in inside.iterdir()) == ["m.onnx.data", "model.onnx"]
    session = onnxruntime.InferenceSession(inside / "model.onnx", providers=["CPUExecutionProvider"])
    assert len(session.get_outputs()) == 3


def test_what_cannot_be_served_is_told_and_leaves_nothing(
    exported: Export, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported("wav2vec2", "softmax", "waveform", "fp32").path
    for name in ("../up", "", "two words", ".hidden"):
        with pytest.raises(UsageError, match="model's name"):
            write_triton(path, tmp_path / "served", name)
    with pytest.raises(UsageError, match="is there already"):
        write_triton(path, repository, "wave")
    model = onnx.load(str(path))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=1024)
    data = (tmp_path / "m.onnx").read_bytes().replace(b"m.onnx.data", b"../m.o.data")
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(DataError, match=r"\.\./m\.o\.data"):
        write_triton(tmp_path / "m.onnx", tmp_path / "served", "wave")
    assert not list((tmp_path / "served").iterdir())
    show_repository(write_triton(path, tmp_path / "served", "wave"))
    assert "--model-repository=" in capsys.readouterr().out
