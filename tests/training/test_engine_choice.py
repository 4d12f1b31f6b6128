"""What a launch asks for is what is used, or it is refused: never another engine in silence."""

import json
from pathlib import Path

import pytest
import yaml

from valenza.errors import PeerError, UsageError
from valenza.training.engines.choice import Choice, choose

LAUNCH = Path(__file__).resolve().parents[2] / "launch"


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "FSDP_VERSION", "ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")


@pytest.mark.parametrize("file", sorted((LAUNCH / "accelerate").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_configuration_that_ships_is_read(file: Path) -> None:
    choice = choose(file)
    assert choice.name == file.stem.removesuffix("_offload")
    assert choice.precision == "bf16"
    if choice.engine == "deepspeed":
        assert ("offload_optimizer" in choice.settings["zero_optimization"]) == file.stem.endswith("_offload")
        assert choice.settings["gradient_clipping"] == "auto"  # DeepSpeed's own default would clip at 1


@pytest.mark.parametrize("file", sorted((LAUNCH / "deepspeed").glob("*.json")), ids=lambda file: file.stem)
def test_no_machine_file_holds_what_a_recipe_decides(file: Path) -> None:
    assert not {"optimizer", "scheduler", "bf16", "fp16"} & json.loads(file.read_text()).keys()


def test_without_a_file_the_launcher_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(None) == Choice()
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    monkeypatch.setenv("FSDP_RESHARD_AFTER_FORWARD", "false")
    assert choose(None) == Choice("fsdp2", {"reshard_after_forward": False})
    assert choose(None) == Choice()  # Accelerate was not to be told
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(LAUNCH / "deepspeed/zero1.json"))
    assert choose(None).name == "zero1"


def test_sharding_without_a_launcher_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(PeerError, match="fsdp2 was asked for, but no process was launched"):
        choose(LAUNCH / "accelerate/fsdp2.yaml")


WRONG = [
    ({"distributed_type": "TPU"}, "distributed_type: 'TPU' is not one of"),
    ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 1}}, "fsdp_config.fsdp_version: only FSDP2"),
    ({"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 2, "fsdp_offload_params": True}}, "ZeRO offloads"),
    ({"distributed_type": "DEEPSPEED"}, "deepspeed_config.deepspeed_config_file: is missing"),
    ({"distributed_type": "DEEPSPEED", "deepspeed_config": {"deepspeed_config_file": "no.json"}}, "cannot be read"),
]


@pytest.mark.parametrize(("values", "told"), WRONG)
def test_a_wrong_file_is_told_with_its_field(tmp_path: Path, values: dict[str, object], told: str) -> None:
    file = tmp_path / "machine.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(UsageError, match=told):
        choose(file)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"zero_optimization": {"stage": 0}}, "zero_optimization.stage: is not 1, 2 or 3"),
        ({"zero_optimization": {"stage": 2}, "optimizer": {"type": "Adam"}}, "optimizer: the optimizer is the loop's"),
        ({"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}}, "bf16: weights stay float32"),
    ],
)
def test_what_deepspeed_would_take_from_the_recipe_is_refused(
    tmp_path: Path, values: dict[str, object], told: str
) -> None:
    settings = tmp_path / "zero.json"
    settings.write_text(json.dumps(values))
    file = tmp_path / "machine.yaml"
    section = {"deepspeed_config_file": str(settings)}
    file.write_text(yaml.safe_dump({"distributed_type": "DEEPSPEED", "deepspeed_config": section}))
    with pytest.raises(UsageError, match=told):
        choose(file)
