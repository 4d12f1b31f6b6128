"""Reads YAML into frozen models and explains every mistake at once, with file, line and a suggestion."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from valenza.errors import UsageError

Location = tuple[str | int, ...]
Problem = tuple[Location, str]
_UNREADABLE = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What PyYAML raises on text such as `!!bool maybe`, or on a thousand brackets."""


class Settings(BaseModel):
    """A frozen model that refuses unknown keys; subclasses state rules between fields in `conflicts`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def conflicts(cls, raw: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield what is wrong between fields; `raw` may hold anything, since fields are judged in the same pass."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _every_mistake_at_once(cls, raw: Any, handler: Callable[[Any], Any]) -> Any:
        errors: list[InitErrorDetails] = []
        if isinstance(raw, Mapping):
            for loc, message in cls.conflicts(raw):
                error = PydanticCustomError("conflict", "{message}", {"message": message})
                errors.append(InitErrorDetails(type=error, loc=loc, input=None))
        try:
            value = handler(raw)
        except ValidationError as failure:
            raise ValidationError.from_exception_data(cls.__name__, [*map(_again, failure.errors()), *errors]) from None
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return value


def _again(error: Any) -> InitErrorDetails:
    """Carry a sub-model's error upwards with its own message and place."""
    kind = PydanticCustomError(error["type"], "{message}", {"message": error["msg"], **error.get("ctx", {})})
    return InitErrorDetails(type=kind, loc=error["loc"], input=error["input"])


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `no` is Norwegian, `1e-4` a number, `01` a code, and 2026-11-21 a name."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            # A few lines of aliases can stand for gigabytes.
            raise yaml.MarkedYAMLError(problem="aliases (`*name`) are not used here", problem_mark=mark)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", list("-+0123456789")),
    ("float",
     r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
     list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):  # fmt: skip
    if _tag == "float":  # a leading zero without a point or exponent is a code such as RAVDESS's 03
        _pattern = rf"(?!0[0-9_]+$)(?:{_pattern})"
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


class Document:
    """A YAML file as plain values, with the line of each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Location, int] = {}
        self.problems: list[tuple[int | None, str]] = []
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            self.values: Any = {} if node is None else self._build(loader, node, (), depth=0)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{path}:{mark.line + 1}" if mark else str(path)
            raise UsageError(f"{where}: not YAML: {error.problem}") from None
        except _UNREADABLE as error:
            raise UsageError(f"{path}: not YAML: {error}") from None

    def _build(self, loader: _Loader, node: yaml.Node, loc: Location, depth: int) -> Any:
        self.lines.setdefault(loc, node.start_mark.line + 1)
        if depth > 20:
            raise yaml.MarkedYAMLError(problem="nested more than 20 deep", problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode):
            values: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key, line = str(key_node.value), key_node.start_mark.line + 1
                if key in values:
                    self.problems.append((line, f"{_dotted((*loc, key))} is set twice"))
                self.lines[(*loc, key)] = line
                values[key] = self._build(loader, value_node, (*loc, key), depth + 1)
            return values
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, child, (*loc, i), depth + 1) for i, child in enumerate(node.value)]
        return loader.construct_object(node)

    def line(self, loc: Location) -> int | None:
        """Return the line of a value, or of the nearest thing around it."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc)


M = TypeVar("M", bound=Settings)


