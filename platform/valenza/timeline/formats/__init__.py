"""Timelines as text for other tools: one small module for each format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valenza.errors import UsageError
from valenza.files import write_whole
from valenza.timeline.formats import a2f, arkit, audacity, document, rttm, table, textgrid
from valenza.timeline.formats.options import Options
from valenza.timeline.timeline import Timeline

__all__ = ["FORMATS", "Format", "Options", "of_ending", "save", "suffix"]


@dataclass(frozen=True)
class Format:
    """A way to write timelines."""

    name: str
    writer: Callable[[Sequence[Timeline], Options], str]
    suffixes: tuple[str, ...]
    """Endings of its files, the usual one first. One that stands for several formats is the first one's."""
    several: bool
    """Whether one text can hold more than one recording."""
    curves: bool
    """Whether it holds shares over time, at some rate."""
    segments: bool
    """Whether it holds segments."""

    def __call__(self, timelines: Sequence[Timeline], options: Options) -> str:
        """Return the text; raises `UsageError` for more recordings than it can hold, for none, and for another form."""
        if not timelines or (len(timelines) > 1 and not self.several):
            raise UsageError(
                f"{self.name} holds {'recordings' if self.several else 'one recording'}, not {len(timelines)}"
            )
        if options.form is not None and f".{options.form}" not in self.suffixes:
            raise UsageError(f"{self.name} is not written as {options.form}")
        return self.writer(timelines, options)


_ALL = (
    Format("json", document.write, (".json",), several=True, curves=True, segments=True),
    Format("csv", table.write, (".csv",), several=True, curves=True, segments=False),
    Format("textgrid", textgrid.write, (".TextGrid",), several=False, curves=False, segments=True),
    Format("audacity", audacity.write, (".txt",), several=False, curves=False, segments=True),
    Format("rttm", rttm.write, (".rttm",), several=True, curves=False, segments=True),
    Format("a2f", a2f.write, (".yaml", ".yml", ".json"), several=False, curves=True, segments=False),
    Format("arkit", arkit.write, (".csv", ".json"), several=False, curves=True, segments=False),
)
FORMATS = {each.name: each for each in _ALL}
"""Every format by its name on the command line."""


def suffix(name: str, form: str | None = None) -> str:
    """Return the ending of a format's files; `form` is that of the options."""
    ending = f".{form}"
    return ending if form is not None and ending in FORMATS[name].suffixes else FORMATS[name].suffixes[0]


def of_ending(path: Path) -> str:
    """Return the name of the format of a file's ending; raises `UsageError` where it tells none."""
    found = {end.lower(): each.name for each in reversed(_ALL) for end in each.suffixes}
    if path.suffix.lower() not in found:
        raise UsageError(f"{path}: its ending tells no format; there are {', '.join(FORMATS)}")
    return found[path.suffix.lower()]


def save(
    timelines: Sequence[Timeline],
    path: Path,
    name: str | None = None,
    options: Options = Options(),  # noqa: B008
) -> None:
    """Write a file in a format, or in that of its ending; raises `UsageError` and `WriteError`.

    A .json file is in JSON also where the format has another form, as a2f and arkit do.
    """
    chosen = of_ending(path) if name is None else name
    if chosen not in FORMATS:
        raise UsageError(f"{name!r} is no format; there are {', '.join(FORMATS)}")
    if path.suffix.lower() == ".json" and options.form is None:
        options = replace(options, form="json")
    write_whole(FORMATS[chosen](timelines, options), path)
