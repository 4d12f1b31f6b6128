"""CMU-MOSEI's `CMU_MOSEI_Labels.csd`, which is HDF5, and the lists of videos that its toolkit calls standard folds."""

import ast
import json
from collections.abc import Iterator
from typing import Any

from valenza.corpora.rows import Row, Source
from valenza.errors import DataError, UsageError

_DATA = "All Labels/data"
_NAMES = "All Labels/metadata/dimension names"
_HIGHEST = 3.0
_FOLDS = {"standard_train_fold": "train", "standard_valid_fold": "validation", "standard_test_fold": "test"}


def rows(source: Source) -> Iterator[Row]:
    """Yield `video`, `start` and `end` in seconds, and each dimension that the file names: sentiment, happy, sad, ….

    Marks are means over annotators, 0 to 3. A start below 0 is the file's beginning; stretches of no length are left
    out. Needs h5py. Source: Zadeh et al. 2018, ACL.
    """
    try:
        import h5py
    except ImportError:
        raise UsageError(f"{source.name} is HDF5; install h5py, as in `pip install valenza[mosei]`") from None
    line = 0
    try:
        with h5py.File(source.path) as file:
            names = json.loads(_text(file[_NAMES][0]))
            for video, stored in file[_DATA].items():
                seen: set[tuple[float, float]] = set()
                for marks, interval in zip(stored["features"][:], stored["intervals"][:], strict=True):
                    line += 1
                    start, end = max(float(interval[0]), 0.0), float(interval[1])
                    if end <= start:
                        continue
                    cells = {"video": video, "start": repr(start), "end": repr(end)}
                    fault = "is there twice" if (start, end) in seen else _wrong(names, marks)
                    seen.add((start, end))
                    yield Row(line, {**cells, **{n: repr(float(m)) for n, m in zip(names, marks, strict=False)}}, fault)
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{source.name}: is not CMU-MOSEI's label file: {error}") from None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _wrong(names: list[str], marks: Any) -> str:
    if len(names) != len(marks):
        return f"has {len(marks)} marks for {len(names)} dimensions"
    for name, mark in zip(names, marks, strict=True):
        if name != "sentiment" and not 0 <= mark <= _HIGHEST + 1e-6:
            return f"{name} is {mark}, not a mark from 0 to {_HIGHEST:g}"
    return ""


def folds(source: Source) -> Iterator[Row]:
    """Yield `video` and `fold` of `cmu_mosei_std_folds.py`, whose lists are read as text: nothing in it is run."""
    try:
        tree = ast.parse(source.path.read_text(encoding=source.encoding))
        for node in tree.body:
            name = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(node, ast.Assign) and isinstance(name, ast.Name) and name.id in _FOLDS:
                for video in ast.literal_eval(node.value):
                    yield Row(node.lineno, {"video": str(video), "fold": _FOLDS[name.id]})
    except (SyntaxError, ValueError, TypeError) as error:
        raise DataError(f"{source.name}: holds no lists of videos: {error}") from None
