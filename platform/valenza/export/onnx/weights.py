"""ONNX models as files: weights inside, or in a file beside them where they are too many, and both or none kept."""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valenza.shards.record import writing

INLINE = 1_900_000_000
"""Bytes of weights; a protobuf message holds less than 2 GiB, so where there are more they lie in a file beside it."""
_PAGE = 4096
"""Bytes; smaller weights stay inside, and each of the others begins at a multiple, where it can be mapped to memory."""


def large(model: Any) -> bool:
    """Whether a model's weights lie beside its file; counted, since a message of 2 GiB cannot tell its own size."""
    return sum(map(_bytes, model.graph.initializer)) >= INLINE


def bare(model: Any) -> Any:
    """Return a copy of all but the weights."""
    import onnx

    rest = {field.name: value for field, value in model.ListFields() if field.name != "graph"}
    graph = {field.name: value for field, value in model.graph.ListFields() if field.name != "initializer"}
    return onnx.ModelProto(**rest, graph=onnx.GraphProto(**graph))


def light(model: Any, data: str = "") -> Any:
    """Return a copy that has the small weights, and of the others tells type, shape and where in a file they lie."""
    import onnx

    copy, offset = bare(model), 0
    for weight in model.graph.initializer:
        if (length := _bytes(weight)) < _PAGE:
            copy.graph.initializer.append(weight)
            continue
        told = copy.graph.initializer.add(name=weight.name, data_type=weight.data_type, dims=weight.dims)
        told.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", data), ("offset", offset), ("length", length)):
            told.external_data.add(key=key, value=str(value))
        offset += -(-length // _PAGE) * _PAGE
    return copy


def _bytes(weight: Any) -> int:
    import onnx

    return int(math.prod(weight.dims) * onnx.helper.tensor_dtype_to_np_dtype(weight.data_type).itemsize)


def beside(path: Path) -> Path:
    """Return where the weights of a large model's file lie."""
    return path.with_name(f"{path.name}.data")


def write(model: Any, path: Path) -> None:
    """Write a model, which stays as it is, and check what was written; raises `WriteError`, and may leave a part."""
    import onnx

    with writing(path):
        told = light(model, beside(path).name) if large(model) else model
        if told is not model:
            with beside(path).open("wb") as file:
                for weight, place in zip(model.graph.initializer, told.graph.initializer, strict=True):
                    if place.external_data:
                        file.seek(onnx.external_data_helper.ExternalDataInfo(place).offset)
                        file.write(onnx.numpy_helper.to_array(weight).tobytes())
        path.write_bytes(told.SerializeToString())
    onnx.checker.check_model(path)


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Lend the same name in a hidden folder beside it, for a file that is not yet to be seen; raises `WriteError`."""
    folder = path.with_name(f".{path.name}.unchecked")
    with writing(path):
        shutil.rmtree(folder, ignore_errors=True)  # of an export that was killed
        folder.mkdir(parents=True)
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep(held: Path, path: Path) -> None:
    """Give a draft, and the weights beside it, their place; raises `WriteError`, and what was there is there again.

    An earlier file with weights of its own makes way before: whenever this is killed, no file lies beside weights that
    are not its own.
    """
    old = held.with_name(f"{held.name}.old")
    away = [(path, old), (beside(path), beside(old))] if beside(path).exists() else []
    done: list[tuple[Path, Path]] = []
    with writing(path):
        try:
            for source, target in (*away, (beside(held), beside(path)), (held, path)):
                if source.exists():
                    source.replace(target)
                    done.append((source, target))
        except BaseException:
            for source, target in reversed(done):
                target.replace(source)
            raise
