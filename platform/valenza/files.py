"""Files that are there whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from valenza.errors import WriteError


def write_whole(content: str | bytes, path: Path) -> None:
    """Write a file by renaming a finished one, so that a reader never sees half of it; makes its folder.

    Raises `WriteError`, and leaves nothing behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from None
