"""The file that a request carries, as its body or as the one file of a form."""

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from valenza.web.guard import RefusedError

FORM = "multipart/form-data"
_PARTS = 5
_NAME = 120


def unpacked(kind: str, body: bytes) -> tuple[str, bytes]:
    """Return the name and the bytes of a file; `kind` is the request's content type.

    It takes seconds where a form was made to take long, so it is not for the event loop. Raises `RefusedError`.
    """
    name, data = ("audio", body) if kind.partition(";")[0].strip().lower() != FORM else _first_file(kind, body)
    if not data:
        raise RefusedError(400, "there is no audio: send a file as the body, or as a form's file")
    return name, data


def _first_file(kind: str, body: bytes) -> tuple[str, bytes]:
    parts = _Parts()
    try:
        # Of what the type says only the boundary is used: a charset would choose a codec, and some take for ever.
        parser = MultipartParser(parse_options_header(kind)[1].get(b"boundary", b""), parts.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise RefusedError(400, f"the form cannot be read: {error}") from None
    return _plain(parts.name or "audio"), bytes(parts.file)


class _Parts:
    """What a parser says of a form's parts; of those that are no file nothing is kept."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.file = bytearray()
        self._count = 0
        self._field = self._value = self._disposition = b""
        self._here = False

    def callbacks(self) -> Any:
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data")
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        self._count += 1
        if self._count > _PARTS:
            raise FormParserError(f"it has more than {_PARTS} parts")
        self._disposition = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field = self._value = b""

    def headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        self._here = b"filename" in options
        if self._here and self.name is not None:
            raise FormParserError("it has more than one file")
        if self._here:
            self.name = options[b"filename"].decode(errors="replace")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._here:
            self.file += data[start:end]


def _plain(name: str) -> str:
    """Return a file's name without its folders, and without what no name should hold."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in last if letter.isprintable())[:_NAME].strip() or "audio"
