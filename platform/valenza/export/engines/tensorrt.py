"""A TensorRT engine of an ONNX file, built on machines with a GPU or without."""

import json
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valenza.errors import DataError, UsageError
from valenza.export.engines.sidecar import (
    FORMAT,
    TITLES,
    Library,
    Reach,
    Sidecar,
    Tensor,
    import_library,
    listener,
    mark,
    sidecar_path,
)
from valenza.export.onnx.source import Source, read_source
from valenza.features.batch import FRAME
from valenza.files import write_whole
from valenza.version import __version__

TARGETS = (86, 89)
"""Compute capabilities of an RTX 3090 and of the RTX 40 series."""
SHORTEST = 2 * FRAME
"""Samples: what a recogniser hears at the least."""
_SHOWN = 20
"""Of the parser's errors; one cause gives hundreds."""


@dataclass(frozen=True)
class Profile:
    """Recordings that an engine takes: least, best and most in a batch, and seconds of the longest among them."""

    name: str
    batch: tuple[int, int, int]
    seconds: tuple[float, float, float]


SINGLE = Profile("single", (1, 1, 1), (0.3, 3.0, 10.0))
"""One short recording at a time, as a stream gives them."""
BATCH = Profile("batch", (1, 8, 8), (0.3, 10.0, 30.0))


def build_engine(
    source: Path, target: Path, *, sms: Sequence[int] = (), profiles: Sequence[Profile] = (SINGLE, BATCH)
) -> Sidecar:
    """Write the engine of a file that `valenza export --to onnx` wrote, and its sidecar; return the sidecar.

    `sms` are compute capabilities; one engine serves them all, and no GPU is needed. Without any, the engine is for
    this machine's GPU where NVIDIA's `tensorrt` loads, else for `TARGETS`. Types are those of the ONNX file. Raises
    `UsageError` without the library and for what cannot be asked of it, `DataError` for a file that it refuses.
    """
    kind, trt, targets = find_library(sms)
    known = read_source(source)
    reaches = {profile.name: _reaches(profile, known) for profile in profiles}
    heard = listener(trt)
    builder = _builder(trt, heard)
    network = _parsed(trt, builder, heard, source)
    config = _config(trt, builder, reaches)
    if kind == "tensorrt_rtx":
        config.num_compute_capabilities = len(targets)
        for place, sm in enumerate(targets):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{sm}"), place)
    started = time.monotonic()
    plan = builder.build_serialized_network(network, config)
    seconds = time.monotonic() - started
    if plan is None:
        raise DataError(f"{source}: {TITLES[kind]} cannot build it: " + "; ".join(heard.errors[-3:]))
    write_whole(bytes(plan), target)
    sidecar = Sidecar(
        versions=_versions(trt, kind),
        compute_capabilities=targets,
        profiles=reaches,
        build_seconds=round(seconds, 3),
        engine=mark(target),
        **_of_network(trt, network, kind, known),
    )
    write_whole(sidecar.model_dump_json(indent=2) + "\n", sidecar_path(target))
    return sidecar


def find_library(sms: Sequence[int] = ()) -> tuple[Library, Any, tuple[int, ...]]:
    """Return the TensorRT that builds for these GPUs, as its name and its module, and what it builds for.

    Raises `UsageError` where it is not installed, or does not know one of them.
    """
    if not sms:  # the classic library builds for the GPU at hand alone
        try:
            trt = import_library("tensorrt")
        except UsageError:
            pass
        else:
            return "tensorrt", trt, _this_gpu()
    trt = import_library("tensorrt_rtx")
    return "tensorrt_rtx", trt, _known_targets(trt, sms or TARGETS)


def _this_gpu() -> tuple[int]:
    import torch

    if not torch.cuda.is_available():
        raise UsageError("`tensorrt` builds on the GPU that the engine is for; give --sm to build for others")
    major, minor = torch.cuda.get_device_capability()
    return (10 * major + minor,)


def _known_targets(trt: Any, sms: Sequence[int]) -> tuple[int, ...]:
    names = (re.fullmatch(r"SM(\d+)", name) for name in trt.ComputeCapability.__members__)
    known = sorted(int(name[1]) for name in names if name)
    for sm in sms:
        if sm not in known:
            listed = ", ".join(map(str, known))
            raise UsageError(
                f"--sm {sm}: {TITLES['tensorrt_rtx']} {trt.__version__} builds for {listed}; "
                "GPUs such as the H200 (90) need NVIDIA's `tensorrt` and a build on that GPU"
            )
    return tuple(sorted(set(sms)))


