"""An ONNX graph of which some nodes compute in half precision."""

from collections.abc import Callable
from typing import Any

import numpy as np

from valenza.export.onnx.weights import light

_LARGEST = 65504.0
_TYPED = ("Cast", "CastLike", "Constant", "ConstantOfShape", "Range", "Shape")
"""Operators that say the type of their output themselves."""


class Halves:
    """Rewrites a model: chosen nodes take in and give out halves, and casts stand where they meet the others."""

    def __init__(self, model: Any) -> None:
        import onnx

        self.onnx = onnx
        inferred = onnx.shape_inference.infer_shapes(light(model)).graph  # of types, for which no weight is read
        self.float = onnx.TensorProto.FLOAT
        values = (*inferred.input, *inferred.output, *inferred.value_info)
        self.types = {value.name: value.type.tensor_type.elem_type for value in values}
        self.weights = {weight.name: weight for weight in model.graph.initializer}
        self.types |= {name: weight.data_type for name, weight in self.weights.items()}
        self.nodes: list[Any] = []
        self.half: dict[str, str] = {}
        """Values that there are in half precision, and under which name."""
        self.only_half: set[str] = set()

    def rewrite(self, model: Any, chosen: Callable[[Any], bool]) -> None:
        """Change the model; inputs and outputs of the whole stay as they are."""
        for node in model.graph.node:
            if chosen(node) and node.op_type not in _TYPED and self._gives_floats(node):
                self._as_half(node)
            else:
                for name in node.input:
                    self._need_single(name)
                self.nodes.append(node)
        for output in model.graph.output:
            self._need_single(output.name)
        used = {name for node in self.nodes for name in node.input}
        kept = [weight for name, weight in self.weights.items() if name in used]
        del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
        model.graph.node.extend(self.nodes)
        model.graph.initializer.extend(kept)

    def _gives_floats(self, node: Any) -> bool:
        return any(self.types.get(name) == self.float for name in node.output)

    def _as_half(self, node: Any) -> None:
        changed = self.onnx.NodeProto()
        changed.CopyFrom(node)
        for place, name in enumerate(node.input):
            if self.types.get(name) == self.float:
                changed.input[place] = self._halved(name)
        for place, name in enumerate(node.output):
            if self.types.get(name) == self.float:
                self.half[name] = changed.output[place] = f"{name}_half"
                self.only_half.add(name)
        self.nodes.append(changed)

    def _halved(self, name: str) -> str:
        if name not in self.half:
            self.half[name] = f"{name}_half"
            if name in self.weights:
                exact = self.onnx.numpy_helper.to_array(self.weights[name])
                small = np.clip(exact, -_LARGEST, _LARGEST).astype(np.float16)
                self.weights[f"{name}_half"] = self.onnx.numpy_helper.from_array(small, f"{name}_half")
            else:
                self._cast(name, f"{name}_half", self.onnx.TensorProto.FLOAT16)
        return self.half[name]

    def _need_single(self, name: str) -> None:
        if name in self.only_half:
            self.only_half.remove(name)
            self._cast(self.half[name], name, self.float)

    def _cast(self, source: str, target: str, kind: int) -> None:
        node = self.onnx.helper.make_node("Cast", [source], [target], name=f"cast_to_{target}", to=kind)
        self.nodes.append(node)
