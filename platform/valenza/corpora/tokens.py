"""Cuts file names into tokens: the folders, what stands between separators, and runs of letters or digits."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from valenza.corpora.words import likeness

_MOST = 0.97
"""A shape is the corpus's own when this share of the names has it; the others stay unread and `check` names them."""
_SEPARATORS = re.compile(r"[^\w]+|_+")
_RUNS = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
GENDERS = ({"f", "m"}, {"w", "m"}, {"female", "male"}, {"man", "woman"}, {"men", "women"})


@dataclass(frozen=True)
class Token:
    """One place in every name, with what stands there."""

    part: int
    """Folder level; the last is the file's own name."""
    before: str
    """Fixed text in front of it, within its part."""
    values: tuple[str, ...]
    rest: bool = False
    """Whether it may hold separators too."""

    @property
    def kinds(self) -> list[str]:
        """The distinct values, in order."""
        return sorted(set(self.values))

    @property
    def is_gender(self) -> bool:
        """Whether the values tell women from men and nothing else."""
        return {value.lower() for value in self.kinds} in GENDERS

    @property
    def expression(self) -> str:
        """A regular expression for the values that also fits their like."""
        kinds = self.kinds
        widths = {len(value) for value in kinds}
        if self.rest:
            return "[^/]+"
        width = widths.pop() if len(widths) == 1 else 0
        for letters, shape in (("[A-Z]", str.isupper), ("[a-z]", str.islower)):
            if width == 1 and all(value.isascii() and shape(value) for value in kinds):
                return letters
        if all(re.fullmatch(r"[0-9]+", value) for value in kinds):
            return rf"\d{{{width}}}" if width > 1 else r"\d" if width else r"\d+"
        if all(re.fullmatch(r"[^\W\d_]+", value) for value in kinds):
            return r"[^\W\d_]" + (f"{{{width}}}" if 1 < width <= 4 else "" if width == 1 else "+")
        return "[^/_]+" if not any("_" in value for value in kinds) else "[^/]+"


@dataclass(frozen=True)
class Names:
    """File names of one shape."""

    rows: tuple[int, ...]
    """Which of the given names have this shape."""
    tokens: tuple[Token, ...]
    """Only those that vary."""
    after: tuple[str, ...]
    """Fixed text at the end of each part."""


def tokenise(paths: Sequence[str]) -> Names:
    """Cut paths without extensions, `/` between their parts, into tokens; the most common depth wins."""
    depth = Counter(path.count("/") for path in paths).most_common(1)[0][0]
    rows = [i for i, path in enumerate(paths) if path.count("/") == depth]
    columns = [[paths[i].split("/")[part] for i in rows] for part in range(depth + 1)]
    pieces = [_pieces(column) for column in columns]
    keep = [k for k in range(len(rows)) if all(cut[k] is not None for _, cut in pieces)]
    tokens: list[Token] = []
    after: list[str] = []
    for part, (shape, cut) in enumerate(pieces):
        fixed = ""
        whole = [piece for k in keep if (piece := cut[k]) is not None]
        for place in range(len(shape)):
            token = Token(part, fixed, tuple(piece[place] for piece in whole), shape[place] == "rest")
            if len(token.kinds) == 1:
                fixed += token.values[0]
                continue
            letters = _letters(token)
            tokens += letters
            fixed = ""
        after.append(fixed)
    return Names(tuple(rows[k] for k in keep), tuple(tokens), tuple(after))


Fields = list[list[str] | None]
Cut = list[tuple[str, ...] | None]


def _pieces(column: Sequence[str]) -> tuple[list[str], Cut]:
    """Cut one part of all names alike; returns what each piece is, and each name's pieces, None for odd ones."""
    fields, rest = _fields(column)
    shape: list[str] = []
    cut: Fields = [None if f is None else [] for f in fields]
    width = max((len(f) for f in fields if f is not None), default=0)
    for place in range(width):
        values = [None if f is None else f[place] for f in fields]
        if place == rest:
            runs, count = [None if v is None else [v] for v in values], 1
        else:
            runs, count = _runs(values)
        shape += ["rest" if place == rest else "run"] * count
        for k, run in enumerate(runs):
            mine = cut[k]
            if run is None or mine is None:
                cut[k] = None
            else:
                mine += run
    return shape, [None if c is None else tuple(c) for c in cut]


