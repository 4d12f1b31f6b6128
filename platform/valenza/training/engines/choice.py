"""Which engine a launch asks for: Accelerate's configuration file, or what its launcher left in the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from valenza.errors import PeerError, UsageError

_TRUE = {"true", "1", "yes"}
_OURS = {
    "optimizer": "the optimizer is the loop's, AdamW as the recipe says",
    "scheduler": "rates are a function of the recipe and the step",
    "bf16": "weights stay float32; `--precision bf16` computes in bfloat16",
    "fp16": "weights stay float32; `--precision` says how to compute",
    "train_batch_size": "a step's windows are the recipe's",
}
"""Sections of a DeepSpeed configuration that a recipe or `--precision` decides."""


@dataclass(frozen=True)
class Choice:
    """What a launch says of weights and optimizer."""

    engine: Literal["ddp", "fsdp2", "deepspeed"] = "ddp"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """DeepSpeed's configuration; for FSDP2 `reshard_after_forward`."""
    precision: str | None = None

    @property
    def name(self) -> str:
        """The engine as `environment.json` names it: ddp, fsdp2, zero1 to zero3."""
        return self.engine if self.engine != "deepspeed" else f"zero{self.stage}"

    @property
    def stage(self) -> int:
        """DeepSpeed's ZeRO stage."""
        return int(self.settings["zero_optimization"]["stage"])


def choose(file: Path | None) -> Choice:
    """Return what a configuration of `accelerate launch` says, or without one what that launcher said.

    Accelerate is not told: on a CPU it would take no notice of FSDP and turn DeepSpeed into plain DDP without a word.
    Raises `UsageError` naming file and field, and `PeerError` where sharding was asked for but nothing was launched.
    """
    choice = _read(file) if file is not None else _launched()
    for name in ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"):
        os.environ.pop(name, None)
    if choice.engine != "ddp" and "WORLD_SIZE" not in os.environ:
        raise PeerError(f"{choice.name} was asked for, but no process was launched; start it under torchrun")
    return choice


def _read(file: Path) -> Choice:
    values = _mapping(file, yaml.safe_load)
    kind, precision = str(values.get("distributed_type", "NO")), values.get("mixed_precision")
    told = None if precision is None else str(precision)
    if kind in {"NO", "MULTI_GPU", "MULTI_CPU"}:
        return Choice(precision=told)
    if kind == "FSDP":
        section = values.get("fsdp_config")
        if not isinstance(section, Mapping) or section.get("fsdp_version") != 2:
            raise UsageError(f"{file}: fsdp_config.fsdp_version: only FSDP2 is supported; write 2")
        settings = {
            "reshard_after_forward": bool(section.get("fsdp_reshard_after_forward", True)),
        }
        if section.get("fsdp_offload_params"):
            raise UsageError(f"{file}: fsdp_config.fsdp_offload_params: is not supported; ZeRO offloads")
        return Choice("fsdp2", settings, told)
    if kind == "DEEPSPEED":
        section = values.get("deepspeed_config")
        named = section.get("deepspeed_config_file") if isinstance(section, Mapping) else None
        if not isinstance(named, str):
            raise UsageError(f"{file}: deepspeed_config.deepspeed_config_file: is missing")
        beside = Path(named) if Path(named).exists() else file.parent.parent / "deepspeed" / Path(named).name
        return Choice("deepspeed", _deepspeed(beside), told)
    raise UsageError(f"{file}: distributed_type: {kind!r} is not one of MULTI_GPU, MULTI_CPU, FSDP, DEEPSPEED")


def _launched() -> Choice:
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() in _TRUE:
        named = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
        if named.lower() == "none":
            raise UsageError("accelerate launch: give DeepSpeed's settings as --deepspeed_config_file")
        return Choice("deepspeed", _deepspeed(Path(named)))
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() in _TRUE:
        if os.environ.get("FSDP_VERSION") != "2":
            raise UsageError("accelerate launch: only FSDP2 is supported; give --fsdp_version 2")
        settings = {
            "reshard_after_forward": os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() in _TRUE,
        }
        if os.environ.get("FSDP_OFFLOAD_PARAMS", "false").lower() in _TRUE:
            raise UsageError("accelerate launch: --fsdp_offload_params is not supported; ZeRO offloads")
        return Choice("fsdp2", settings)
    return Choice()


def _deepspeed(file: Path) -> Mapping[str, Any]:
    values = _mapping(file, json.loads)
    for name, why in _OURS.items():
        section = values.get(name)
        if section not in (None, "auto") and not (isinstance(section, Mapping) and section.get("enabled") is False):
            raise UsageError(f'{file}: {name}: {why}; leave it out or write "auto"')
    zero = values.get("zero_optimization")
    if not isinstance(zero, Mapping) or zero.get("stage") not in {1, 2, 3}:
        raise UsageError(f"{file}: zero_optimization.stage: is not 1, 2 or 3")
    return values


def _mapping(file: Path, parse: Any) -> dict[str, Any]:
    try:
        values = parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{file}: holds no settings")
    return values
