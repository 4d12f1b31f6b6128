"""NeMo manifests: JSON Lines with `audio_filepath`, `duration`, `offset` and whatever else their owner keeps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from valenza.corpora.exchange.lines import json_lines
from valenza.corpora.exchange.said import Reading, Said, split_in
from valenza.errors import DataError


def read(reading: Reading) -> Iterator[Said]:
    """Yield the clips of one manifest, or of every `.json` and `.jsonl` of a folder, where file names tell splits.

    `duration` cuts a file only beside `offset`; alone it repeats what the file's header says.
    """
    source = reading.source
    files = [source] if source.is_file() else sorted(p for p in source.iterdir() if p.suffix in {".json", ".jsonl"})
    if not files:
        raise DataError(f"{source}: holds no .json or .jsonl manifest")
    for path in files:
        split = split_in(path.stem)
        for place, cells in json_lines(reading, path):
            said = _clip(reading, place, cells, path, split)
            if said is not None:
                yield said


def _clip(reading: Reading, place: str, cells: dict[str, Any], path: Path, split: str) -> Said | None:
    if "audio_filepath" not in cells:
        reading.blame(place, "audio_filepath", f"is missing; the fields are {', '.join(cells) or 'none'}")
        return None
    audio = reading.locate(place, "audio_filepath", cells["audio_filepath"], path.parent)
    cells = {"split": split} | cells
    if cells.get("offset") is not None and cells.get("end") is None:
        try:
            cells["end"] = float(cells["offset"]) + float(cells["duration"])
        except (KeyError, TypeError, ValueError):
            reading.blame(place, "duration", "with an offset, a number of seconds is wanted here")
            return None
    return reading.said(place, cells, audio)
