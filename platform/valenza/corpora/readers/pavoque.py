"""PAVOQUE's YAML: a list of the utterances in the recording of one style."""

from collections.abc import Iterator

import yaml

from valenza.corpora.rows import Row, Source, text
from valenza.errors import DataError

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_CELLS = ("style", "start", "end")


def rows(source: Source) -> Iterator[Row]:
    """Yield `file` (the recording's stem), `prompt`, `style` in small letters, `start`, `end` (seconds) and `text`.

    A row's line is the utterance's number, for YAML forgets its lines.
    """
    try:
        # the C loader reads the phone segments of 12 hours in seconds rather than minutes
        utterances = yaml.load(source.path.read_text(encoding=source.encoding), Loader=_LOADER)  # noqa: S506
    except yaml.YAMLError as error:
        raise DataError(f"{source.name}: is not YAML: {error}") from None
    if not isinstance(utterances, list):
        raise DataError(f"{source.name}: expected a list of utterances")
    for number, utterance in enumerate(utterances, 1):
        if not isinstance(utterance, dict) or any(utterance.get(cell) is None for cell in _CELLS):
            yield Row(number, fault=f"utterance {number} does not tell its {', '.join(_CELLS)}")
            continue
        cells = {name: text(utterance.get(name)) for name in ("prompt", "style", "start", "end", "text")}
        yield Row(number, cells | {"file": source.path.stem, "style": cells["style"].lower()})
