"""Invitations without accounts: signed links, and names that tell an annotator nothing."""

import base64
import hashlib
import hmac
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from valenza.errors import DataError
from valenza.shards.record import sync, writing
from valenza.web.guard import RefusedError

SECRET = "secret.key"  # noqa: S105 - the file's name
ANNOTATOR = re.compile(r"a-[0-9a-f]{10}")
_TOKEN = re.compile(r"(a-[0-9a-f]{10})\.([0-9]{1,12})\.([A-Za-z0-9_-]{43})")


def read_secret(folder: Path) -> bytes:
    """Return the folder's secret, made on first use and readable by its owner alone.

    Raises `WriteError`, or `DataError` where the file is not a secret.
    """
    path = folder / SECRET
    if not path.exists():
        # Linked under its name when whole, so that of two servers started at once both use the first one's.
        part = folder / f".{SECRET}.{secrets.token_hex(8)}"
        with writing(path):
            try:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w") as file:
                    file.write(secrets.token_hex(32) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                with suppress(FileExistsError):
                    os.link(part, path)
            finally:
                part.unlink(missing_ok=True)
            sync(folder)
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        secret = b""
    if len(secret) != 32:
        raise DataError(f"{path}: is not a secret of 32 bytes; delete it to make a new one, and all links with it void")
    return secret


class Names:
    """Tokens and opaque names, all drawn from the folder's secret and the study's digest."""

    def __init__(self, secret: bytes, digest: str) -> None:
        self._key = hmac.new(secret, digest.encode(), hashlib.sha256).digest()

    def pair(self, annotator: str, pair: str) -> str:
        """Return the name under which an annotator knows a pair."""
        return self._mac("pair", annotator, pair).hex()[:32]

    def audio(self, annotator: str, track: str) -> str:
        """Return the name under which an annotator knows a track's audio."""
        return self._mac("audio", annotator, track).hex()[:32]

    def token(self, annotator: str, expires: int = 0) -> str:
        """Return the token of an invitation; `expires` is in seconds since 1970, 0 for never."""
        mac = self._mac("invite", annotator, str(expires))
        return f"{annotator}.{expires}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def annotator(self, token: str) -> str:
        """Return whom a token invites; raises `RefusedError` where it is not this study's or has expired."""
        parts = _TOKEN.fullmatch(token)
        # The whole token is compared, so that no other spelling of the same bytes passes.
        good = self.token(parts[1], int(parts[2])) if parts else ""
        if parts is None or not hmac.compare_digest(good, token):
            raise RefusedError(401, "this is not an invitation to this study")
        if 0 < int(parts[2]) <= time.time():
            raise RefusedError(401, "this invitation has expired")
        return parts[1]

    def _mac(self, *words: str) -> bytes:
        return hmac.new(self._key, "\0".join(words).encode(), hashlib.sha256).digest()


def new_annotator() -> str:
    """Return a name that says nothing of a person."""
    return "a-" + hashlib.sha256(secrets.token_bytes(32)).hexdigest()[:10]
