"""What people read: progress bars and tables on a terminal, plain lines elsewhere; data alone on standard output."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
_QUIET_SECONDS = 10.0


def say(text: str) -> None:
    """Write a line for people to standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def count(number: int, thing: str) -> str:
    """Return a number with its noun, which gets an `s` unless it is one."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def track(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield `items` with a progress bar on a terminal, or a line every ten seconds and at the end elsewhere.

    Without a label, nothing is shown.
    """
    if not label:
        yield from items
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track as rich_track

        yield from rich_track(items, label, total=total, console=Console(stderr=True), transient=True)
        return
    started = spoken = time.monotonic()
    done = 0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - spoken > _QUIET_SECONDS:
            spoken = now
            say(f"{label}: {done} of {total} ({now - started:.0f} s)")
    if total:
        say(f"{label}: {done} of {total}, {time.monotonic() - started:.1f} s")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table to standard output; numbers and anything after the first column are right-aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        grid = Table(title=title, title_justify="left")
        for i, column in enumerate(columns):
            grid.add_column(column, justify="left" if i == 0 else "right")
        for row in cells:
            grid.add_row(*map(escape, row))
        Console().print(grid)
        return
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    lines = [title] if title else []
    for row in [list(columns), *cells]:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines += ["  ".join(padded).rstrip()]
    print("\n".join(lines))  # noqa: T201
