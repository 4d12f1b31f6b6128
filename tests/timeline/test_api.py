"""What Python users call, and every example of docs/predicting.md, run as it stands."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import valenza
from valenza.errors import DataError, UsageError
from valenza.labels.taxonomy import EMOTIONS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "predicting.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def place(corner: Any, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the examples' names stand for what they say."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(run, folder / "MODEL")
    shutil.copytree(corner.folder / "data" / "german", folder / "folder")
    shutil.copy(corner.folder / "data" / "german" / "s0F_happy_0.wav", folder / "clip.wav")
    return folder


@pytest.mark.parametrize("example", PYTHON, ids=range(len(PYTHON)))
def test_the_python_of_the_page_runs(place: Path, monkeypatch: pytest.MonkeyPatch, example: str) -> None:
    monkeypatch.chdir(place)
    exec(compile(example, "docs/predicting.md", "exec"), {})


@pytest.mark.parametrize("line", [line for line in COMMANDS if "bench" not in line])
def test_the_commands_of_the_page_run(corner: Any, place: Path, line: str) -> None:
    before, _, command = line.rpartition("| ")
    words = [str(place / word) if word in ("MODEL", "clip.wav", "folder") else word for word in shlex.split(command)]
    for number, earlier in enumerate(words[:-1], 1):
        if earlier in ("--out", "--plot"):
            words[number] = str(place / words[number])
    if "--microphone" in words:
        assert corner.run(*words[1:]).code == 64  # no machine that tests has one that speaks
        return
    sound = soundfile.read(place / "clip.wav", dtype="int16")[0].tobytes() if before else b""
    run = [sys.executable, "-m", "valenza", *words[1:]]
    ended = subprocess.run(run, input=sound, capture_output=True, env=corner.environment, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout or "--out" in words


def test_the_page_tells_of_everything() -> None:
    assert len(PYTHON) == 3
    assert {"--stream", "--timeline", "--format", "--plot"} <= {word for line in COMMANDS for word in line.split()}


def test_importing_costs_nothing() -> None:
    code = (
        "import sys, valenza; dir(valenza); print(*sorted(m for m in ('torch', 'numpy', 'typer') if m in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_all_that_is_promised_is_there() -> None:
    assert {name for name in valenza.__all__ if getattr(valenza, name) is not None} == set(dir(valenza))
    with pytest.raises(AttributeError, match="no attribute 'predikt'"):
        valenza.predikt  # noqa: B018


def test_a_waveform_is_what_its_file_is(place: Path) -> None:
    model = valenza.load(place / "MODEL")
    waveform, rate = soundfile.read(place / "clip.wav")
    one, other = model.predict(waveform, rate), model.predict_file(place / "clip.wav")
    np.testing.assert_allclose(one.mixtures, other.mixtures, atol=1e-6)
    stereo = np.stack([waveform, waveform])
    np.testing.assert_allclose(model.predict(stereo.astype(np.float32), rate).mixtures, one.mixtures, atol=1e-4)
    shares = model.classify(waveform, rate)
    assert tuple(shares) == model.classes == EMOTIONS
    assert sum(shares.values()) == pytest.approx(1)
    assert shares == pytest.approx(model.classify_file(place / "clip.wav"), abs=1e-6)


def test_mistakes_are_told(place: Path) -> None:
    model = valenza.load(place / "MODEL")
    for wrong in ([], np.zeros((3, 3, 3)), [np.nan, 0.1]):
        with pytest.raises(UsageError):
            model.predict(wrong, 16_000)
    with pytest.raises(DataError, match=r"none\.wav"):
        model.predict_file(place / "none.wav")
    with pytest.raises(UsageError):
        valenza.load(place / "folder")
