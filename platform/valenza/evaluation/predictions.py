"""What was predicted for each clip, kept beside results.json so that two runs can be compared clip by clip."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int, Shaped

from valenza.errors import UsageError, WriteError
from valenza.evaluation.protocol import columns
from valenza.labels.taxonomy import EMOTIONS, POSITION

_STRING, _SHARES = pa.string(), pa.list_(pa.float64(), len(EMOTIONS))
SCHEMA = pa.schema(
    [
        pa.field("id", _STRING, nullable=False),
        pa.field("corpus", _STRING, nullable=False),
        pa.field("language", _STRING, nullable=False),
        pa.field("speaker", _STRING, nullable=False),
        pa.field("recording", _STRING, nullable=False),
        pa.field("gender", _STRING, nullable=False),
        pa.field("true", _STRING),  # null where the annotators' two highest are equal: such a clip is not scored
        pa.field("predicted", _STRING, nullable=False),
        pa.field("probabilities", _SHARES, nullable=False),  # as reported, in the order of the eight emotions
        pa.field("annotated", _SHARES, nullable=False),
    ]
)
"""The columns of the file."""
_GROUPS = ("language", "speaker", "recording", "gender")


def beside(results: Path) -> Path:
    """Return where the predictions of a results.json lie: results.parquet."""
    return results.with_suffix(".parquet")


def rows(
    corpus: str,
    ids: Sequence[str],
    groups: Mapping[str, Shaped[np.ndarray, " clips"]],
    labels: Int[np.ndarray, " clips"],
    probabilities: Float[np.ndarray, "clips classes"],
    annotated: Float[np.ndarray, "clips classes"],
) -> pa.Table:
    """Return the rows of one corpus; a label of -1 is none."""
    names = np.array([*EMOTIONS, None], dtype=object)
    values = [
        pa.array(ids, _STRING),
        pa.array([corpus] * len(ids), _STRING),
        *(pa.array(groups[name].tolist(), _STRING) for name in _GROUPS),
        pa.array(names[labels].tolist(), _STRING),
        pa.array(names[probabilities.argmax(axis=1)].tolist(), _STRING),
        pa.array(probabilities.tolist(), _SHARES),
        pa.array(annotated.tolist(), _SHARES),
    ]
    return pa.Table.from_arrays(values, schema=SCHEMA)


def write_predictions(tables: Sequence[pa.Table], path: Path) -> None:
    """Write the file whole or not at all; raises `WriteError`."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(tables), partial, compression="zstd")
        partial.replace(path)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from None


@dataclass(frozen=True)
class Answers:
    """The scored clips of one corpus, in the order of their ids."""

    corpus: str
    ids: Shaped[np.ndarray, " clips"]
    speakers: Shaped[np.ndarray, " clips"]
    recordings: Shaped[np.ndarray, " clips"]
    labels: Int[np.ndarray, " clips"]
    predicted: Int[np.ndarray, " clips"]
    """Both are columns of the score matrix."""

    @property
    def classes(self) -> list[int]:
        """The columns that are true or predicted somewhere."""
        return columns([e for i, e in enumerate(EMOTIONS) if i in self.labels or i in self.predicted])


def read_predictions(path: Path) -> dict[str, Answers]:
    """Return corpus → its scored clips; raises `UsageError` where the file is missing or not one."""
    try:
        table = pq.read_table(path, schema=SCHEMA)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(f"{path}: cannot be read: {reason}; `valenza evaluate` writes it") from None
    held = {name: np.array(table[name].to_pylist(), dtype=object) for name in ("corpus", "true", "predicted", "id")}
    who = {name: np.array(table[name].to_pylist(), dtype=str) for name in ("speaker", "recording")}
    found = {}
    for corpus in dict.fromkeys(held["corpus"].tolist()):
        own = np.flatnonzero([c == corpus and t is not None for c, t in zip(held["corpus"], held["true"], strict=True)])
        own = own[np.argsort(held["id"][own].astype(str), kind="stable")]
        labels, predicted = (
            np.array([POSITION[name] for name in held[column][own]], dtype=np.int64) for column in ("true", "predicted")
        )
        found[corpus] = Answers(
            corpus, held["id"][own].astype(str), who["speaker"][own], who["recording"][own], labels, predicted
        )
    return found
