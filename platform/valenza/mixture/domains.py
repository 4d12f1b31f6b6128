"""Where a training clip comes from: corpus, speaker and language, as one number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jaxtyping import Int64


@dataclass(frozen=True)
class Domains:
    """The domains of the training clips, numbered in the order of their names."""

    names: tuple[tuple[str, ...], ...]
    of_row: Int64[np.ndarray, " rows"]
    """Domain of each clip of the index; −1 for clips that are not trained on."""


def domains(index: pa.Table, rows: npt.NDArray[np.int64], of: Sequence[str]) -> Domains:
    """Number each combination of `of` that occurs among `rows`, the training clips.

    `of` holds some of `corpus`, `speaker`, `language`. A speaker is one of its corpus: two corpora may both have a
    speaker 01. (The domain of Osman et al. 2023 is all three.)
    """
    taken = index.select(["corpus", "speaker", "language"]).take(rows)
    columns = {name: taken[name].to_pylist() for name in taken.column_names}
    columns["speaker"] = [f"{c}/{s}" for c, s in zip(columns["corpus"], columns["speaker"], strict=True)]
    own = list(zip(*(columns[name] for name in of), strict=True))
    names = tuple(sorted(set(own)))
    number = {name: i for i, name in enumerate(names)}
    of_row = np.full(index.num_rows, -1, dtype=np.int64)
    of_row[rows] = [number[name] for name in own]
    return Domains(names, of_row)
