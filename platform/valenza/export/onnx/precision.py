"""Less than single precision: halves for GPUs, and weights of eight bits for CPUs."""

import copy
import tempfile
from pathlib import Path
from typing import Any

from valenza.errors import UsageError
from valenza.export.onnx.graph import quiet
from valenza.export.onnx.half import Halves
from valenza.export.onnx.weights import bare, large, write
from valenza.shards.record import writing

KEPT = ("LayerNormalization", "Softmax", "ReduceMean", "ReduceSum", "Pow", "Sqrt", "Exp", "Log")
"""Operators that stay in single precision: sums and squares of many values overflow or lose their last digits."""
_SCOPES = "pkg.torch.onnx.name_scopes"
_UNKNOWN = "the exporter's notes do not tell which part of the graph is the encoder"


def _inside(node: Any) -> bool:
    """Whether a node belongs to the encoder; all else, the spectrogram and the heads, is small and wants its digits."""
    scopes = next((each.value for each in node.metadata_props if each.key == _SCOPES), "")
    return "rows.stack." in scopes  # as the parts of a `Recogniser` are called


def to_half(model: Any) -> Any:
    """Return a model whose encoder computes in half precision.

    LayerNorm, softmax, the spectrogram, the heads with the Dirichlet map, and all inputs and outputs stay in single
    precision. Only for models as the exporter left them: its notes tell what belongs to the encoder.
    """
    if not any(_inside(node) for node in model.graph.node):
        raise UsageError(_UNKNOWN)
    halved = bare(model)
    Halves(model).rewrite(halved, lambda node: _inside(node) and node.op_type not in KEPT)
    return halved


def to_eight_bits(model: Any) -> Any:
    """Return a model whose encoder multiplies by weights of 8 bits, each output with a scale of its own.

    Activations are scaled as they come, so nothing has to be calibrated.
    """
    quantization = _library("onnxruntime.quantization")
    import onnx

    with quiet(), tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "whole.onnx", Path(folder) / f"{Path(folder).name}.onnx"
        chosen = _write_named(model, whole)
        with writing(small):
            quantization.quantize_dynamic(
                whole,
                small,  # by a name of its own, since no file of weights may have its name where the command runs
                per_channel=True,
                nodes_to_quantize=chosen,
                weight_type=quantization.QuantType.QInt8,
                use_external_data_format=large(model),
                extra_options={"MatMulConstBOnly": True},
            )
        return onnx.load(small)


def _write_named(model: Any, path: Path) -> list[str]:
    """Write a model whose nodes have names that tell them apart; return those of the encoder's products."""
    model = copy.deepcopy(model)
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    chosen = [node.name for node in model.graph.node if node.op_type in ("MatMul", "Gemm") and _inside(node)]
    if not chosen:
        raise UsageError(_UNKNOWN)
    del model.graph.value_info[:]  # shapes of the example contradict those that are inferred anew
    write(model, path)
    return chosen


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError("this precision needs onnx and onnxruntime; `pip install valenza[export]`") from None
