"""JSON files that tell whether any of their bytes was changed since they were written."""

import hashlib
import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from valenza.config import Settings
from valenza.errors import ShardError


class Sealed(Settings):
    """Values whose file ends with a checksum of them."""

    def render(self) -> bytes:
        """Return the file's bytes, the last line of which is a checksum of the others."""
        values = self.model_dump(mode="json")
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return json.dumps({**values, "digest": digest}, indent=1, ensure_ascii=False).encode() + b"\n"


S = TypeVar("S", bound=Sealed)


def unseal(kind: type[S], data: bytes) -> S | None:
    """Return what a file's bytes say; nothing where one of them is not as it was written."""
    try:
        values = json.loads(data)
        if isinstance(values, dict):
            values.pop("digest", None)
        found = kind.model_validate(values)
        return found if found.render() == data else None
    except (ValueError, RecursionError, ValidationError):
        return None


def read_sealed(kind: type[S], path: Path, again: str) -> S:
    """Read such a file; raises `ShardError` where it is missing or damaged, ending with how to have it `again`."""
    try:
        found = unseal(kind, path.read_bytes())
    except OSError as error:
        raise ShardError(f"{path}: cannot be read: {error.strerror}; {again}") from None
    if found is None:
        raise ShardError(f"{path}: is damaged; {again}")
    return found
