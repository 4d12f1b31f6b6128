"""What a model of whole clips hears while it is slid over recordings, as frame labels for a student to learn from."""

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64
from pydantic import JsonValue, PositiveInt

from valenza.config import suggestion
from valenza.corpora.card import Card
from valenza.corpora.frames import frame_count
from valenza.errors import DataError, ShardError, UsageError
from valenza.labels.taxonomy import EMOTIONS
from valenza.model.network import Network
from valenza.place import Place
from valenza.shards.index import TEACHER, Description, Sha256
from valenza.shards.read import Reader
from valenza.shards.record import writing
from valenza.shards.sealed import Sealed, read_sealed
from valenza.shards.stored import read_cards, read_corpus, read_index
from valenza.stages.sliding import Slider
from valenza.stages.tracks.folder import Account, chosen_rows, shard_name, store, write_manifest, write_recording
from valenza.terminal import track

_CARRIED = ("speaker", "language", "gender", "recording", "text", "split")
"""What a recording keeps of what its own corpus says of it."""


class Heard(Sealed):
    """`teacher.json`: all that decides the frame labels of such shards."""

    format: Literal[1]
    corpus: str
    """Whose recordings they are."""
    index_sha256: Sha256
    card_sha256: Sha256
    """Of that corpus's index and manifest."""
    clips: PositiveInt
    clips_sha256: Sha256
    """Of the ids of its clips that were listened to, sorted, one a line."""
    network_sha256: Sha256
    """Of the weights."""
    window: float
    step: float
    """Seconds."""
    temperature: float
    classes: tuple[str, ...]
    made: dict[str, JsonValue]
    """What the caller says of where the weights are from, such as run and checkpoint."""


def read_heard(folder: Path) -> Heard:
    """Read whose frame labels the shards of a corpus have; raises `ShardError` where that is missing or damaged."""
    again = f"delete {folder}, and the stage `teacher` writes it anew"
    return read_sealed(Heard, folder / TEACHER, again)


def sharpen(mixtures: Float64[np.ndarray, "keys classes"], temperature: float) -> Float64[np.ndarray, "keys classes"]:
    """Return p^(1/T) / Σ p^(1/T) of each mixture p: what the softmax of its logits divided by T is.

    That is the temperature of distillation (Hinton et al. 2015, eq. 1), there above 1 to soften what a teacher says. A
    window that spans two emotions is sure of neither, so T below 1 is the use here: mass moves to the highest share. At
    1 the mixtures are as they were. Raises `UsageError` for a temperature that is not a number above 0.
    """
    if _usable(temperature) == 1:
        return mixtures
    with np.errstate(divide="ignore"):  # a share of 0 stays one
        logits = np.log(mixtures) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def write_heard(
    slider: Slider,
    network: Network,
    shards: Place,
    corpus: str,
    rows: Many[int] | None,
    out: Path,
    *,
    classes: Many[str],
    made: Mapping[str, Any],
    name: str | None = None,
    temperature: float = 1.0,
) -> Description:
    """Slide a network over recordings, and store them with what it hears in `out` as the shards of `name`.

    The recordings are the clips of `rows`, rows of the corpus's index, or all for None; `name` is `<corpus>-heard` by
    default. Audio, speaker, language, gender, take, text and official split stay what they are. Every 20 ms is labelled
    with the mixtures of the windows around it: `sharpen` acts on each window's mixture and the frames lie on straight
    lines between them, so that no step is put between two windows which neither of them heard. `classes` are the
    emotions that the network's training corpora know, all that the frames can have, and `made` says what `teacher.json`
    beside the shards is to tell of run and checkpoint.

    The same arguments give the same bytes on the same kind of device, and shards that are there already are returned at
    once. Raises `UsageError` where `out/<name>` holds anything else, and for a class or temperature that is none,
    `DataError` where there is nothing to listen to, `ShardError` for damaged shards, `WriteError` for a full disk.
    """
    name = shard_name(name or f"{corpus}-heard")
    source = _Source.read(shards, corpus, rows)
    heard = _record(slider, network, source, classes, made, temperature)
    there = _there(out / name, heard)
    if there is not None:
        return there
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        # Not where temporary files usually are: it needs as much room as the shards.
        workplace = tempfile.TemporaryDirectory(prefix=f".{name}.", dir=out)
    with workplace as temporary:
        folder = Path(temporary)
        for row in track(source.rows, f"{name}: listening", len(source.rows)):
            frames = _frames(slider, network, source, row, heard)
            write_recording(folder, source.name(row), source.reader.flac(row), frames)
        manifest = write_manifest(folder, source.card, _account(source, name, heard.classes))
        return store(folder, manifest, out, {TEACHER: heard.render()})