def load(
    model: type[M],
    path: Path,
    overrides: Sequence[str] = (),
    *,
    also: Callable[[Mapping[str, Any]], Iterable[Problem]] | None = None,
) -> M:
    """Read a YAML file, apply `key.sub=value` overrides, and return the validated model.

    `also` adds problems that the model cannot see, such as a corpus that has no shards.
    Raises `UsageError` with one line for each mistake: file and line (or "command line"), field, and a suggestion.
    """
    document = Document(path)
    problems = [(f"{path}:{line}", text) for line, text in document.problems]
    if not isinstance(document.values, dict):
        raise UsageError(f"{path}:1: expected settings, one `key: value` a line")
    overridden: list[Location] = []
    for override in overrides:
        try:
            overridden.append(_override(document.values, override))
        except UsageError as error:
            problems.append(("command line", str(error)))

    def where(loc: Location) -> str:
        if any(loc[: len(o)] == o for o in overridden):
            return "command line"
        line = document.line(loc)
        return f"{path}:{line}" if line else str(path)

    value: M | None = None
    try:
        value = model.model_validate(document.values)
    except ValidationError as failure:
        problems += [(where(loc), text) for loc, text in _explained(model, failure)]
    if also is not None:
        problems += [(where(loc), f"{_dotted(loc)}: {text}") for loc, text in also(document.values)]
    if problems:
        in_order = sorted(dict.fromkeys(problems), key=lambda problem: _line_number(problem[0]))
        raise UsageError("\n".join(f"{place}: {text}" for place, text in in_order))
    if value is None:  # pragma: no cover - a failed validation always leaves a problem
        raise UsageError(f"{path}: not valid")
    return value


def _line_number(place: str) -> float:
    """Return the line that a place names; those of the command line come last."""
    line = place.rpartition(":")[2]
    return float(line) if line.isdecimal() else float("inf")


def _override(values: dict[str, Any], override: str) -> Location:
    name, equals, text = override.partition("=")
    keys = name.split(".")
    if not equals or not all(keys):
        raise UsageError(f"{override!r} is not of the form section.key=value")
    try:
        node = _Loader(text).get_single_node()
        value = None if node is None else _Loader(text).construct_document(node)
    except _UNREADABLE:
        raise UsageError(f"{override!r}: the value is not YAML") from None
    here = values
    for key in keys[:-1]:
        inner = here.get(key)
        if not isinstance(inner, dict):
            inner = here[key] = {}
        here = inner
    here[keys[-1]] = value
    return tuple(keys)


def _explained(model: type[BaseModel], failure: ValidationError) -> Iterator[tuple[Location, str]]:
    for error in failure.errors(include_url=False):
        loc = tuple(part for part in error["loc"] if not _is_branch(part))
        if error["type"] == "extra_forbidden":  # its last part is the user's own key, whatever that looks like
            loc = (*(part for part in error["loc"][:-1] if not _is_branch(part)), error["loc"][-1])
        name = _dotted(loc)
        kind, message = error["type"], error["msg"]
        if kind == "extra_forbidden":
            options = _fields(model, loc[:-1])
            yield loc, f"{name} is not a setting{suggestion(str(loc[-1]), options)}"
        elif kind == "missing":
            yield loc, f"{name} is required"
        elif kind == "conflict":
            yield loc, f"{name}: {message}"
        elif kind == "literal_error":
            options = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
            known = ", ".join(options)
            yield loc, f"{name}: {error['input']!r} is not one of {known}{suggestion(str(error['input']), options)}"
        else:
            given = error["input"]
            shown = "" if isinstance(given, dict | list) or given is None else f" (got {given!r})"
            yield loc, f"{name}: {message[0].lower()}{message[1:]}{shown}"


def _is_branch(part: str | int) -> bool:
    """Tell the names that pydantic gives to the branches of a union from the user's own keys."""
    return isinstance(part, str) and ("[" in part or part in {"[key]", "str", "int", "float", "bool"})


def _fields(model: type[BaseModel], loc: Location) -> list[str]:
    found: list[type[BaseModel]] = [model]
    for part in loc:
        inner: list[type[BaseModel]] = []
        for candidate in found:
            field = candidate.model_fields.get(str(part))
            inner += list(_models(field.annotation)) if field else []
        if isinstance(part, str) and not inner:
            inner = [
                m for c in found for f in c.model_fields.values() for m in _models(f.annotation) if m.__name__ == part
            ]
        found = inner or found
    return [name for candidate in found for name in candidate.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def suggestion(word: str, options: Iterable[str]) -> str:
    """Return "; did you mean …?" for the nearest option, or nothing."""
    near = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _dotted(loc: Location) -> str:
    return ".".join(map(str, loc)) or "the file"
