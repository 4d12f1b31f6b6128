"""A TensorRT engine and the sidecar that tells what it is, readable on machines that cannot run it."""

import hashlib
import importlib
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from valenza.config import Settings
from valenza.errors import DataError, UsageError
from valenza.export.onnx.weights import beside
from valenza.terminal import table

Library = Literal["tensorrt", "tensorrt_rtx"]
LIBRARIES: dict[Library, tuple[str, ...]] = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),  # the wheels of the extra have the second name alone
}
TITLES: dict[Library, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}
FORMAT = 1
"""Of the sidecar."""


class Tensor(Settings):
    """An input or output."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """Sizes of its axes; −1 where they may differ from call to call."""


class Reach(Settings):
    """Shapes of one input that a profile takes; it is quickest at `opt`."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Return whether a shape lies within."""
        bounds = zip(self.min, shape, self.max, strict=True)
        return len(shape) == len(self.min) and all(low <= size <= high for low, size, high in bounds)


class Mark(Settings):
    """A file, by what is in it and in the weights beside it."""

    file: str
    sha256: str
    bytes: int


class Sidecar(Settings):
    """What an engine is made of, takes in and gives out, as the JSON file beside it says."""

    format: int
    library: Library
    versions: dict[str, str]
    compute_capabilities: tuple[int, ...]
    """Of the GPUs that it was built for: 86 is that of an RTX 3090."""
    precision: Literal["fp32", "fp16"]
    """Of the encoder's weights; what loses digits by halves stays in single precision, as in the ONNX file."""
    weights: dict[str, int]
    """Type → how many of the ONNX file's weights have it."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    profiles: dict[str, dict[str, Reach]]
    """Name → input → shapes; in the engine's order."""
    labels: tuple[str, ...]
    sample_rate: int
    frame_rate: int
    layers: int
    build_seconds: float
    onnx: Mark
    engine: Mark
    properties: dict[str, str]
    """The ONNX file's own `metadata_props`, licences among them."""

    @property
    def title(self) -> str:
        """Name and version of the library that runs it."""
        return f"{TITLES[self.library]} {self.versions[self.library]}"


def import_library(kind: Library) -> Any:
    """Return a TensorRT module; raises `UsageError` where it, or the libraries that it loads, are missing."""
    for name in LIBRARIES[kind]:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError):  # the public `tensorrt` wheel is there without its libraries
            continue
    more = "" if kind == "tensorrt_rtx" else "; for data-centre GPUs, NVIDIA's own TensorRT packages"
    raise UsageError(f"{TITLES[kind]} is not installed; `pip install valenza[tensorrt]`{more}")


def listener(trt: Any) -> Any:
    """Return a logger for TensorRT that keeps what went wrong in `.errors` and prints nothing."""

    class Listener(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(message.strip())

    return Listener()


def mark(path: Path) -> Mark:
    """Return the mark of a file and the weights beside it, if any; raises `UsageError` where it cannot be read."""
    parts = [path, *([beside(path)] if beside(path).is_file() else [])]
    sha256 = hashlib.sha256()
    try:
        for part in parts:
            with part.open("rb") as file:
                hashlib.file_digest(file, lambda: sha256)
        return Mark(file=path.name, sha256=sha256.hexdigest(), bytes=sum(part.stat().st_size for part in parts))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


def sidecar_path(engine: Path) -> Path:
    """Return where the sidecar of an engine lies."""
    return engine.with_name(engine.name + ".json")


def read_engine(engine: Path) -> Sidecar:
    """Return the sidecar of an engine, which must be the one that the sidecar tells of; no GPU is needed.

    Raises `UsageError` where either is missing, `DataError` where they do not belong together.
    """
    path = sidecar_path(engine)
    found = mark(engine)
    if not path.is_file():
        raise UsageError(f"{engine}: what it is stands in {path.name}, which is not beside it")
    try:
        sidecar = Sidecar.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path}: {place}: {first['msg']}") from None
    if found.sha256 != sidecar.engine.sha256:
        raise DataError(f"{engine}: not the engine that {path.name} tells of: its SHA-256 is {found.sha256}")
    return sidecar


def show_engine(sidecar: Sidecar) -> None:
    """Print what an engine takes in and gives out, its profiles, and what it was made of."""
    targets = ", ".join(f"SM{number}" for number in sidecar.compute_capabilities)
    title = f"{sidecar.engine.file}: {sidecar.title}, {targets}, {sidecar.precision}"
    tensors = [("input", tensor) for tensor in sidecar.inputs] + [("output", tensor) for tensor in sidecar.outputs]
    rows = [(tensor.name, kind, tensor.dtype, _shape(tensor.shape)) for kind, tensor in tensors]
    table(title, ("tensor", "", "type", "shape"), rows)
    reaches = [
        (name, tensor, *map(_shape, (reach.min, reach.opt, reach.max)))
        for name, profile in sidecar.profiles.items()
        for tensor, reach in profile.items()
    ]
    table("", ("profile", "input", "least", "best", "most"), reaches)
    weights = ", ".join(f"{count:,} {kind}" for kind, count in sorted(sidecar.weights.items()))
    facts = {key: sidecar.properties[key] for key in ("name", "licence") if key in sidecar.properties} | {
        "labels": ", ".join(sidecar.labels),
        "weights": weights,
        "layers": f"{sidecar.layers:,}",
        "built in": f"{sidecar.build_seconds:.1f} s",
        "size": f"{sidecar.engine.bytes / 1e6:.1f} MB",
        "made of": f"{sidecar.onnx.file} ({sidecar.onnx.sha256[:12]})",
    }
    table("", ("", ""), list(facts.items()))


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join("any" if size < 0 else str(size) for size in shape)
