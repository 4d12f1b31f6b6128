"""What this machine can do for a run, and what is missing."""

import importlib.metadata
import importlib.util
import os
import platform as machine
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_BASE = ("torch", "transformers", "accelerate", "soundfile", "soxr", "pyarrow", "scipy", "numpy")
_EXTRAS = {"demo": ("espeakng-loader",), "track": ("tensorboard", "wandb")}


@dataclass(frozen=True)
class Finding:
    """One line of the answer."""

    topic: str
    state: Literal["ok", "note", "missing"]
    detail: str


def examine() -> list[Finding]:
    """Look at Python, packages, devices, memory, disk and the environment; imports torch."""
    findings = [_python(), *_packages()]
    if all(f.state != "missing" for f in findings):
        findings += _devices()
    return [*findings, *_machine(), *_environment()]


def _python() -> Finding:
    version = machine.python_version()
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        "python", "ok" if supported else "note", version if supported else f"{version}; 3.11 to 3.13 are tested"
    )


def _packages() -> list[Finding]:
    findings = []
    for name in _BASE:
        try:
            findings.append(Finding(name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, "missing", "pip install valenza"))
    for extra, names in _EXTRAS.items():
        absent = [name for name in names if importlib.util.find_spec(name.replace("-", "_")) is None]
        detail = f'pip install "valenza[{extra}]"' if absent else "installed"
        findings.append(Finding(f"extra {extra}", "note" if absent else "ok", detail))
    return findings


def _devices() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        return [Finding("gpu", "note", "none; training runs on the CPU")]
    findings = []
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        half = "bf16" if torch.cuda.is_bf16_supported() else "fp16 only"
        findings.append(
            Finding(f"gpu {i}", "ok", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {half}")
        )
    findings.append(
        Finding("nccl", "ok" if torch.distributed.is_nccl_available() else "missing", "for more than one GPU")
    )
    return findings


def _machine() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    findings = [Finding("cores", "ok", str(cores))]
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    findings.append(Finding("free disk here", "ok" if free > 5 else "note", f"{free:.0f} GiB"))
    shared_memory = Path("/dev/shm")  # noqa: S108 - where loader workers exchange windows
    if shared_memory.is_dir():
        size = shutil.disk_usage(shared_memory).total / 2**30
        state: Literal["ok", "note"] = "ok" if size >= 1 else "note"
        findings.append(Finding("shared memory", state, f"{size:.1f} GiB" + ("" if size >= 1 else "; use --workers 0")))
    return findings


def _environment() -> list[Finding]:
    names = (
        "WORLD_SIZE",
        "RANK",
        "LOCAL_RANK",
        "MASTER_ADDR",
        "ACCELERATE_MIXED_PRECISION",
        "HF_HOME",
        "HF_HUB_OFFLINE",
        "VALENZA_DATA",
        "VALENZA_CACHE",
        "VALENZA_SHARD_CACHE",
        "VALENZA_SHARD_CACHE_GB",
        "VALENZA_HTTP_HOSTS",
        "VALENZA_TIMEOUT_SECONDS",
    )
    return [Finding(f"${name}", "note", os.environ[name]) for name in names if name in os.environ]
