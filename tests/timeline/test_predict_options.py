"""Options of `valenza predict`: none is without effect, none costs a recording, and what was heard is kept."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from valenza.cli import app
from valenza.errors import DataError
from valenza.timeline import answers
from valenza.timeline.answers import Wanted, predict_files
from valenza.timeline.files import Fault, hear_files
from valenza.timeline.segments import USUAL, Segmenting
from valenza.timeline.sound import read_audio
from valenza.timeline.targets import Target
from valenza.timeline.timeline import Timeline
from valenza.timeline.windows import USUAL as WINDOWS

Ask = Callable[..., Any]


@pytest.fixture
def two(tmp_path: Path, noise: Callable[[float], np.ndarray]) -> tuple[Path, Path]:
    """A short recording and a longer one."""
    for name, seconds in (("a", 0.5), ("b", 1.0)):
        soundfile.write(tmp_path / f"{name}.wav", noise(seconds), 16_000)
    return tmp_path / "a.wav", tmp_path / "b.wav"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("{a}", "--timeline", "--hysteresis", "0.2"), "--hysteresis: csv holds no segments"),
        (("{a}", "--format", "arkit", "--min-duration", "1"), "--min-duration: arkit holds no segments"),
        (("{a}", "--format", "textgrid", "--rate", "5"), "--rate: textgrid holds segments and no curves"),
        (("{a}", "--format", "audacity", "--rate", "5"), "--rate: audacity"),
        (("{a}", "--format", "rttm", "--rate", "5"), "--rate: rttm"),
        (("--stream", "--batch", "3"), "--batch: streams"),
        (("--stream", "--format", "csv"), "--format: streams"),
        (("{a}", "--out", "{tmp}/said.doc"), "said.doc: its ending tells no format"),
        (("{b}", "--out", "{a}"), "a.wav: its ending tells no format"),
        (("{a}", "--format", "csv", "--out", "{tmp}/said.json"), "csv is written as .csv"),
        (("{a}", "--timeline", "--format", "a2f", "--out", "{tmp}/x.csv"), "written as .yaml or .yml or .json"),
        (("{a}", "{tmp}/take.csv", "--out", "{tmp}/../{name}/take.csv"), "take.csv is one of the recordings"),
        (("{a}", "{tmp}/take.csv", "--out", "{tmp}"), "take.csv is one of the recordings"),
        (("{tmp}/take.svg", "--plot", "{tmp}/take.svg"), "--plot: {tmp}/take.svg is one of the recordings"),
        (("{a}", "--format", "a2f", "--ban", "happiness,sadness,anger,fear,disgust,surprise"), "--ban: Audio2Face"),
        (("{a}", "--plot", "{tmp}/x.png"), "pip install valenza[plot]"),
    ],
)
def test_what_would_have_no_effect_is_refused_before_anything_is_heard(
    ask: Ask, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], why: str
) -> None:
    monkeypatch.setattr(answers, "load", lambda place: pytest.fail("a model was loaded"))
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    places = {"a": two[0], "b": two[1], "tmp": two[0].parent, "name": two[0].parent.name}
    before = {path: path.read_bytes() for path in two}
    ended = ask(*(word.format(**places) for word in words))
    assert ended.code == 64, ended.err
    assert why.format(**places) in ended.err
    assert "a.wav: " not in ended.err or "ending" in why
    assert {path: path.read_bytes() for path in two} == before


def test_the_ending_chooses_the_format(ask: Ask, two: tuple[Path, Path], tmp_path: Path) -> None:
    for name, begins in {"x.json": '{"files"', "x.CSV": "file,duration", "x.TextGrid": "File type"}.items():
        ended = ask(two[0], "--out", tmp_path / name)
        assert ended.code == 0, ended.err
        assert (tmp_path / name).read_text().startswith(begins)
    assert ask(two[0], "--format", "a2f", "--out", tmp_path / "keys.JSON").code == 0
    assert "emotion_with_timecode_list" in json.loads((tmp_path / "keys.JSON").read_text())


def test_a_picture_has_the_segments_that_are_asked_for(ask: Ask, two: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("--hysteresis", 0.3, "--min-duration", 0.2)
    ended = ask(two[1], "--format", "json", *words, "--plot", tmp_path / "b.svg")
    assert ended.code == 0, ended.err
    expected = tmp_path / "expected.svg"
    Timeline.from_json(ended.out).plot(expected, read_audio(two[1]), segmenting=Segmenting(0.3, 0.2))
    spoken = [re.findall('aria-label="[^"]*"', file.read_text()) for file in (tmp_path / "b.svg", expected)]
    assert spoken[0] == spoken[1] != []
    csv = ask(two[1], *words, "--plot", tmp_path / "c.svg")
    assert csv.code == 0, csv.err


def test_help_tells_the_defaults_that_hold() -> None:
    told = (
        CliRunner().invoke(app, ["predict", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).output
    )
    defaults = {
        "hysteresis": f"{USUAL.hysteresis:g}",
        "min-duration": f"{USUAL.minimum_seconds:g}",
        "window": f"{WINDOWS[True][0]:g}, or {WINDOWS[False][0]:g} of",
        "step": f"{WINDOWS[True][1]:g}, or {WINDOWS[False][1]:g} of",
    }
    for option, value in defaults.items():
        (line,) = [line for line in told.splitlines() if f" --{option} " in line]
        assert f"[default: ({value}" in line or f"[default: {value}" in line


def test_a_file_that_changes_while_it_is_heard_costs_no_other(
    ask: Ask, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def gone(path: Path) -> np.ndarray:
        if path == two[0]:
            raise DataError(f"{path}: is gone")
        return read_audio(path)

    monkeypatch.setattr(answers, "read_audio", gone)
    ended = ask(*two, "--plot", tmp_path / "pictures")
    assert ended.code == 65
    assert "a.wav: is gone" in ended.err
    assert {line.split(",")[0] for line in ended.out.splitlines()[1:]} == {str(two[1])}


def test_a_disk_that_is_full_leaves_what_was_heard(ask: Ask, two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "pictures" / "b.svg").mkdir(parents=True)
    (tmp_path / "empty.wav").touch()
    ended = ask(tmp_path / "empty.wav", *two, "--plot", tmp_path / "pictures")
    assert ended.code == 73
    assert "b.svg: cannot be written" in ended.err
    assert "empty.wav: is an empty file" in ended.err
    assert {line.split(",")[0] for line in ended.out.splitlines()[1:]} == {str(two[0])}


@pytest.mark.parametrize("out", ["rows.csv", "rows", None])
@pytest.mark.parametrize("timeline", [False, True])
def test_who_stops_it_keeps_what_was_heard(
    run: Path,
    two: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    out: str | None,
    timeline: bool,
) -> None:
    folder = tmp_path / "rows"

    def stopped(*asked: Any, **settings: Any) -> Iterator[Any]:
        yield Fault(two[1], "b.wav: is bad")
        yield next(hear_files(*asked, **settings))
        if out == "rows":
            assert (folder / "a.csv").read_text().startswith("file,")  # at once, and not only in the end
        raise KeyboardInterrupt

    monkeypatch.setattr(answers, "hear_files", stopped)
    target = None if out is None else Target.of(str(tmp_path / out))
    with pytest.raises(KeyboardInterrupt):
        predict_files(run, two, Wanted(timeline=timeline, out=target))
    told = capsys.readouterr()
    assert "b.wav: is bad" in told.err
    found = {None: "", "rows.csv": tmp_path / "rows.csv", "rows": folder / "a.csv"}[out]
    text = found.read_text() if isinstance(found, Path) else told.out
    assert {line.split(",")[0] for line in text.splitlines()[1:]} == {str(two[0])}
