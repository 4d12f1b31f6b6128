"""Recorded face animation: weights of named channels over time, as CSV of three makers or as .npz."""

import csv
import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

from valenza.avatar.arkit import ARKIT, arkit_name, nvidia_column
from valenza.errors import DataError, UsageError
from valenza.files import write_whole
from valenza.shards.record import put

_TIMES = ("time", "timecode")
_COUNT = "blendshapecount"
_UNREADABLE = (OSError, ValueError, TypeError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises on an .npz file that is damaged or is none."""
_MAY_LACK = frozenset({"tongueOut"})
"""Recordings of 51 channels lack it; it rests at 0."""
_MOST = 4.0
"""A weight of ARKit runs from 0 to 1, and Audio2Face goes somewhat beyond; percentages lie far above."""
_TIMECODE = re.compile(r"(\d+):(\d\d):(\d\d)[:;](\d+(?:\.\d+)?)")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d\d(?:\.\d+)?)")
_RATES = (24, 25, 30, 48, 50, 60, 100, 120)
_USUAL = 60
"""Live Link Face's frame rate, for recordings too short to tell theirs."""


@dataclass(frozen=True, eq=False)
class Animation:
    """Weights at rising times; between two of them a channel moves in a straight line, and the ends are held."""

    times: Float64[np.ndarray, " keys"]
    """Seconds from the start of the audio."""
    weights: Float64[np.ndarray, "keys channels"]
    channels: tuple[str, ...] = ARKIT

    @property
    def seconds(self) -> float:
        """When it ends: half a key after the last one, which lies in the middle of its frame."""
        last = self.times[-1]
        return float(last + (last - self.times[0]) / (2 * (len(self.times) - 1)))

    def at(
        self, times: Float[np.ndarray, " moments"], channels: Sequence[str]
    ) -> Float64[np.ndarray, "moments channels"]:
        """Return these channels at these moments; raises `DataError` for a channel that was not recorded."""
        if missing := [channel for channel in channels if channel not in self.channels]:
            raise DataError(
                f"the animation has no channel {missing[0]} ({len(missing)} of {len(channels)} are missing)"
            )
        columns = [self.weights[:, self.channels.index(channel)] for channel in channels]
        return np.stack([np.interp(times, self.times, column) for column in columns], axis=1)


def read_animation(path: Path) -> Animation:
    """Read a .csv or .npz file; raises `DataError` that names file, line and column of what is wrong.

    A CSV file has a header with a time column (`time`, `timeCode` or `Timecode`) and ARKit's channels in any order, in
    Apple's or NVIDIA's spelling; other columns, such as head rotation, are left aside. It may be a recording of Live
    Link Face, whose time codes count from its first row, or Audio2Face's `animation_frames.csv`, in seconds. An .npz
    file holds `times` [keys], `weights` [keys, channels] and `channels`, which may be those of any network.
    """
    match path.suffix.lower():
        case ".csv":
            return _read_csv(path)
        case ".npz":
            return _read_npz(path)
    raise UsageError(f"{path}: an animation is a .csv or an .npz file")


def write_animation(animation: Animation, path: Path) -> None:
    """Write a .npz file of any channels, or a CSV file of ARKit's in NVIDIA's layout, to a millionth."""
    if path.suffix.lower() == ".npz":
        held = io.BytesIO()
        np.savez_compressed(
            held, times=animation.times, weights=animation.weights, channels=np.array(animation.channels)
        )
        put(path, held.getvalue())
        return
    if path.suffix.lower() != ".csv" or set(animation.channels) != set(ARKIT):
        raise UsageError(f"{path}: ARKit's 52 channels are written as .csv or .npz, others as .npz")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["timeCode", *map(nvidia_column, ARKIT)])
    rows = animation.at(animation.times, ARKIT)
    writer.writerows(
        [f"{value:.6f}" for value in (time, *row)] for time, row in zip(animation.times, rows, strict=True)
    )
    write_whole(text.getvalue(), path)


def _read_npz(path: Path) -> Animation:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
            times, weights, channels = (held[name] for name in ("times", "weights", "channels"))
            found = Animation(
                times.astype(np.float64), weights.astype(np.float64), tuple(str(name) for name in channels.tolist())
            )
    except KeyError as error:
        raise DataError(f"{path}: {error.args[0]}; it must hold times, weights and channels") from None
    except _UNREADABLE as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    shape = (len(times), len(found.channels)) if times.ndim == channels.ndim == 1 else None
    if found.weights.shape != shape or len(set(found.channels)) != len(found.channels):
        raise DataError(f"{path}: weights must be [times, channels], and each channel once; they are {weights.shape}")
    if not (np.isfinite(found.weights).all() and np.isfinite(found.times).all()):
        raise DataError(f"{path}: holds numbers that are not finite")
    return _checked(found, [f"{path}: entry {key}" for key in range(len(times))], path)


