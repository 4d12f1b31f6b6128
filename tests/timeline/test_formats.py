"""Every format, read back by a library that is not ours."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crowsetta
import numpy as np
import pandas
import praatio.textgrid
import pytest
import simpleder.rttm
import textgrid
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation
from pyannote.core import Segment as Stretch
from timelines import NAMES, spoken

from valenza.errors import DataError, UsageError
from valenza.labels.sequences import frame_times
from valenza.labels.taxonomy import EMOTIONS
from valenza.timeline.formats import FORMATS, Options, save, suffix
from valenza.timeline.segments import USUAL, Segmenting
from valenza.timeline.timeline import Timeline


@pytest.mark.parametrize("name", NAMES)
def test_json_comes_back_as_it_was(name: str) -> None:
    timeline = spoken(sure=True, name=name)
    text = timeline.to_json()
    again = Timeline.from_json(text)
    assert again.name == name.replace("\udcff", "\ufffd")
    assert (again.classes, again.duration) == (timeline.classes, timeline.duration)
    np.testing.assert_array_equal(again.times, timeline.times)
    np.testing.assert_allclose(again.mixtures, timeline.mixtures, atol=5e-7)
    assert again.concentration is not None
    np.testing.assert_allclose(again.concentration, timeline.concentration, rtol=1e-5)  # type: ignore[arg-type]
    assert again.to_json() == text
    text.encode("utf-8")
    (told,) = json.loads(text)["recordings"]
    assert [part["label"] for part in told["segments"]] == [part.label for part in timeline.segments()]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**20), st.booleans(), st.text(max_size=12))
def test_any_recording_survives_json(count: int, seed: int, sure: bool, name: str) -> None:
    text = spoken(count, seed, name, sure).to_json()
    assert Timeline.from_json(text).to_json() == text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(format=2), "format: "),
        (lambda d: d["recordings"].clear(), "there are 0 where one is wanted"),
        (lambda d: d["recordings"][0].pop("times"), "recordings.0.times: Field required"),
        (lambda d: d["recordings"][0]["times"].reverse(), "recordings.0: times rise"),
        (lambda d: d["recordings"][0]["mixtures"][3].pop(), "recordings.0.mixtures.3: there are 8 classes"),
        (lambda d: d["recordings"][0].update(duration="long"), "recordings.0.duration"),
        (lambda d: d["recordings"][0]["times"].pop(), "119 times and 120 mixtures"),
    ],
)
def test_what_is_wrong_in_json_is_told(
    change: Callable[[Any], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    told = json.loads(spoken().to_json())
    change(told)
    with pytest.raises(DataError, match=said):
        Timeline.from_json(json.dumps(told))
    with pytest.raises(DataError, match="the whole"):
        Timeline.from_json("{")


def test_csv_is_one_table_of_all_recordings() -> None:
    several = [spoken(10 + number, number, name, sure=True) for number, name in enumerate(NAMES)]
    text = FORMATS["csv"](several, Options())
    frame = pandas.read_csv(io.StringIO(text), keep_default_na=False)
    assert list(frame.columns) == ["file", "time", *EMOTIONS, "concentration"]
    assert len(frame) == sum(len(timeline.times) for timeline in several)
    for timeline in several:
        part = frame[frame["file"] == timeline.name.replace("\udcff", "\ufffd")]
        np.testing.assert_allclose(part["time"], timeline.times, atol=1e-6)
        np.testing.assert_allclose(part[list(EMOTIONS)], timeline.mixtures, atol=1e-6)
        np.testing.assert_allclose(part["concentration"], timeline.concentration, rtol=1e-5)  # type: ignore[arg-type]
    assert [len(row) for row in csv.reader(io.StringIO(text))] == [11] * (len(frame) + 1)
    mixed = FORMATS["csv"]([several[0], spoken()], Options(rate=2))
    assert mixed.splitlines()[0] == "file,time," + ",".join(EMOTIONS)
    with pytest.raises(UsageError, match="the same classes throughout"):
        FORMATS["csv"]([spoken(), spoken().without("other")], Options())


def expected(timeline: Timeline, settings: Segmenting = USUAL) -> list[tuple[float, float, str]]:
    return [(part.start, part.end, part.label) for part in timeline.segments(settings)]


def same(found: list[tuple[float, float, str]], wanted: list[tuple[float, float, str]]) -> None:
    assert [label for _, _, label in found] == [label for _, _, label in wanted]
    np.testing.assert_allclose([row[:2] for row in found], [row[:2] for row in wanted], atol=1e-5)
    assert len(wanted) > 2


@pytest.mark.parametrize("name", NAMES)
def test_textgrid_opens_in_two_readers(tmp_path: Path, name: str) -> None:
    timeline = spoken(name=name)
    path = tmp_path / "said.TextGrid"
    timeline.save(path)
    grid = praatio.textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    assert grid.tierNames == ("emotion", "share")
    assert (grid.minTimestamp, grid.maxTimestamp) == (0, timeline.duration)
    same([(entry.start, entry.end, entry.label) for entry in grid.getTier("emotion").entries], expected(timeline))
    shares = [float(entry.label) for entry in grid.getTier("share").entries]
    np.testing.assert_allclose(shares, [part.share for part in timeline.segments()], atol=0.00501)
    other = textgrid.TextGrid.fromFile(str(path))
    assert other.maxTime == pytest.approx(timeline.duration, abs=1e-5)  # it rounds what it reads
    same(
        [(interval.minTime, interval.maxTime, interval.mark) for interval in other.getFirst("emotion")],
        expected(timeline),
    )


def test_praat_reads_quotes_in_labels(tmp_path: Path) -> None:
    mixtures = np.repeat(np.eye(2), 50, axis=0)
    timeline = Timeline(frame_times(100), ('so-called "joy"', "tab\there"), mixtures, 2.0)
    path = tmp_path / "said.TextGrid"
    timeline.save(path)
    grid = praatio.textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    assert [entry.label for entry in grid.getTier("emotion").entries] == ['so-called "joy"', "tab here"]
    assert timeline.to_audacity().splitlines()[1].split("\t") == ["1.000000", "2.000000", "tab here"]
    assert timeline.to_rttm().splitlines()[1].split()[7] == "tab_here"


@pytest.mark.parametrize("name", NAMES)
def test_audacity_labels_open_in_crowsetta(tmp_path: Path, name: str) -> None:
    timeline = spoken(name=name)
    path = tmp_path / "labels.txt"
    timeline.save(path)
    read = crowsetta.formats.seq.AudSeq.from_file(path)
    found = list(zip(read.start_times.tolist(), read.end_times.tolist(), read.labels.tolist(), strict=True))
    same(found, expected(timeline))


def test_rttm_keeps_recordings_apart(tmp_path: Path) -> None:
    several = [spoken(150 + number, number, name) for number, name in enumerate((*NAMES, "plain.wav"))]
    path = tmp_path / "said.rttm"
    save(several, path)
    read = simpleder.rttm.load_rttm(path)
    assert len(read) == len(several)
    for (file, rows), timeline in zip(read.items(), several, strict=True):
        same([(start, end, label) for label, start, end in rows], expected(timeline))
        annotation = Annotation(uri=file)
        for number, (label, start, end) in enumerate(rows):
            annotation[Stretch(start, end), number] = label
        assert annotation.get_timeline().extent() == Stretch(0.0, pytest.approx(timeline.duration, abs=1e-5))
        assert [line.split() for line in annotation.to_rttm().splitlines()] == [
            [
                *line.split()[:3],
                *(f"{float(value):.3f}" for value in line.split()[3:5]),
                *line.split()[5:8],
                "<NA>",
                "<NA>",
            ]
            for line in path.read_text("utf-8").splitlines()
            if line.split()[1] == file
        ]
    assert list(read)[:3] == ["plain.wav", 'a_"b"_c_d,_é_第3回_<NA>_#;=x_\ufffd', "dir/plain.wav"]
    assert list(read)[-1] == "plain.wav_2"


def test_formats_say_how_many_recordings_they_hold(tmp_path: Path) -> None:
    assert list(FORMATS) == ["json", "csv", "textgrid", "audacity", "rttm", "a2f", "arkit"]
    two = [spoken(), spoken(seed=1)]
    for name, each in FORMATS.items():
        assert each([spoken()], Options())
        with pytest.raises(UsageError, match=f"{name} holds .*not 0"):
            each([], Options())
        if each.several:
            assert each(two, Options())
        else:
            with pytest.raises(UsageError, match=f"{name} holds one recording, not 2"):
                each(two, Options())
    assert [suffix(name) for name in FORMATS] == [".json", ".csv", ".TextGrid", ".txt", ".rttm", ".yaml", ".csv"]
    assert (suffix("a2f", "json"), suffix("arkit", "json"), suffix("json", "yaml")) == (".json", ".json", ".json")
    for ending, begins in {
        ".json": '{"format"',
        ".CSV": "file,",
        ".rttm": "SPEAKER",
        ".yml": "#",
        ".textgrid": "File",
    }.items():
        spoken().save(tmp_path / f"said{ending}")
        assert (tmp_path / f"said{ending}").read_text().startswith(begins)
    spoken().save(tmp_path / "face.json", "a2f")
    assert "emotion_with_timecode_list" in json.loads((tmp_path / "face.json").read_text())
    with pytest.raises(UsageError, match="csv is not written as json"):
        spoken().save(tmp_path / "said.json", "csv")
    for rate in (0.0, -1, float("nan"), 1001):
        with pytest.raises(UsageError, match="frame rate"):
            spoken().to_csv(rate=rate)
    for wrong in (("said.doc", None), ("said.json", "excel")):
        with pytest.raises(UsageError, match="there are json, csv"):
            spoken().save(tmp_path / wrong[0], wrong[1])
