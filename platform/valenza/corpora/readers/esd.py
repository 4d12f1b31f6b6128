"""ESD's transcripts: one file a speaker, in one of four encodings, with tabs between id, text and emotion."""

from collections.abc import Iterator

from valenza.corpora.rows import Row, Source

_MANDARIN = range(1, 11)
"""Speakers whose files are GB 2312 where they are not Unicode; the others' are Latin."""


def rows(source: Source) -> Iterator[Row]:
    """Yield `id`, `text` and `emotion` of each line; some 15 lines of the release are malformed and passed over."""
    for number, line in enumerate(_decoded(source).splitlines(), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) == 3 and all(cells):
            yield Row(number, dict(zip(("id", "text", "emotion"), cells, strict=True)))


def _decoded(source: Source) -> str:
    data = source.path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        name = source.path.stem
        mandarin = name.isdecimal() and int(name) in _MANDARIN
        # gb18030 would read a Latin apostrophe and its letter as one sign, so the speaker decides, not the bytes
        return data.decode("gb18030" if mandarin else "cp1252", "replace")