def _fields(column: Sequence[str]) -> tuple[Fields, int | None]:
    """Split at separators where all names have the same ones; else as often as all allow, one field taking the rest."""
    shapes = [tuple(_SEPARATORS.findall(name)) for name in column]
    shape, count = Counter(shapes).most_common(1)[0]
    if count >= _MOST * len(column):
        return [_between(name, shape) if s == shape else None for name, s in zip(column, shapes, strict=True)], None
    options: list[tuple[float, Fields, int | None]] = []
    for mark in ("_", "-", " ", "."):
        counts = Counter(name.count(mark) for name in column)
        usual, times = counts.most_common(1)[0]
        if usual and times >= _MOST * len(column):
            even: Fields = [_kept(name.split(mark), mark) if name.count(mark) == usual else None for name in column]
            options.append((_evenness(even, None) + 1, even, None))
        least = min(counts)
        if least:
            last: Fields = [_kept(name.split(mark, least), mark) for name in column]
            first: Fields = [_kept(name.rsplit(mark, least), mark) for name in column]
            options.append((_evenness(last, 2 * least), last, 2 * least))
            options.append((_evenness(first, 0), first, 0))
    if not options:
        return [[name] for name in column], None
    _, fields, rest = max(options, key=lambda option: option[0])
    return fields, rest


def _between(name: str, shape: tuple[str, ...]) -> list[str]:
    """Return fields and separators in turn."""
    pieces: list[str] = []
    for mark in shape:
        field, _, name = name.partition(mark)
        pieces += [field, mark]
    return [*pieces, name]


def _kept(fields: list[str], mark: str) -> list[str]:
    return [piece for field in fields for piece in (mark, field)][1:]


def _evenness(fields: Sequence[list[str] | None], rest: int | None) -> float:
    """Count the fields that are all digits, all letters, or emotion words: signs of a cut at the right places."""
    whole = [f for f in fields if f is not None]
    score = 0.0
    for place in range(0, len(whole[0]), 2):
        values = [f[place] for f in whole]
        same = all(v.isdigit() for v in values) or all(v.isalpha() for v in values)
        score += 1.0 * (same and place != rest) + 1.5 * (likeness(set(values)) >= 0.5 and len(set(values)) > 1)
    return score


def _runs(values: Sequence[str | None]) -> tuple[Fields, int]:
    """Cut at changes between letters and digits, where all values change alike."""
    runs = [None if v is None else _RUNS.findall(v) or [""] for v in values]
    kinds = [None if r is None else tuple(run[:1].isdigit() for run in r) for r in runs]
    known = Counter(k for k in kinds if k is not None)
    if not known:
        return runs, 1
    kind, count = known.most_common(1)[0]
    if len(kind) > 4 or count < _MOST * known.total():
        return [None if v is None else [v] for v in values], 1
    return [r if k == kind else None for r, k in zip(runs, kinds, strict=True)], len(kind)


def _letters(token: Token) -> list[Token]:
    """Cut short letter codes such as `Fa` or `SM` into single letters where these are codes of their own."""
    kinds = token.kinds
    width = len(kinds[0])
    if (
        token.rest
        or not 2 <= width <= 4
        or any(len(k) != width or not k.isalpha() for k in kinds)
        or likeness(kinds) >= 0.5
    ):
        return [token]
    cases = [{k[i].isupper() for k in kinds} for i in range(width)]
    steady = all(len(case) == 1 for case in cases)
    mixed = steady and any(cases[i] == {True} and cases[i + 1] == {False} for i in range(width - 1)) and len(kinds) > 6
    apart = [{k[i] for k in kinds} for i in range(width)]
    product = 1
    for letters in apart:
        product *= len(letters)
    gender = any({letter.lower() for letter in letters} in GENDERS for letters in apart)
    crossed = len(kinds) == product and (gender or (product >= 4 and sum(len(a) > 1 for a in apart) > 1))
    if not crossed and not (mixed and max(map(len, apart)) < len(kinds)):
        return [token]
    found: list[Token] = []
    fixed = token.before
    for i in range(width):
        if len(apart[i]) == 1:
            fixed += kinds[0][i]
            continue
        found.append(replace(token, before=fixed, values=tuple(v[i] for v in token.values)))
        fixed = ""
    return found if not fixed else [token]
