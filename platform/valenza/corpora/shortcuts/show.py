"""Prints an audit for the owner of the data."""

import textwrap
from collections.abc import Iterator, Sequence

from valenza.corpora.shortcuts.audit import Audit, Finding, tally
from valenza.corpora.shortcuts.duplicates import Copy
from valenza.terminal import count, table

_LINES = 10
"""Copies and joins printed of each kind; `--json` has all of them."""
_WIDTH = 100


def show_audit(audit: Audit) -> None:
    """Print the table of figures, then a sentence for each finding, then examples."""
    title = f"\nWhat gives the label away without listening, in {count(audit.probed, 'clip')} of "
    title += count(audit.speakers, "speaker")
    columns = ("", "figure", "chance", "95 %", "accuracy", "majority", "verdict")
    table(title, columns, [_row(finding, audit) for finding in audit.findings])
    lines = [
        "",
        *_legend(audit),
        *(line for finding in _grave(audit.findings) for line in _told(finding)),
        *_copies(audit.copies),
        *_joins(audit),
        *_unreadable(audit),
        "",
        _closing(audit),
    ]
    print("\n".join(lines))  # noqa: T201


def _row(finding: Finding, audit: Audit) -> tuple[str, ...]:
    probed = finding.probed
    if probed is None:
        return finding.name, finding.figure, finding.chance, "", "", "", finding.verdict
    low, high = probed.interval
    accuracies = f"{probed.accuracy:.2f}", f"{audit.majority:.2f}"
    return finding.name, finding.figure, finding.chance, f"{low:.2f}–{high:.2f}", *accuracies, finding.verdict


def _legend(audit: Audit) -> Iterator[str]:
    if audit.probed:
        yield "Figures are macro recalls of guesses from this alone, for speakers that the guesser has not met; their"
        yield "accuracy stands beside that of always naming the commonest label. Speaker: accuracy of naming each"
        yield "speaker's commonest label, and what chance would make of it. Cut recordings: neighbours that go on."
        yield ""


def _told(finding: Finding) -> Iterator[str]:
    """Yield a finding's sentence in lines that a terminal holds, the later ones indented."""
    said = f"{finding.verdict}: {finding.name}: {finding.sentence}"
    yield from textwrap.wrap(said, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _grave(findings: Sequence[Finding]) -> list[Finding]:
    return [f for verdict in ("warning", "notice") for f in findings if f.verdict == verdict]


def _copies(copies: Sequence[Copy]) -> Iterator[str]:
    for title, some in (
        ("The same recording under another label, speaker or split:", [c for c in copies if c.unlike]),
        ("The same recording twice:", [c for c in copies if not c.unlike]),
    ):
        if some:
            yield f"\n{title}"
        for copy in some[:_LINES]:
            how = "sample for sample" if copy.exact else f"correlation {copy.correlation:.2f}"
            unlike = f", another {' and '.join(copy.unlike)}" if copy.unlike else ""
            yield f"  {copy.first} = {copy.second} ({how}{unlike})"
        if len(some) > _LINES:
            yield f"  … and {len(some) - _LINES} more; --json lists all"


def _joins(audit: Audit) -> Iterator[str]:
    if not any(finding.name == "cut recordings" and finding.verdict == "warning" for finding in audit.findings):
        return
    yield "\nThe second goes on where the first ends:"
    for first, second in audit.cuts.joined[:_LINES]:
        yield f"  {first} → {second}"
    if len(audit.cuts.joined) > _LINES:
        yield f"  … and {len(audit.cuts.joined) - _LINES} more; --json lists all"


def _unreadable(audit: Audit) -> Iterator[str]:
    if audit.unreadable:
        some = ", ".join(audit.unreadable[:3]) + (", …" if len(audit.unreadable) > 3 else "")
        yield f"\n{count(len(audit.unreadable), 'file')} could not be judged ({some}); the check above says why"


def _closing(audit: Audit) -> str:
    counts = tally(audit.findings)
    if not audit.probed:
        return f"{audit.corpus}: fewer than two labels to tell apart, so nothing was probed"
    worst = [count(counts[verdict], verdict) for verdict in ("warning", "notice")]
    return f"{audit.corpus}: {' and '.join(worst)}; the other {counts['ok']} are ok"
