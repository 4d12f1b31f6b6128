"""What an ONNX file of `valenza export` says of itself."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from valenza.errors import DataError, UsageError


@dataclass(frozen=True)
class Source:
    """What an ONNX file says of itself."""

    path: Path
    properties: dict[str, str]
    weights: dict[str, int]
    """Type → how many."""

    @property
    def rate(self) -> int:
        """Samples a second."""
        return int(self.properties["sample_rate"])


def read_source(path: Path) -> Source:
    """Return what an ONNX file says of itself; raises `DataError` for a file that is not one of `valenza export`'s."""
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError("reading ONNX files needs onnx; `pip install valenza[export]`") from None
    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    except DecodeError:
        raise DataError(f"{path}: not an ONNX file") from None
    properties = {entry.key: entry.value for entry in model.metadata_props}
    for needed in ("labels", "sample_rate", "frame_rate", "longest_seconds", "source"):
        if needed not in properties:
            raise DataError(f"{path}: metadata_props has no {needed}; `valenza export --to onnx` writes files that do")
    weights: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        weights[onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).name] += math.prod(tensor.dims)
    return Source(path, properties, dict(weights))
