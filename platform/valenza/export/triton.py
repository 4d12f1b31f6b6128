"""A model repository for NVIDIA's Triton Inference Server."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from valenza.errors import DataError, UsageError, WriteError
from valenza.export.onnx.graph import save
from valenza.export.onnx.source import Source, read_source
from valenza.export.onnx.spectrogram import spectrogram_to_onnx
from valenza.files import write_whole
from valenza.terminal import table

Device = Literal["auto", "gpu", "cpu"]
_TYPES = {1: "TYPE_FP32", 7: "TYPE_INT64", 10: "TYPE_FP16"}
"""ONNX's numbers of types → Triton's names."""
_LABELLED = ("logits", "mixture")
"""Outputs of one number a label; the server can name the greatest of them itself."""


@dataclass(frozen=True)
class Serving:
    """How Triton runs a model."""

    batch: int = 8
    """The most recordings in a batch."""
    delay: int = 2000
    """Microseconds that a request waits for others."""
    instances: int = 1
    device: Device = "auto"
    """`auto`: on each GPU, or on the CPU where there is none."""


@dataclass(frozen=True)
class Port:
    """An input or output, without the axis of the batch; −1 where a size may differ."""

    name: str
    kind: str
    dims: tuple[int, ...]


Ports = tuple[tuple[Port, ...], tuple[Port, ...]]
"""Inputs and outputs."""


@dataclass(frozen=True)
class Repository:
    """What was written."""

    folder: Path
    models: tuple[str, ...]
    entry: str
    """The model that takes in audio, which is what clients call."""


def write_triton(source: Path, folder: Path, name: str, serving: Serving = Serving()) -> Repository:
    """Write a repository that serves an ONNX file that `valenza export --to onnx` wrote, as the model `name`.

    A network of spectrograms gets a second model, `<name>_spectrogram`, and an ensemble of both, `<name>_waveform`,
    that takes in audio. Clients give `audio` [batch, samples], rows with silence up to the longest, and `lengths`
    [batch, 1] in samples. Raises `UsageError` for a name that is none, `DataError` for another ONNX file.
    """
    known = read_source(source)
    mel = known.properties["source"] == "mel"
    models = check_names(folder, name, mel=mel)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".") as place:  # a server may be watching the folder
            ports = _write_network(known, Path(place), name, serving)
            if mel:
                _write_ensemble(known, ports, Path(place), models, serving)
            for model in models:
                (Path(place) / model).rename(folder / model)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return Repository(folder, models, models[-1])


def check_names(folder: Path, name: str, *, mel: bool) -> tuple[str, ...]:
    """Return the names of a repository's models; raises `UsageError` for what is none, or is there already."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UsageError(f"--name: {name!r} cannot be a model's name: letters, digits, `_`, `-` and `.`")
    models = (f"{name}_spectrogram", name, f"{name}_waveform") if mel else (name,)
    for model in models:
        if (folder / model).exists():
            raise UsageError(f"{folder / model}: is there already; remove it or give another --name")
    return models


def _write_network(known: Source, folder: Path, name: str, serving: Serving) -> Ports:
    import onnx

    network = onnx.load(str(known.path), load_external_data=False)
    ports = _ports(network, known.path)
    (folder / name / "1").mkdir(parents=True)
    shutil.copyfile(known.path, folder / name / "1" / "model.onnx")
    for weights in _weight_files(network, known.path):
        shutil.copyfile(known.path.parent / weights, folder / name / "1" / weights)
    write_whole(_network_config(name, ports, serving, known.properties), folder / name / "config.pbtxt")
    write_whole(_labels(known), folder / name / "labels.txt")
    return ports


def _write_ensemble(known: Source, ports: Ports, folder: Path, models: Sequence[str], serving: Serving) -> None:
    """Write the spectrogram that a network is given, and the ensemble of both."""
    first, name, whole = models
    spectrogram = spectrogram_to_onnx(int(known.properties["mels"]))
    heard = _ports(spectrogram, known.path)
    save(spectrogram, folder / first / "1" / "model.onnx")
    write_whole(_network_config(first, heard, serving, {}), folder / first / "config.pbtxt")
    steps = [(first, heard, {}), (name, ports, {"lengths": "mel_lengths"})]
    told = {key: value for key, value in known.properties.items() if key != "preprocessing"} | {"source": "waveform"}
    write_whole(_ensemble_config(whole, (heard[0], ports[1]), serving, told, steps), folder / whole / "config.pbtxt")
    write_whole(_labels(known), folder / whole / "labels.txt")
    (folder / whole / "1").mkdir()  # a version that holds nothing: the server looks for it


