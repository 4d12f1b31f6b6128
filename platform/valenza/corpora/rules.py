"""What a manifest's fields may say together; every rule judges values as written, which may be anything."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from valenza.config import Problem, suggestion
from valenza.labels.taxonomy import EMOTIONS
from valenza.labels.words import find

FIELDS = ("label", "speaker", "gender", "language", "recording", "text", "intensity", "split", "frames")
"""What a clip's name can say; a group of the pattern with one of these names needs no template."""

_BUILT_IN = {"path", "name", "stem"}
_GROUP = re.compile(r"\{(\w+)\}")


def meanings(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuse weights beyond 1, and targets that `known` rules out."""
    labels, known = raw.get("labels"), raw.get("known")
    for native, meaning in labels.items() if isinstance(labels, Mapping) else ():
        shares = meaning.values() if isinstance(meaning, Mapping) else [1.0]
        if all(isinstance(w, int | float) for w in shares) and sum(shares) > 1.0001:
            yield ("labels", native), f"the weights sum to {sum(shares):g}, more than 1"
        if isinstance(known, list):
            for target in _targets(meaning):
                if target in EMOTIONS and target not in known:
                    yield ("labels", native), f"{target} is not among `known`, so this label could not have been given"


def _targets(meaning: Any) -> Iterable[Any]:
    """Return what a meaning speaks of; nothing where it is no word, which is told elsewhere."""
    if isinstance(meaning, Mapping):
        return meaning
    try:
        return find(meaning).weights if isinstance(meaning, str) else ()
    except LookupError:
        return ()


def templates(raw: Mapping[str, Any], groups: set[str]) -> Iterator[Problem]:
    """Refuse templates that name no group of the pattern, and manifests that say no label or speaker."""
    listed = raw.get("tables")
    tables = [t for t in listed if isinstance(t, Mapping)] if isinstance(listed, list) else []
    joined = {c for t in tables if isinstance(t.get("columns"), Mapping) for c in t["columns"]}
    if any(t.get("votes") for t in tables) or raw.get("labels") == {}:
        joined.add("label")
    for name in FIELDS:
        template = raw.get(name)
        if isinstance(template, str):
            yield from _template((name,), template, groups)
        elif template is None and name in {"label", "speaker"} and name not in groups | joined:
            yield ("pattern",), f"has no group (?P<{name}>…), and neither `{name}:` nor a table says it instead"
    for i, table in enumerate(tables):
        votes, labels = table.get("votes"), raw.get("labels")
        if isinstance(votes, Mapping) and isinstance(labels, Mapping):
            for native in votes.keys() - labels.keys():
                yield ("tables", i, "votes", native), f"{native!r} is not among `labels`{suggestion(native, labels)}"
        if isinstance(table.get("match"), str):
            yield from _template(("tables", i, "match"), table["match"], groups)


def _template(loc: tuple[str | int, ...], template: str, groups: set[str]) -> Iterator[Problem]:
    for field in fields(template):
        if field not in groups | _BUILT_IN:
            yield loc, f"{{{field}}} is not a group of the pattern{suggestion(field, groups)}"
    yield from braces(loc, template)


def braces(loc: tuple[str | int, ...], template: Any) -> Iterator[Problem]:
    """Refuse templates with a brace that opens or closes nothing."""
    if isinstance(template, str) and re.search(r"[{}]", _GROUP.sub("", template)):
        yield loc, f"{template!r} has a brace that is not part of a {{group}}"


def outside(loc: tuple[str | int, ...], path: Any) -> Iterator[Problem]:
    """Refuse paths and globs that leave the corpus root or mean nothing."""
    if not isinstance(path, str):
        return
    parts = PurePosixPath(path).parts
    if not path.strip() or path == ".":
        yield loc, "is empty; expected a path under the corpus root"
    elif path.startswith("/") or ".." in parts or "\0" in path:
        yield loc, f"{path!r} leaves the corpus root"
    elif any("**" in part and part != "**" for part in parts):
        yield loc, f"{path!r}: `**` stands for whole folders, as in `**/*.wav`"


def fault(expression: str) -> str | None:
    """Say why a regular expression cannot be compiled."""
    try:
        re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def fields(template: str) -> list[str]:
    """Return the names in braces of a template."""
    return _GROUP.findall(template)


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill a template; groups that took no part in the match are empty."""
    return _GROUP.sub(lambda found: values[found[1]], template)
