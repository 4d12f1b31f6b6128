"""The client of docs/serving.md, run as it stands against a real server."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

PAGE = Path(__file__).resolve().parents[2] / "docs" / "serving.md"


def test_the_client_of_the_page(
    server: Any,
    speech: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    soundfile.write(tmp_path / "voice.wav", speech[: 16_000 * 4], 16_000)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example.replace("localhost:8000", f"localhost:{server.port}"), str(PAGE), "exec"), {})
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    moments = [moment for line in said if line["type"] == "moments" for moment in line["moments"]]
    assert said[-1]["type"] == "end"
    assert len(moments) == said[-1]["moments"] > 10
    assert said[-1]["duration"] == 4.0
