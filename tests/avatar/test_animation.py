"""Animations in the layouts of three makers, and what is said of files that are none."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from valenza.avatar.animation import Animation, read_animation, write_animation
from valenza.avatar.arkit import ARKIT, NVIDIA
from valenza.errors import DataError, UsageError

Lines = list[list[str]]
LIVE_LINK_REST = ["HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw"]


def weights(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(frames, 52)).round(6)


def written(path: Path, lines: Lines, *, start: str = "") -> Path:
    path.write_text(start + "\n".join(",".join(line) for line in lines) + "\n", encoding="utf-8")
    return path


def plain(frames: int = 4) -> Lines:
    values = weights(frames)
    return [["time", *ARKIT], *([f"{k / 50}", *map(str, row)] for k, row in enumerate(values))]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = Animation((np.arange(7) + 0.5) / 50, weights(7))
    for name in ("a.csv", "a.npz"):
        write_animation(made, tmp_path / name)
        found = read_animation(tmp_path / name)
        np.testing.assert_allclose(found.times, made.times, atol=1e-9)
        np.testing.assert_allclose(found.weights, made.weights, atol=1e-9)
        assert found.channels == ARKIT
    head = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert head.startswith("timeCode,blendShapes.EyeBlinkLeft,blendShapes.EyeLookDownLeft,")
    assert found.seconds == pytest.approx(7 / 50)


def test_channels_of_any_network_are_kept_as_npz(tmp_path: Path) -> None:
    made = Animation(np.array([0.0, 0.1]), np.array([[3.0, -40.0], [5.0, 900.0]]), ("result.0", "result.1"))
    write_animation(made, tmp_path / "a.npz")
    found = read_animation(tmp_path / "a.npz")
    assert found.channels == made.channels
    np.testing.assert_array_equal(found.at(np.array([0.05]), ["result.1", "result.0"]), [[430.0, 4.0]])
    with pytest.raises(UsageError, match=re.escape(".npz")):
        write_animation(made, tmp_path / "a.csv")


def test_between_keys_a_channel_moves_straight_and_the_ends_are_held() -> None:
    made = Animation(np.array([1.0, 2.0]), np.array([[0.0], [1.0]]), ("jawOpen",))
    np.testing.assert_allclose(made.at(np.array([0.0, 1.25, 9.0]), ["jawOpen"])[:, 0], [0, 0.25, 1])
    with pytest.raises(DataError, match="no channel browInnerUp"):
        made.at(np.array([0.0]), ["jawOpen", "browInnerUp"])


def test_frames_of_audio2face(tmp_path: Path) -> None:
    """Their file has a column of row numbers without a name, and channels in any order."""
    values, order = weights(5), np.random.default_rng(1).permutation(52)
    lines = [["", "timeCode", *(f"blendShapes.{NVIDIA[k]}" for k in order), "blendShapes.TongueTipUp"]]
    lines += [[str(k), str(k / 30), *map(str, row[order]), "0.5"] for k, row in enumerate(values)]
    found = read_animation(written(tmp_path / "animation_frames.csv", lines, start="\ufeff"))
    np.testing.assert_allclose(found.weights, values)
    np.testing.assert_allclose(found.times, np.arange(5) / 30)


def live_link(codes: list[str], values: np.ndarray) -> Lines:
    lines = [["Timecode", "BlendShapeCount", *NVIDIA, *LIVE_LINK_REST]]
    rest = ["-12.5"] * len(LIVE_LINK_REST)
    return lines + [[code, "61", *map(str, row), *rest] for code, row in zip(codes, values, strict=True)]


@pytest.mark.parametrize("rate", [24, 30, 60])
def test_time_codes_of_live_link_face_count_from_the_first_row(rate: int, tmp_path: Path) -> None:
    ticks = 14 * 3600 * rate + np.arange(40, 40 + 2 * rate)
    codes = [f"{t // rate // 3600:02}:{t // rate // 60 % 60:02}:{t // rate % 60:02}:{t % rate:02}.250" for t in ticks]
    found = read_animation(written(tmp_path / "take.csv", live_link(codes, weights(len(ticks)))))
    np.testing.assert_allclose(found.times, np.arange(2 * rate) / rate, atol=1e-9)
    np.testing.assert_allclose(found.weights, weights(len(ticks)))


def test_a_take_of_less_than_a_second_has_the_usual_rate(tmp_path: Path) -> None:
    codes = ["01:02:03:04.000", "01:02:03:05.500", "01:02:03:06.000"]
    found = read_animation(written(tmp_path / "take.csv", live_link(codes, weights(3))))
    np.testing.assert_allclose(found.times, [0, 1.5 / 60, 2 / 60])


def test_a_take_may_run_past_midnight_and_lose_the_face(tmp_path: Path) -> None:
    codes = ["23:59:59:58", "23:59:59:59", "00:00:00:00", "00:00:00:01", "00:00:01:00"]
    lines = live_link(codes, weights(5))
    lines[2] = [codes[1], "0"]
    found = read_animation(written(tmp_path / "take.csv", lines))
    np.testing.assert_allclose(found.times, [0, 2 / 60, 3 / 60, 62 / 60], atol=1e-9)


def test_clock_times_and_51_channels(tmp_path: Path) -> None:
    lines = [[*row[:-1]] for row in plain(3)]
    for row, time in zip(lines[1:], ("00:00:01.5", "1:02.25", "01:03"), strict=True):
        row[0] = time
    found = read_animation(written(tmp_path / "a.csv", lines))
    np.testing.assert_allclose(found.times, [0, 60.75, 61.5])
    assert not found.weights[:, ARKIT.index("tongueOut")].any()


def change(line: int, column: int, cell: str) -> Callable[[Lines], None]:
    def made(lines: Lines) -> None:
        lines[line][column] = cell

    return made


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change(2, 5, "x"), ":3: eyeLookUpLeft: 'x' is not a number"),
        (change(3, 5, ""), ":4: eyeLookUpLeft: '' is not a number"),
        (change(3, 5, "nan"), ":4: eyeLookUpLeft: 'nan' is not a number"),
        (change(3, 18, "87"), ":4: jawOpen is 87, but weights run from 0 to 1"),
        (change(3, 0, "soon"), ":4: time: 'soon' is not a number"),
        (change(3, 0, "0.02"), ":4: its time, 0.02 s, does not come after 0.02 s"),
        (change(3, 0, "1:2"), ":2: time: '0.0' is neither seconds nor HH:MM:SS:FF"),
        (change(0, 0, "when"), ":1: one column must be called time"),
        (change(0, 18, "jawWide"), ":1: no column for jawOpen"),
        (change(0, 18, "JawLeft"), ":1: jawLeft is there twice, in columns 17 and 19"),
        (lambda lines: lines[4].pop(), ":5: has 52 cells under 53 columns"),
        (lambda lines: lines.__delitem__(slice(2, None)), ": holds 1 frames"),
        (lambda lines: lines.__delitem__(slice(1, None)), ": holds 0 frames"),
        (lambda lines: lines[0].__delitem__(slice(10, None)), ":1: no column for eyeLookInRight, eyeLookOutRight"),
    ],
)
def test_a_false_table_is_explained_with_line_and_column(
    spoil: Callable[[Lines], object], words: str, tmp_path: Path
) -> None:
    lines = plain()
    spoil(lines)
    path = written(tmp_path / "a.csv", lines)
    with pytest.raises(DataError, match=re.escape(f"{path}{words}")):
        read_animation(path)


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for held in (b"", b"\xff\xfe\x00", b"time," + b'"' * 3):
        path.write_bytes(held)
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_animation(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_animation(tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match=r"a \.csv or an \.npz"):
        read_animation(tmp_path / "a.fbx")


@pytest.mark.parametrize(
    "held",
    [
        {"times": np.arange(3.0), "weights": np.zeros((3, 2))},
        {"times": np.arange(3.0), "weights": np.zeros((2, 2)), "channels": np.array(["a", "b"])},
        {"times": np.arange(3.0), "weights": np.zeros((3, 2)), "channels": np.array(["a", "a"])},
        {"times": np.arange(3.0), "weights": np.zeros((3, 2)), "channels": np.array(["a", None])},
        {"times": np.zeros(3), "weights": np.zeros((3, 2)), "channels": np.array(["a", "b"])},
        {"times": np.arange(3.0), "weights": np.full((3, 2), np.nan), "channels": np.array(["a", "b"])},
        {"times": np.array("x"), "weights": np.zeros((3, 2)), "channels": np.array(["a", "b"])},
    ],
)
def test_a_false_npz_is_explained(held: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **held)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=re.escape(str(path))):
        read_animation(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        read_animation(path)
