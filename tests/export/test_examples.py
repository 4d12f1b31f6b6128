"""The Python of docs/models.md and docs/engines.md, run as it stands."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from valenza.errors import UsageError
from valenza.export.engines.sidecar import import_library, read_engine

DOCS = Path(__file__).resolve().parents[2] / "docs"


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def run(example: str, page: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(example, page, "exec"), names)
    return names


def test_the_example_of_models(corner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = corner.run("train", corner.recipe, "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    ended = corner.run("export", tmp_path / "run", "--to", "hf", "--out", tmp_path / "FOLDER", "--clips", 2)
    assert ended.code == 0, ended.err
    shutil.copy(corner.folder / "data" / "german" / "s0F_happy_0.wav", tmp_path / "speech.wav")
    monkeypatch.chdir(tmp_path)
    (example,) = examples("models.md")
    said = run(example.replace("\nemotions(", "\nsaid = emotions("), "docs/models.md")["said"]
    assert len(said) == 8
    assert sum(each["score"] for each in said) == pytest.approx(1)
    predicted = corner.run("predict", tmp_path / "run", tmp_path / "speech.wav", "--format", "json").json
    shares = predicted["files"][0]["shares"]
    assert {each["label"]: each["score"] for each in said} == pytest.approx(shares, abs=1e-5)


def test_the_example_of_engines(exported: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import_library("tensorrt_rtx")
    except UsageError as error:
        pytest.skip(str(error))
    (tmp_path / "exports").mkdir()
    shutil.copy(exported("whisper", "softmax", "waveform", "fp32").path, tmp_path / "exports" / "real_small.onnx")
    monkeypatch.chdir(tmp_path)
    (example,) = examples("engines.md")
    run(example, "docs/engines.md")
    sidecar = read_engine(tmp_path / "exports" / "live.engine")
    assert list(sidecar.profiles) == ["live", "batch"]
    assert sidecar.profiles["live"]["audio"].max == (4, 48_000)
