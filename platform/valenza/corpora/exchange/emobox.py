"""EmoBox's lists (Ma et al. 2024): `data/<corpus>/<corpus>.jsonl`, folds beside it, and `label_map.json`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from valenza.corpora.exchange.lines import explained, json_lines
from valenza.corpora.exchange.said import Reading, Said, split_in
from valenza.errors import DataError, UsageError


def read(reading: Reading, fold: int | None) -> Iterator[Said]:
    """Yield the clips of a corpus's folder or list, with the splits of one fold.

    Without a fold, the only one is taken, and of several none. Paths start at the folder that holds `data/`, where
    EmoBox wants `downloads/`.
    """
    folder = reading.source if reading.source.is_dir() else reading.source.parent
    if not reading.chosen_base:
        reading.base = folder.absolute().parent.parent
    folds = {int(p.name[5:]): p for p in folder.glob("fold_*") if p.is_dir() and p.name[5:].isdigit()}
    if fold is not None and fold not in folds:
        raise UsageError(f"{folder}: has no fold {fold}; it has {', '.join(map(str, sorted(folds))) or 'none'}")
    if fold is None and len(folds) > 1:
        reading.about.notes.append(f"{len(folds)} folds; --fold N takes the splits of one")
    chosen = [folds[fold]] if fold is not None else list(folds.values()) if len(folds) == 1 else []
    splits = {key: split for path in chosen for key, split in _splits(reading, path).items()}
    reading.about.title = folder.name
    reading.about.words |= _label_map(folder / "label_map.json")
    path = reading.source if reading.source.is_file() else folder / f"{folder.name}.jsonl"
    if not path.is_file():
        raise DataError(f"{path}: there is no such list; give the .jsonl itself where it has another name")
    seen: set[str] = set()
    for place, cells in json_lines(reading, path):
        key = cells.get("key")
        audio = next((name for name in ("wav", "audio") if name in cells), None)
        if not isinstance(key, str) or audio is None:
            missing = "wav" if isinstance(key, str) else "key"
            reading.blame(place, missing, f"is missing; the fields are {', '.join(cells) or 'none'}")
            continue
        if key in seen:
            reading.blame(place, "key", f"{key!r} is there twice")
        seen.add(key)
        # the fold comes before a split that the list may carry itself
        cells |= {"split": splits[key]} if key in splits else {"split": None} if splits else {}
        said = reading.said(place, cells, reading.locate(place, audio, cells[audio]))
        if said is not None:
            yield said
    for key in sorted(splits.keys() - seen):
        reading.blame(str(chosen[0]), "key", f"{key!r} is not in {path.name}")


def _splits(reading: Reading, folder: Path) -> Mapping[str, str]:
    splits: dict[str, str] = {}
    for path in sorted(folder.glob(f"*_{folder.name}.jsonl")):
        split = split_in(path.stem.removesuffix(f"_{folder.name}").rpartition("_")[2])
        for place, cells in json_lines(reading, path):
            key = cells.get("key")
            if not isinstance(key, str) or not split:
                reading.blame(place, "key", "is missing" if split else "the file's name says no split")
            elif splits.setdefault(key, split) != split:
                reading.blame(place, "key", f"{key!r} is in {splits[key]} too")
    return splits


def _label_map(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        with explained(path):
            found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON: {error}") from None
    pairs = found.items() if isinstance(found, dict) else []
    return {str(native): str(word) for native, word in pairs if isinstance(word, str)}
