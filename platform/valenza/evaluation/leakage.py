"""Refuses the name zero-shot to a corpus that training has met."""

from collections.abc import Sequence

import pyarrow as pa

from valenza.mixture.admission import WORDLESS

_SHOWN = 3


def leaks(train: pa.Table, target: pa.Table, *, cross_lingual: bool) -> list[str]:
    """Return what training already knew of the scored clips, one sentence for each kind; empty means zero-shot.

    Both are rows of the shard index. Looked at are the recording (two halves of one take are one recording), the
    speaker within a corpus, the stored audio itself (size and checksum, so that a corpus which was copied into another
    under a new name is found), and for a cross-lingual claim the language without its region: pt-BR is Portuguese.
    """
    found = [
        ("recordings were trained on", _shared(train, target, "corpus", "recording")),
        ("speakers were trained on", _shared(train, target, "corpus", "speaker")),
        (
            "clips have the same audio as a training clip",
            _shared(train, target, "size", "crc32", "samples", name=["id"]),
        ),
    ]
    sentences = [f"{len(common)} {what}: {_some(common)}" for what, common in found if common]
    if cross_lingual:
        languages = _languages(train) & _languages(target)
        sentences += [f"language {language} was trained on" for language in sorted(languages)]
    return sentences


def _shared(train: pa.Table, target: pa.Table, *columns: str, name: Sequence[str] = ()) -> set[str]:
    """Return what both tables have in these columns, as the target calls it in the columns `name`."""
    pairs = zip(_keys(target, columns), _keys(target, name or columns), strict=True)
    known = set(_keys(train, columns))
    # An unknown speaker is not the same unknown speaker twice.
    return {"/".join(map(str, told)) for key, told in pairs if key in known and None not in key and "" not in key}


def _keys(table: pa.Table, columns: Sequence[str]) -> list[tuple[object, ...]]:
    return list(zip(*(table[column].to_pylist() for column in columns), strict=True))


def _languages(table: pa.Table) -> set[str]:
    return {language.split("-")[0].lower() for language in table["language"].to_pylist() if language} - {WORDLESS}


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
