"""Where shards lie: a folder of this machine, or one that is read over the network."""

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from valenza.errors import UsageError

PLAIN_HTTP = "VALENZA_HTTP_HOSTS"
"""The environment variable that names, with commas, the hosts that may be read without encryption."""
HIDDEN = "***"
"""What stands for a password or signature wherever an address is shown or written."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_HOST = re.compile(r"\[[0-9a-f:.]+\](:[0-9]{1,5})?|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?")
_KEY = re.compile(r"[A-Za-z0-9._~%+=@,:-]*")
_QUERY = re.compile(r"[A-Za-z0-9._~%+=@,:/&!$'()*;-]*")
_SECRET = re.compile(r"(?<=//)[^\s?'\"]*@|\?[^\s'\"]*")


@dataclass(frozen=True)
class Remote:
    """A file or folder on a server; text and `repr` of it never show a password or signed query."""

    scheme: str
    """`s3`, `gs`, `https`, or `http` where that is allowed."""
    host: str
    """The bucket, or the server with its port."""
    path: str
    """What follows the host: empty, or begins with a slash and does not end with one."""
    user: str = field(default="", repr=False)
    """`name:password`, or nothing."""
    query: str = field(default="", repr=False)

    def __str__(self) -> str:
        user = f"{HIDDEN}@" if self.user else ""
        return f"{self.scheme}://{user}{self.host}{self.path}" + (f"?{HIDDEN}" if self.query else "")

    def __truediv__(self, name: str) -> "Remote":
        return Remote(self.scheme, self.host, f"{self.path}/{name}", self.user, self.query)

    @property
    def address(self) -> str:
        """The whole address with its secrets, for the server alone."""
        user = f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{self.host}{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "Remote":
        """The folder that it lies in."""
        return Remote(self.scheme, self.host, self.path.rpartition("/")[0], self.user, self.query)

    def resolve(self) -> "Remote":
        """Return itself: an address is the same from every folder."""
        return self

    def is_dir(self) -> bool:
        """Return True without asking: whether a corpus is there is told when it is read."""
        return True


Place = Path | Remote


def place(value: str | Path | Remote) -> Place:
    """Return where shards are read: a local folder, or an address that begins with s3://, gs:// or https://.

    Raises `UsageError` for every other scheme, such as `pipe:` or `file:`, for http:// unless the host is this machine
    or named in `$VALENZA_HTTP_HOSTS`, and for an address that some library could read as more than an address.
    """
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise UsageError(f"{redacted(value)!r} holds a NUL and names no folder")
    return _remote(value) if _SCHEME.match(value) else Path(value)


def redacted(text: str) -> str:
    """Return text without the passwords and queries of the addresses in it."""
    return _SECRET.sub(lambda found: f"{HIDDEN}@" if found[0].endswith("@") else f"?{HIDDEN}", text)


def _remote(text: str) -> Remote:
    def refuse(why: str) -> UsageError:
        return UsageError(f"{redacted(text)!r}: {why}")

    scheme, separator, rest = text.partition("://")
    if scheme not in {"s3", "gs", "https", "http"} or not separator:
        raise refuse("shards are read from local folders, s3://, gs:// and https://, and from nothing else")
    if not text.isascii() or not text.isprintable() or set(text) & set('\\|<>"`^{} #'):
        raise refuse("has a character that no address of shards has; write it as %XX, or rename the folder")
    where, question, query = rest.partition("?")
    server, slash, path = where.partition("/")
    if "::" in path or "::" in query:
        raise refuse("addresses cannot be chained with `::`")
    user, at, host = server.rpartition("@")
    if HIDDEN in user or HIDDEN in query:
        raise refuse(f"its password or signature was left out when it was written down; give the address whole{_HOW}")
    path = (slash + path).rstrip("/")
    web = scheme in {"https", "http"}
    if not web and (at or question or "%" in path or not _BUCKET.fullmatch(host)):
        raise refuse(f"expected {scheme}://bucket/prefix; credentials come from the environment, never from an address")
    if web and (not _HOST.fullmatch(host) or not _QUERY.fullmatch(query) or (at and not _QUERY.fullmatch(user))):
        raise refuse(f"expected {scheme}://host/folder")
    if why := _bad_path(path) or (_bad_port(text) if web else ""):
        raise refuse(why)
    if scheme == "http" and not _plain(text):
        raise refuse(f"http:// is read from this machine and the hosts in ${PLAIN_HTTP} only; use https://")
    return Remote(scheme, host, path, user, query)


_HOW = " again, as `data.shards=…` or `--shards …`"


def _bad_path(path: str) -> str:
    for part in path.split("/")[1:]:
        plain = unquote(part, errors="replace")
        if part and (not _KEY.fullmatch(part) or not plain.isprintable() or set(plain) & set("/\\\ufffd%")):
            return f"{part!r} cannot be part of an address of shards"
        if plain in {"", ".", ".."}:
            return "an address has no empty, `.` or `..` parts"
    return ""


def _bad_port(text: str) -> str:
    try:
        return "" if urlsplit(text).port != 0 else "0 is no port"
    except ValueError:
        return "its port is none"


def _plain(text: str) -> bool:
    """Whether a server may be read without encryption."""
    host = (urlsplit(text).hostname or "").lower()
    named = {name.strip().lower() for name in os.environ.get(PLAIN_HTTP, "").split(",")}
    if host == "localhost" or host in named - {""}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _setting(value: Any) -> Place:
    if not isinstance(value, str | Path | Remote):
        raise PydanticCustomError("path_type", "expected a folder or an address")
    try:
        return place(value)
    except UsageError as error:
        raise PydanticCustomError("conflict", "{text}", {"text": str(error)}) from None


PlaceSetting = Annotated[Place, PlainValidator(_setting), PlainSerializer(str, return_type=str)]
"""A field of a recipe that says where shards are."""
