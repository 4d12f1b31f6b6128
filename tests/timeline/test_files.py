"""Files that are found, and heard together with others of their length; one that is bad costs no other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from valenza.timeline import files
from valenza.timeline.files import Fault, Heard, find_audio, hear_files
from valenza.timeline.targets import names
from valenza.timeline.windows import Windows

RATE = 16_000


def hum(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    time = np.arange(max(1, round(seconds * rate))) / rate
    tone = 0.2 * np.sin(2 * np.pi * 150 * time * (1 + 0.2 * np.sin(time)))
    return np.stack([tone] * channels, axis=1)


def test_padding_costs_little(made: Any, tmp_path: Path) -> None:
    """Files are heard with others of their length: a batch of mixed lengths would cost 30 s for each."""
    engine = type(made(framewise=False).engine)()
    lengths = [0.3, 30.0, 0.5, 12.0, 1.0, 0.9, 0.31, 13.0, 0.52, 65.0]
    for number, seconds in enumerate(lengths):
        soundfile.write(tmp_path / f"{number}.wav", hum(seconds), RATE)
    model = made(framewise=False, engine=engine)
    found = list(hear_files(model, find_audio([tmp_path])))
    assert all(isinstance(each, Heard) for each in found)
    assert engine.heard < 1.1 * sum(lengths) * RATE
    assert engine.calls < len(lengths)


def test_what_breaks_the_model_is_a_fault_of_its_own_file(made: Any, tmp_path: Path) -> None:
    class Breaks(type(made(framewise=False).engine)):  # type: ignore[misc]
        def __call__(self, audio: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
            said = super().__call__(audio, lengths)
            said["mixture"][np.abs(audio).max(axis=1) > 0.5] = np.nan
            return dict(said)

    for name, level in (("good", 1.0), ("loud", 4.0), ("fine", 1.0)):
        soundfile.write(tmp_path / f"{name}.wav", level * hum(1.0), RATE)
    model = made(framewise=False, engine=Breaks())
    found = {each.path.stem: each for each in hear_files(model, find_audio([tmp_path]))}
    assert isinstance(found["loud"], Fault)
    assert "not finite" in found["loud"].reason
    assert isinstance(found["good"], Heard)
    assert isinstance(found["fine"], Heard)


@pytest.mark.parametrize("windows", [None, Windows()])
def test_a_file_without_a_sample_at_16_khz_costs_no_other(made: Any, tmp_path: Path, windows: Windows | None) -> None:
    soundfile.write(tmp_path / "one.wav", [0.5], 48_000)
    soundfile.write(tmp_path / "good.wav", hum(1.0), RATE)
    found = {each.path.stem: each for each in hear_files(made(framewise=True), find_audio([tmp_path]), windows)}
    assert found["one"] == Fault(tmp_path / "one.wav", f"{tmp_path / 'one.wav'}: holds no samples at 16 kHz")
    assert isinstance(found["good"], Heard)


@pytest.mark.parametrize("windows", [None, Windows()])
def test_what_cannot_be_told_of_a_file_is_its_fault(
    made: Any, tmp_path: Path, windows: Windows | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "blocks", lambda path: iter(()))
    soundfile.write(tmp_path / "a.wav", hum(1.0), RATE)
    (found,) = hear_files(made(framewise=True), [tmp_path / "a.wav"], windows)
    assert isinstance(found, Fault)
    assert found.reason.endswith("a.wav holds no samples")


def test_what_cannot_be_looked_at_is_heard_to_be_explained(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / f"{'x' * 300}.wav"
    assert find_audio([long]) == [long]
    soundfile.write(tmp_path / "shut.wav", hum(0.1), RATE)

    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    assert find_audio([tmp_path]) == [tmp_path / "shut.wav"]
    (fault,) = hear_files(made(framewise=True), [long])
    assert isinstance(fault, Fault)
    assert "File name too long" in fault.reason


def test_no_result_is_called_so_that_it_leaves_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inside, beside = Path("a.wav"), Path("../x/a.wav")
    assert names([inside, beside]) == {inside: "here/a", beside: "x/a"}
    assert names([Path("b/../a.wav")]) == {Path("b/../a.wav"): "a"}