def _reaches(profile: Profile, known: Source) -> dict[str, Reach]:
    """Return the shapes of each input under a profile; raises `UsageError` for a profile that makes no sense."""
    longest = float(known.properties["longest_seconds"])
    said = f"profile {profile.name}"
    if not 1 <= profile.batch[0] <= profile.batch[1] <= profile.batch[2]:
        raise UsageError(f"{said}: a batch of {profile.batch} is not least, best, most")
    if not SHORTEST / known.rate <= profile.seconds[0] <= profile.seconds[1] <= profile.seconds[2] <= longest:
        raise UsageError(
            f"{said}: {profile.seconds} s is not least, best, most of {SHORTEST / known.rate:g} … {longest:g} s"
        )
    mel = known.properties["source"] == "mel"
    shapes = []
    for rows, seconds in zip(profile.batch, profile.seconds, strict=True):
        samples = round(seconds * known.rate)
        shapes.append((rows, int(known.properties["mels"]), 2 * -(-samples // FRAME)) if mel else (rows, samples))
    lengths = [(rows,) for rows in profile.batch]
    return {
        "mel" if mel else "audio": Reach(min=shapes[0], opt=shapes[1], max=shapes[2]),
        "lengths": Reach(min=lengths[0], opt=lengths[1], max=lengths[2]),
    }


def _builder(trt: Any, heard: Any) -> Any:
    try:
        builder = trt.Builder(heard)
    except (RuntimeError, TypeError):  # what the binding raises where the library gives it nothing
        builder = None
    if builder is None:
        raise UsageError("TensorRT does not start on this machine: " + "; ".join(heard.errors[-3:]))
    return builder


def _parsed(trt: Any, builder: Any, heard: Any, source: Path) -> Any:
    flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flag)
    parser = trt.OnnxParser(network, heard)
    if parser.parse_from_file(str(source)):
        return network
    errors = [parser.get_error(number) for number in range(parser.num_errors)]
    lines = [
        f"  node {each.node_name() or each.node()} ({each.node_operator()}): {each.code().name}, {each.desc()}"
        for each in errors
    ]
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    if any(each.node_operator() == "DynamicQuantizeLinear" for each in errors):
        more.append("weights of 8 bits with dynamic quantisation are for CPUs; export with --precision fp16")
    raise DataError("\n".join([f"{source}: TensorRT cannot take it in:", *lines[:_SHOWN], *more]))


def _config(trt: Any, builder: Any, reaches: Mapping[str, Mapping[str, Reach]]) -> Any:
    config = builder.create_builder_config()
    # Products of 10 bits would cost the spectrogram, which spans 80 dB, its quiet parts.
    config.clear_flag(trt.BuilderFlag.TF32)
    for inputs in reaches.values():
        profile = builder.create_optimization_profile()
        for name, reach in inputs.items():
            profile.set_shape(name, reach.min, reach.opt, reach.max)
        config.add_optimization_profile(profile)
    return config


def _of_network(trt: Any, network: Any, kind: Library, known: Source) -> dict[str, Any]:
    """Return what a sidecar says of the network and its ONNX file."""
    return {
        "format": FORMAT,
        "library": kind,
        "precision": "fp16" if "float16" in known.weights else "fp32",
        "weights": known.weights,
        "inputs": [_tensor(trt, network.get_input(number)) for number in range(network.num_inputs)],
        "outputs": [_tensor(trt, network.get_output(number)) for number in range(network.num_outputs)],
        "labels": json.loads(known.properties["labels"]),
        "sample_rate": known.rate,
        "frame_rate": round(float(known.properties["frame_rate"])),
        "layers": network.num_layers,
        "onnx": mark(known.path),
        "properties": known.properties,
    }


def _tensor(trt: Any, tensor: Any) -> Tensor:
    return Tensor(name=tensor.name, dtype=np.dtype(trt.nptype(tensor.dtype)).name, shape=tuple(tensor.shape))


def _versions(trt: Any, kind: Library) -> dict[str, str]:
    import onnx

    return {
        kind: str(trt.__version__),
        "onnx": str(onnx.__version__),
        "valenza": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