def _labels(known: Source) -> str:
    return "".join(f"{label}\n" for label in json.loads(known.properties["labels"]))


def show_repository(written: Repository) -> None:
    """Print the models of a repository and which one clients call."""
    rows = [(name, "clients call it" if name == written.entry else "") for name in written.models]
    table(f"{written.folder}: tritonserver --model-repository={written.folder}", ("model", ""), rows)


def _ports(model: Any, source: Path) -> Ports:
    """Return a network's inputs and outputs."""

    def of(values: Iterable[Any]) -> tuple[Port, ...]:
        found = []
        for value in values:
            tensor = value.type.tensor_type
            if tensor.elem_type not in _TYPES or not tensor.shape.dim:
                raise DataError(f"{source}: {value.name}: no input or output that can be served in batches")
            sizes = tuple(-1 if axis.dim_param else axis.dim_value for axis in tensor.shape.dim)
            found.append(Port(value.name, _TYPES[tensor.elem_type], sizes[1:]))
        return tuple(found)

    return of(model.graph.input), of(model.graph.output)


def _network_config(name: str, ports: Ports, serving: Serving, properties: Mapping[str, str]) -> str:
    kind = {"auto": "KIND_AUTO", "gpu": "KIND_GPU", "cpu": "KIND_CPU"}[serving.device]
    preferred = sorted({max(1, serving.batch // 2), serving.batch})
    return _joined(
        f"name: {_quoted(name)}",
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {serving.batch}",
        *_port_lines(ports, labelled=bool(properties), whole=False),
        f"instance_group [ {{ count: {serving.instances} kind: {kind} }} ]",
        "dynamic_batching {",
        f"  preferred_batch_size: [ {', '.join(map(str, preferred))} ]",
        f"  max_queue_delay_microseconds: {serving.delay}",
        "}",
        *_parameters(properties),
    )


def _ensemble_config(
    name: str,
    ports: Ports,
    serving: Serving,
    properties: Mapping[str, str],
    steps: Sequence[tuple[str, Ports, Mapping[str, str]]],
) -> str:
    """Return the configuration of models that run one after another; tensors of one name are one tensor.

    A step's last field says which of its inputs come from a tensor of another name.
    """
    lines = []
    for model, (inputs, outputs), renamed in steps:
        lines += ["    {", f"      model_name: {_quoted(model)}", "      model_version: -1"]
        for field, tensors in (("input_map", inputs), ("output_map", outputs)):
            for port in tensors:
                tensor = renamed.get(port.name, port.name)
                lines.append(f"      {field} {{ key: {_quoted(port.name)} value: {_quoted(tensor)} }}")
        lines.append("    }," if model != steps[-1][0] else "    }")
    return _joined(
        f"name: {_quoted(name)}",
        'platform: "ensemble"',
        f"max_batch_size: {serving.batch}",
        *_port_lines(ports, labelled=True, whole=True),
        "ensemble_scheduling {",
        "  step [",
        *lines,
        "  ]",
        "}",
        *_parameters(properties),
    )


def _port_lines(ports: Ports, *, labelled: bool, whole: bool) -> list[str]:
    """Return the entries of inputs and outputs.

    Where a network has one number a row, [batch], requests have [batch, 1], and the server takes that axis away before
    a network, but not before an ensemble.
    """
    lines = []
    for field, tensors in zip(("input", "output"), ports, strict=True):
        lines.append(f"{field} [")
        for port in tensors:
            dims = ", ".join(map(str, port.dims or (1,)))
            shape = "" if port.dims or whole else " reshape { shape: [ ] }"
            named = ' label_filename: "labels.txt"' if labelled and port.name in _LABELLED else ""
            end = "" if port is tensors[-1] else ","
            lines.append(
                f"  {{ name: {_quoted(port.name)} data_type: {port.kind} dims: [ {dims} ]{shape}{named} }}{end}"
            )
        lines.append("]")
    return lines


def _parameters(properties: Mapping[str, str]) -> list[str]:
    """Return what the ONNX file says of itself, which clients then read from the server."""
    return [
        f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}"
        for key, value in sorted(properties.items())
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _joined(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def _weight_files(network: Any, source: Path) -> set[str]:
    """Return the names of files that hold weights of a large network, beside its own."""
    entries = (entry for tensor in network.graph.initializer for entry in tensor.external_data)
    names = {entry.value for entry in entries if entry.key == "location"}
    for name in names:
        if Path(name).name != name:
            raise DataError(f"{source}: its weights lie in {name}, not beside it")
    return names
