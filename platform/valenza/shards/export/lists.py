"""Lists beside FLAC files: NeMo's manifests, EmoBox's corpora and folds, Hugging Face's AudioFolder."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from valenza.corpora.card import weights
from valenza.shards.audio import SAMPLE_RATE
from valenza.shards.export.cards import dataset_card
from valenza.shards.export.clips import StoredClip, StoredCorpus, folder_in, write_text
from valenza.shards.groups import together

_FOLDS = 5
_TEXTS = ("emotion", "speaker", "gender", "language", "text", "recording", "intensity")
_EMOBOX = {"happiness": "Happy", "sadness": "Sad", "disgust": "Disgust", "fear": "Fear", "surprise": "Surprise",
           "anger": "Angry", "other": "Other", "neutral": "Neutral"}  # fmt: skip


def nemo(corpus: StoredCorpus, out: Path) -> None:
    """Write one manifest for each split, with paths relative to it.

    A line has NeMo's `audio_filepath`, `duration`, `text` and `label`, and beside them what NeMo passes over.
    """
    folder = folder_in(out, corpus.card.id)
    audio = folder_in(folder, "audio")
    for split, clips in corpus.by_split.items():
        lines = []
        for clip in clips:
            corpus.save(clip, audio)
            said = corpus.facts(clip)
            label = said.pop("emotion", "")
            head = {"audio_filepath": f"audio/{clip.name}.flac", "duration": clip.seconds}
            lines.append({**head, "text": "", "label": label, **said})
        write_text(folder / ("manifest.jsonl" if split == "clips" else f"{split}.jsonl"), _json_lines(lines))


def audiofolder(corpus: StoredCorpus, out: Path) -> None:
    """Write one folder for each split, with `metadata.jsonl` beside its audio, and a dataset card that names them."""
    folder = folder_in(out, corpus.card.id)
    for split, clips in corpus.by_split.items():
        place = folder_in(folder, split)
        lines = []
        for clip in clips:
            corpus.save(clip, place)
            said = corpus.facts(clip)
            # the same keys and types in every line, since `datasets` makes one table of all splits
            facts = {name: said.get(name, "") for name in _TEXTS}
            votes = {"votes": {native: float(clip.votes.get(native, 0)) for native in corpus.votes}}
            lines.append({"file_name": f"{clip.name}.flac", **facts, **(votes if corpus.votes else {})})
        write_text(place / "metadata.jsonl", _json_lines(lines))
    splits = {split: f"{split}/**" for split in corpus.by_split}
    write_text(folder / "README.md", dataset_card(corpus, splits))


def emobox(corpus: StoredCorpus, out: Path) -> None:
    """Write `data/<corpus>/` as EmoBox keeps it, with audio under `downloads/`.

    The corpus's own splits become fold 1; where it has none, speakers are dealt to five folds, and none is heard in
    both the training and the test list of one. Rows carry speaker, language and votes too, which EmoBox's lack.
    """
    name = corpus.card.id
    audio, data = folder_in(out, "downloads", name), folder_in(out, "data", name)
    lines = {clip.row: _emobox_line(name, corpus, clip) for clip in corpus.clips}
    for clip in corpus.clips:
        corpus.save(clip, audio)
    write_text(data / f"{name}.jsonl", _json_lines(lines.values()))
    write_text(data / "label_map.json", json.dumps(_label_map(corpus), ensure_ascii=False, indent=1) + "\n")
    for number, fold in enumerate(_folds(corpus), 1):
        place = folder_in(data, f"fold_{number}")
        for split, clips in fold.items():
            rows = [lines[clip.row] for clip in clips]
            write_text(place / f"{name}_{split}_fold_{number}.jsonl", _json_lines(rows))


def _emobox_line(name: str, corpus: StoredCorpus, clip: StoredClip) -> dict[str, Any]:
    said = corpus.facts(clip)
    label = said.pop("emotion", "")
    return {
        "key": f"{name}-{clip.name}",
        "dataset": name,
        "wav": f"downloads/{name}/{clip.name}.flac",
        "type": "raw",
        "sample_rate": SAMPLE_RATE,
        "num_frame": clip.samples,
        "task": "category",
        "length": clip.seconds,
        "emo": label,
        "channel": 1,
        **said,
    }


def _label_map(corpus: StoredCorpus) -> dict[str, str]:
    """Return native label → the word that EmoBox has for its strongest target, or the label where it is left out."""
    words = {}
    for native, meaning in corpus.card.labels.items():
        targets = weights(meaning)
        words[native] = _EMOBOX[max(targets, key=lambda target: targets[target])] if targets else native
    return words


def _folds(corpus: StoredCorpus) -> list[dict[str, list[StoredClip]]]:
    official = corpus.by_split.keys() - {"clips"}
    if official:
        named = {"train": "train", "validation": "valid", "test": "test"}
        return [{named[split]: corpus.by_split[split] for split in sorted(official)}]
    group = together((clip.speaker, clip.recording) for clip in corpus.clips)
    sizes = Counter(group[clip.speaker] for clip in corpus.clips)
    count = min(_FOLDS, len(sizes))
    if count < 2:
        return []  # one speaker cannot be kept apart from himself
    held: list[set[str]] = [set() for _ in range(count)]
    # by name, so that the order of the index does not decide
    for speaker, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        min(held, key=lambda fold: sum(sizes[s] for s in fold)).add(speaker)
    return [
        {
            "train": [clip for clip in corpus.clips if group[clip.speaker] not in fold],
            "test": [clip for clip in corpus.clips if group[clip.speaker] in fold],
        }
        for fold in held
    ]


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