@dataclass(frozen=True)
class _Source:
    """The corpus whose clips are listened to."""

    corpus: str
    card: Card
    description: Description
    index: pa.Table
    reader: Reader
    ids: list[str]
    rows: list[int]

    @classmethod
    def read(cls, shards: Place, corpus: str, rows: Many[int] | None) -> "_Source":
        index, card = read_index(shards, [corpus]), read_cards(shards, [corpus])[corpus]
        chosen = chosen_rows(corpus, index.num_rows, rows)
        if not chosen:
            raise DataError(f"{corpus}: no clip was chosen to listen to")
        description, ids = read_corpus(shards / corpus)[0], index["id"].to_pylist()
        return cls(corpus, card, description, index, Reader(shards, index), ids, chosen)

    def name(self, row: int) -> str:
        """Return what a clip is called in its corpus."""
        return self.ids[row].removeprefix(f"{self.corpus}-")


def _record(
    slider: Slider,
    network: Network,
    source: _Source,
    classes: Many[str],
    made: Mapping[str, Any],
    temperature: float,
) -> Heard:
    return Heard(
        format=1,
        corpus=source.corpus,
        index_sha256=source.description.index_sha256,
        card_sha256=source.description.card_sha256,
        clips=len(source.rows),
        clips_sha256=hashlib.sha256("\n".join(sorted(source.ids[row] for row in source.rows)).encode()).hexdigest(),
        network_sha256=_digest_of_weights(slider, network),
        window=slider.sliding.window,
        step=slider.sliding.step,
        temperature=_usable(temperature),
        classes=_known(classes),
        made=json.loads(json.dumps(dict(made))),
    )


def _frames(
    slider: Slider, network: Network, source: _Source, row: int, heard: Heard
) -> Float32[np.ndarray, "frames classes"]:
    frames = frame_count(source.reader.samples(row))
    means = slider.means(source.reader, source.ids, [row], label="")[0]
    said = slider.sequence(network, means, frames, np.isin(EMOTIONS, heard.classes))
    return replace(said, mixtures=sharpen(said.mixtures, heard.temperature)).frames(frames).astype(np.float32)


def _account(source: _Source, name: str, classes: Many[str]) -> Account:
    columns = [source.index[column].to_pylist() for column in _CARRIED]
    return Account(
        name=name,
        title=f"{source.card.title}: emotion over time as a model heard it",
        obtain=f"heard in the shards of {source.corpus} by the stage `teacher`; {TEACHER} says how",
        pattern="[A-Za-z0-9_-]+",
        classes=classes,
        columns=_CARRIED,
        voices=[(source.name(row), *(column[row] or "" for column in columns)) for row in source.rows],
    )


def _usable(temperature: float) -> float:
    if not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(f"a temperature of {temperature:g} is not a number above 0")
    return temperature


def _known(classes: Many[str]) -> tuple[str, ...]:
    for name in classes:
        if name not in EMOTIONS:
            raise UsageError(f"{name!r} is not one of {', '.join(EMOTIONS)}{suggestion(name, EMOTIONS)}")
    if not classes:
        raise UsageError("a teacher that knows no emotion has nothing to say")
    return tuple(emotion for emotion in EMOTIONS if emotion in classes)


def _there(folder: Path, wanted: Heard) -> Description | None:
    """Return the description of shards that have been written, or nothing where they have to be."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / TEACHER).is_file():
        raise UsageError(f"{folder}: holds something that no teacher wrote; give another name, or move it")
    there = read_heard(folder)
    if there != wanted:
        now, then = wanted.model_dump(), there.model_dump()
        other = ", ".join(field for field in now if now[field] != then[field])
        raise UsageError(f"{folder}: holds what was heard otherwise ({other}); give another name, or delete it")
    try:
        return read_corpus(folder)[0]
    except ShardError:  # a shard is gone, and all that made it is here
        return None


def _digest_of_weights(slider: Slider, network: Network) -> str:
    """Return a checksum of the encoder that listens and of all else that the network has."""
    digest = hashlib.sha256(slider.listener.digest.encode())
    for name, weight in network.state_dict().items():
        if not name.startswith("encoder."):
            digest.update(name.encode() + weight.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
