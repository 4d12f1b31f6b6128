"""Exports the shards of corpora to one folder that another project reads."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from valenza.shards.export.audformat import audformat
from valenza.shards.export.clips import StoredCorpus, new_folder, stored
from valenza.shards.export.croissant import croissant
from valenza.shards.export.lists import audiofolder, emobox, nemo
from valenza.shards.export.rows import cameo, datasets
from valenza.terminal import track

Format = Literal["nemo", "emobox", "audformat", "audiofolder", "datasets", "cameo", "croissant"]

_WRITERS: Mapping[Format, Callable[[StoredCorpus, Path], None]] = {
    "nemo": nemo,
    "emobox": emobox,
    "audformat": audformat,
    "audiofolder": audiofolder,
    "datasets": datasets,
    "cameo": cameo,
    "croissant": croissant,
}


def export(shards: Path, corpora: Sequence[str], form: Format, out: Path) -> dict[str, int]:
    """Write corpora as `form` under `out`, which must not exist yet, and return how many clips each has.

    Audio is the stored FLAC, byte for byte. Raises `ShardError` for shards that are not whole, and `UsageError` where
    `out` holds anything; in both cases nothing is left behind.
    """
    found = [stored(shards, corpus) for corpus in dict.fromkeys(corpora)]
    with new_folder(out) as staging:
        for corpus in track(found, f"exporting to {form}", len(found)):
            _WRITERS[form](corpus, staging)
    return {corpus.card.id: len(corpus.clips) for corpus in found}
