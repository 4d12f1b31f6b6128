"""What every page has around its sections: one file, with its style inside and nothing to fetch."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from valenza.evaluation.page.markup import Html
from valenza.files import write_whole

_STYLE = Path(__file__).with_name("report.css")
# Titles come from manifests that anybody may have written. All text is escaped; should that fail, still no script runs.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MEDIA = "; img-src data:; media-src data:"


def write_page(name: str, sections: Iterable[Html], out: Path, *, media: bool = False) -> None:
    """Write a page of these sections, which may hold pictures and sound of their own. Raises `WriteError`."""
    policy = _POLICY + _MEDIA if media else _POLICY
    write_whole(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(name)} · valenza</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><main>\n{chr(10).join(sections)}\n</main></body></html>\n",
        out,
    )