def _read_csv(path: Path) -> Animation:
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if not rows:
        raise DataError(f"{path}: is empty")
    time, places = _header(path, rows[0])
    lines, codes, weights = [], [], []
    for number, row in _recorded(path, rows):
        lines.append(number)
        codes.append(row[time])
        weights.append([_number(path, number, rows[0][place], row[place]) for place in places.values()])
    found = np.zeros((len(weights), len(ARKIT)))
    found[:, [ARKIT.index(channel) for channel in places]] = np.reshape(weights, (-1, len(places)))
    times = _seconds(path, rows[0][time], lines, codes)
    if np.abs(found).max(initial=0.0) > _MOST:
        key, column = np.unravel_index(np.abs(found).argmax(), found.shape)
        raise DataError(
            f"{path}:{lines[key]}: {ARKIT[column]} is {found[key, column]:g}, but weights run from 0 to 1; "
            "divide percentages by 100"
        )
    return _checked(Animation(times, found), [f"{path}:{line}" for line in lines], path)


def _header(path: Path, header: list[str]) -> tuple[int, dict[str, int]]:
    """Return the place of the time, and of each channel that is there."""
    times = [place for place, column in enumerate(header) if column.strip().lower() in _TIMES]
    if len(times) != 1:
        raise DataError(f"{path}:1: one column must be called time, timeCode or Timecode; there are {len(times)}")
    places: dict[str, int] = {}
    for place, column in enumerate(header):
        channel = arkit_name(column)
        if channel in places:
            raise DataError(f"{path}:1: {channel} is there twice, in columns {places[channel] + 1} and {place + 1}")
        if channel is not None:
            places[channel] = place
    if missing := [channel for channel in ARKIT if channel not in places and channel not in _MAY_LACK]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise DataError(f"{path}:1: no column for {', '.join(missing[:3])}{more}")
    return times[0], places


def _recorded(path: Path, rows: list[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of every row but those in which Live Link Face saw no face, with a count of 0."""
    width = len(rows[0])
    counts = [place for place, column in enumerate(rows[0]) if column.strip().lower() == _COUNT]
    for number, row in enumerate(rows[1:], 2):
        if not row or any(place < len(row) and row[place].strip() == "0" for place in counts):
            continue
        if len(row) != width:
            raise DataError(f"{path}:{number}: has {len(row)} cells under {width} columns")
        yield number, row


def _number(path: Path, line: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}:{line}: {column.strip()}: {cell!r} is not a number")
    return value


def _seconds(path: Path, column: str, lines: list[int], codes: list[str]) -> Float64[np.ndarray, " keys"]:
    """Return the times in seconds: as written, or counted from the first row where they are codes of the day."""
    if not any(":" in code for code in codes):
        pairs = zip(lines, codes, strict=True)
        return np.array([_number(path, line, column, code) for line, code in pairs], dtype=np.float64)
    parts = []
    for line, code in zip(lines, codes, strict=True):
        if found := _TIMECODE.fullmatch(code.strip()):
            hours, minutes, seconds = (int(group) for group in found.groups()[:3])
            parts.append((hours * 3600.0 + minutes * 60 + seconds, float(found[4])))
        elif found := _CLOCK.fullmatch(code.strip()):
            parts.append((int(found[1] or 0) * 3600.0 + int(found[2]) * 60 + float(found[3]), 0.0))
        else:
            raise DataError(f"{path}:{line}: {column.strip()}: {code!r} is neither seconds nor HH:MM:SS:FF")
    whole, frames = np.array(parts).T
    times = whole + frames / _rate(whole, frames)
    # A take may run past midnight.
    times[1:] += 86_400.0 * np.cumsum(np.diff(times) < -43_200.0)
    return np.asarray(times - times[0])


def _rate(whole: Float64[np.ndarray, " keys"], frames: Float64[np.ndarray, " keys"]) -> int:
    """Return the frame rate of time codes: the usual one just above the highest frame that they count to."""
    highest = int(frames.max())
    if whole[0] == whole[-1]:
        return max(_USUAL, highest + 1)
    return next((rate for rate in _RATES if rate > highest), highest + 1)


def _checked(animation: Animation, places: Sequence[str], path: Path) -> Animation:
    if len(animation.times) < 2:
        raise DataError(f"{path}: holds {len(animation.times)} frames; an animation has at least two")
    for place, (before, after) in zip(places[1:], pairwise(animation.times), strict=True):
        if after <= before:
            raise DataError(f"{place}: its time, {after:g} s, does not come after {before:g} s")
    return animation
