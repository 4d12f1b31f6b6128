"""audformat databases (audEERING): a YAML header, tables as CSV, FLAC files under `audio/`."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from valenza.corpora.exchange.languages import three_letters
from valenza.shards.audio import SAMPLE_RATE
from valenza.shards.export.clips import StoredClip, StoredCorpus, folder_in, write_text

_FACTS = ("speaker", "gender", "language", "text", "recording", "intensity")
_TYPES = {"train": "train", "validation": "dev", "test": "test"}
_VOTES = "votes."


def audformat(corpus: StoredCorpus, out: Path) -> None:
    """Write `db.yaml`, the table `files` with what is said of each clip, and `emotion` with labels and votes.

    Where the corpus has splits, each has its own table `emotion.<split>`. Votes are columns `votes.<label>`, because
    shares of annotators fit no rater's column.
    """
    folder = folder_in(out, corpus.card.id)
    audio = folder_in(folder, "audio")
    for clip in corpus.clips:
        corpus.save(clip, audio)
    facts = [name for name in _FACTS if any(name in corpus.facts(clip) for clip in corpus.clips)]
    columns = ["emotion", *(f"{_VOTES}{native}" for native in corpus.votes)]
    tables: dict[str, Any] = {"files": {"type": "filewise", "media_id": "audio", "columns": _columns(facts)}}
    _table(folder, "files", facts, [[corpus.facts(c).get(n, "") for n in facts] for c in corpus.clips], corpus.clips)
    for split, clips in corpus.by_split.items():
        name = "emotion" if split == "clips" else f"emotion.{_TYPES[split]}"
        official = {} if split == "clips" else {"split_id": _TYPES[split]}
        tables[name] = {"type": "filewise", "media_id": "audio", **official, "columns": _columns(columns)}
        rows = [[clip.label, *(repr(clip.votes[n]) if n in clip.votes else "" for n in corpus.votes)] for clip in clips]
        _table(folder, name, columns, rows, clips)
    header = yaml.safe_dump(_header(corpus, facts, tables), allow_unicode=True, sort_keys=False)
    write_text(folder / "db.yaml", header)


def _header(corpus: StoredCorpus, facts: Sequence[str], tables: dict[str, Any]) -> dict[str, Any]:
    card = corpus.card
    labels = {clip.label for clip in corpus.clips if clip.label}
    explained = {native: card.labels.get(native) for native in sorted(labels)}
    schemes: dict[str, Any] = {"emotion": {"description": "The label as its corpus gives it.", "dtype": "str"}}
    if all(isinstance(meaning, str) for meaning in explained.values()):
        schemes["emotion"]["labels"] = explained
    else:
        schemes["emotion"]["labels"] = list(explained)
    schemes |= {name: {"dtype": "str"} for name in facts}
    if corpus.votes:
        schemes["votes"] = {"description": "Annotators who chose it.", "dtype": "float", "minimum": 0}
    if "gender" in schemes:
        schemes["gender"]["labels"] = ["female", "male", "other"]
    return {
        "name": card.id,
        "description": card.title,
        "source": card.homepage or "unknown",
        "usage": "other",
        "languages": list(dict.fromkeys(three_letters(tag) for tag in corpus.languages if tag != "und")),
        "author": card.citation or "unknown",
        "license": card.licence,
        "media": {"audio": {"type": "audio", "format": "flac", "channels": 1, "bit_depth": 16,
                            "sampling_rate": SAMPLE_RATE}},
        "schemes": schemes,
        "splits": {_TYPES[split]: {"type": _TYPES[split]} for split in corpus.by_split if split in _TYPES},
        "tables": tables,
    }  # fmt: skip


def _columns(names: Sequence[str]) -> dict[str, Any]:
    return {name: {"scheme_id": "votes" if name.startswith(_VOTES) else name} for name in names}


def _table(folder: Path, name: str, columns: Sequence[str], rows: list[list[str]], clips: list[StoredClip]) -> None:
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(["file", *columns])
    lines.writerows([f"audio/{clip.name}.flac", *row] for clip, row in zip(clips, rows, strict=True))
    write_text(folder / f"db.{name}.csv", out.getvalue())
